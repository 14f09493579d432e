package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// An agent is a host agent as far as events are concerned: it answers every request
// with its params, and publishes what a test wants.
type agent struct {
	t *testing.T
	link

	mu    sync.Mutex // protects the field below
	conns []transport.Conn
}

func newAgent(t *testing.T) *agent {
	t.Helper()
	a := &agent{t: t, link: ovirtPipe.open(t, &transport.ListenOptions{Options: still()})}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := a.Accept(context.Background())
			if err != nil {
				return
			}
			a.mu.Lock()
			a.conns = append(a.conns, conn)
			a.mu.Unlock()
			wg.Go(func() { answerAll(conn) })
		}
	})
	t.Cleanup(func() {
		_ = a.Close()
		a.hangUp()
		wg.Wait()
	})
	return a
}

func answerAll(conn transport.Conn) {
	for {
		m, err := conn.Recv(context.Background())
		if err != nil {
			_ = conn.Close()
			return
		}
		body := bytes.Replace(m.Body, []byte(`"method":"echo","params"`), []byte(`"result"`), 1)
		_ = conn.Send(context.Background(), &transport.Message{To: m.ReplyTo, Body: body})
	}
}

// hangUp ends the last connection.
func (a *agent) hangUp() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.conns) > 0 {
		_ = a.conns[len(a.conns)-1].Close()
	}
}

// publish publishes a body by the last connection; an error that wraps ErrNoRoute
// says that nobody has subscribed.
func (a *agent) publish(body string) error {
	a.t.Helper()
	synctest.Wait() // for subscriptions under way
	a.mu.Lock()
	p, _ := transport.As[transport.Publisher](a.conns[len(a.conns)-1])
	a.mu.Unlock()
	err := p.Publish(a.t.Context(), &transport.Message{To: "jms.queue.events", Body: []byte(body)})
	synctest.Wait()
	return err
}

func (a *agent) emit(names ...string) {
	a.t.Helper()
	for _, name := range names {
		if err := a.publish(fmt.Sprintf(`{"jsonrpc":"2.0","method":%q,"params":{"of":%q}}`, name, name)); err != nil {
			a.t.Fatalf("publish %s: %v", name, err)
		}
	}
}

// client returns a client of the agent that makes lost connections again.
func (a *agent) client(o *slog.Logger) *rpc.Client {
	a.t.Helper()
	r := &transport.RedialOptions{First: time.Millisecond, Most: time.Millisecond}
	r.Dial = func(ctx context.Context) (transport.Conn, error) {
		return a.dial(ctx, &transport.DialOptions{Options: still()})
	}
	c, err := rpc.Dial(a.t.Context(), "mem://agent", &rpc.ClientOptions{Reconnect: r, Logger: o})
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { _ = c.Close() })
	return c
}

// A listener is a subscription whose events are noted.
type listener struct {
	*rpc.Subscription
	mu  sync.Mutex // protects the field below
	all []string
}

func listen(t *testing.T, c *rpc.Client, filter string, o *rpc.SubscribeOptions) *listener {
	t.Helper()
	l := new(listener)
	sub, err := c.SubscribeFunc(t.Context(), filter, o, func(e rpc.Event, err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		what := e.Topic
		if gap, ok := errors.AsType[*rpc.GapError](err); ok {
			what = fmt.Sprint("gap ", gap.Dropped)
		} else if err != nil {
			what = "end"
		} else if string(e.Params) != fmt.Sprintf(`{"of":%q}`, e.Topic) {
			what += " " + string(e.Params)
		}
		l.all = append(l.all, what)
	})
	if err != nil {
		t.Fatalf("Subscribe(%s) = %v", filter, err)
	}
	l.Subscription = sub
	return l
}

// heard returns what was noted since.
func (l *listener) heard() string {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	all := strings.Join(l.all, " ")
	l.all = nil
	return all
}

// TestOVirtEvents: a client hears the events of a host by one subscription of the
// wire, each subscription those that its filter stands for.
func TestOVirtEvents(t *testing.T) {
	const status, other, net = "|virt|VM_status|1", "|virt|VM_status|2", "|net|host_conn|no_id"
	inBubble(t, map[string]func(t *testing.T){
		"each gets its own": func(t *testing.T) {
			a := newAgent(t)
			c := a.client(nil)
			filters := map[string]string{
				"#":                      status + " " + other + " " + net,
				"*|*|*|1":                status,
				"agent|*|*|1":            status,
				"server|*|*|1":           status, // its address
				"elsewhere|*|*|1":        "",
				"*|virt|*|*":             status + " " + other,
				"*|net|*|*":              net,
				"*|VM_status|*|*":        "",
				"agent|virt|VM_status|2": other,
			}
			all := make(map[string][]*listener)
			for f := range filters {
				all[f] = []*listener{listen(t, c, f, nil), listen(t, c, f, nil)}
			}
			a.emit(status, other, net)
			got := make(map[string]string)
			for f, two := range all {
				got[f] = two[0].heard()
				if second := two[1].heard(); second != got[f] {
					t.Errorf("%s: the second subscriber heard %q, the first %q", f, second, got[f])
				}
			}
			if diff := cmp.Diff(filters, got); diff != "" {
				t.Errorf("heard (-want +got):\n%s", diff)
			}
		},
		"the wire is asked once, and told when nobody listens": func(t *testing.T) {
			a := newAgent(t)
			c := a.client(nil)
			if err := c.Call(t.Context(), "echo", []int{1}, nil); err != nil {
				t.Fatal(err)
			}
			isErr(t, "publish", a.publish(`{}`), transport.ErrNoRoute)
			one, two := listen(t, c, "#", nil), listen(t, c, "*|*|*|1", nil)
			a.emit(status)
			if got := one.heard() + ", " + two.heard(); got != status+", "+status {
				t.Errorf("heard %s, want %s once each", got, status)
			}
			_ = one.Close()
			a.emit(status)
			if got := two.heard(); got != status {
				t.Errorf("heard %s, want %s", got, status)
			}
			_ = two.Close()
			isErr(t, "publish", a.publish(`{}`), transport.ErrNoRoute)
			three := listen(t, c, "#", nil)
			a.emit(net)
			if got := three.heard(); got != net {
				t.Errorf("heard %s, want %s", got, net)
			}
		},
		"what is no event is counted, and no more": func(t *testing.T) {
			var log bytes.Buffer
			a := newAgent(t)
			c := a.client(slog.New(slog.NewTextHandler(&log, nil)))
			l := listen(t, c, "#", nil)
			for _, body := range []string{
				`{"jsonrpc":"2.0","method":"virt|VM_status|1"}`, `{"jsonrpc":"2.0","method":"|virt|VM_status|1|2"}`,
				`{"jsonrpc":"2.0","method":""}`, `{"jsonrpc":"2.0","id":1,"method":"|virt|VM_status|1"}`,
				`{"jsonrpc":"2.0","id":1,"result":1}`, `1`, `{`, `[]`,
			} {
				if err := a.publish(body); err != nil {
					t.Fatal(err)
				}
			}
			if err := a.publish(`[{"jsonrpc":"2.0","method":"|virt|VM_status|1","params":{"of":"|virt|VM_status|1"}}]`); err != nil {
				t.Fatal(err)
			}
			if got := l.heard(); got != status {
				t.Errorf("heard %s, want %s", got, status)
			}
			if text := log.String(); !strings.Contains(text, "count=8") || !strings.Contains(text, "four parts") {
				t.Errorf("the log has\n%s\nwant eight that are no events", text)
			}
		},
		"a loss is told, and what follows is heard": func(t *testing.T) {
			a := newAgent(t)
			c := a.client(nil)
			l, m := listen(t, c, "*|virt|*|*", nil), listen(t, c, "*|net|*|*", nil)
			a.emit(status)
			a.hangUp()
			time.Sleep(time.Second)
			a.emit(other)
			if got := l.heard(); got != status+" gap 0 "+other {
				t.Errorf("heard %s, want a gap between two events", got)
			}
			if got := m.heard(); got != "gap 0" {
				t.Errorf("heard %s, want a gap", got)
			}
			if err := c.Call(t.Context(), "echo", []int{1}, nil); err != nil {
				t.Errorf("Call = %v", err)
			}
		},
		"who is too slow is told how much it missed": func(t *testing.T) {
			a := newAgent(t)
			c := a.client(nil)
			sub, err := c.Subscribe(t.Context(), "#", &rpc.SubscribeOptions{Window: 2})
			if err != nil {
				t.Fatal(err)
			}
			quick := listen(t, c, "#", nil)
			a.emit(status, status, status, status, status)
			if got := quick.heard(); strings.Count(got, status) != 5 {
				t.Errorf("another heard %s, want five events", got)
			}
			n := 0
			for _, err := range sub.Events() {
				if gap, ok := errors.AsType[*rpc.GapError](err); ok {
					if gap.Dropped != 3 || n != 2 {
						t.Errorf("%d dropped after %d, want 3 after 2", gap.Dropped, n)
					}
					break
				}
				n++
			}
		},
		"calls go on beside it": func(t *testing.T) {
			a := newAgent(t)
			c := a.client(nil)
			l := listen(t, c, "#", nil)
			var calls []<-chan error
			for i := range 50 {
				calls = append(calls, callOn(t.Context(), c, "echo", []int{i}))
			}
			a.emit(status)
			for _, done := range calls {
				if err := within(t, done, "an answer"); err != nil {
					t.Error(err)
				}
			}
			if got := l.heard(); got != status {
				t.Errorf("heard %s, want %s", got, status)
			}
		},
		"a filter that cannot be is refused": func(t *testing.T) {
			c := newAgent(t).client(nil)
			for _, filter := range []string{"*|*|*|*", "task.*", "*", "", "|*|*|*"} {
				_, err := c.Subscribe(t.Context(), filter, nil)
				isErr(t, "Subscribe("+filter+")", err, rpc.ErrTopic)
				isOutcome(t, "Subscribe("+filter+")", err, rpc.NotSent)
			}
		},
		"the end of the client is that of its subscriptions": func(t *testing.T) {
			c := newAgent(t).client(nil)
			l := listen(t, c, "#", nil)
			_ = c.Close()
			if got := l.heard(); got != "end" {
				t.Errorf("heard %s, want the end", got)
			}
		},
	})
}

// TestOVirtReceiver: filters may name the host as its owner does.
func TestOVirtReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent(t)
		conn, err := a.dial(t.Context(), &transport.DialOptions{Options: still()})
		if err != nil {
			t.Fatal(err)
		}
		c := rpc.NewClient(conn, &rpc.ClientOptions{Receiver: "blue"})
		t.Cleanup(func() { _ = c.Close() })
		blue, server, red := listen(t, c, "blue|*|*|1", nil), listen(t, c, "server|*|*|1", nil), listen(t, c, "red|*|*|1", nil)
		a.emit("|virt|VM_status|1")
		if got := blue.heard() + " " + server.heard() + " " + red.heard(); got != "|virt|VM_status|1 |virt|VM_status|1 " {
			t.Errorf("heard %q, want it by the name and by the address", got)
		}
	})
}

// TestOtherFilters: outside the profile a filter of four parts is none.
func TestOtherFilters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serve(t, memPipe, rpc.NewMux(nil), nil).client(nil)
		_, err := c.Subscribe(t.Context(), "host|virt|*|*", nil)
		isErr(t, "Subscribe", err, rpc.ErrTopic)
	})
}
