package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

// A listening is the wire mem with clients that only listen.
type listening struct{ mem.Transport }

func (l listening) Client(ctx context.Context, nc net.Conn, u *url.URL, o *transport.DialOptions) (transport.Conn, error) {
	feed := *u
	feed.RawQuery = "socket=sub"
	return l.Transport.Client(ctx, nc, &feed, o)
}

// feedPipe is the wire mem as a feed, in virtual time.
var feedPipe = wire{"feed", byPipe(listening{})}

// A feedPeer is the listening end of a feed without a library.
type feedPeer struct {
	t    testing.TB
	conn transport.Conn
}

func (h *host) feedPeer(o transport.Options, prefixes ...string) *feedPeer {
	h.t.Helper()
	p := &feedPeer{h.t, h.conn(o)}
	h.t.Cleanup(func() { _ = p.conn.Close() })
	sub, _ := transport.As[transport.Subscriber](p.conn)
	for _, prefix := range prefixes {
		if _, err := sub.Subscribe(h.t.Context(), transport.Subscription{Destination: prefix}); err != nil {
			h.t.Fatal(err)
		}
	}
	synctest.Wait()
	return p
}

// recv returns the next message.
func (p *feedPeer) recv() (*transport.Message, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return p.conn.Recv(ctx)
}

func (p *feedPeer) hears(topic string, bodies ...string) {
	p.t.Helper()
	for _, want := range bodies {
		m, err := p.recv()
		if err != nil {
			p.t.Fatalf("Recv() = %v, want %s", err, want)
		}
		if m.To != topic || m.Subject != topic || m.ContentType != "application/json" || string(m.Body) != want {
			p.t.Errorf("heard %q %q %q %s, want %s and %s", m.To, m.Subject, m.ContentType, m.Body, topic, want)
		}
	}
}

// TestFeedWire: what a peer without a library hears, once for each event.
func TestFeedWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := eventServer(t, feedPipe, nil)
		p := h.feedPeer(still(), "task.", "task.7", "clo")
		publish(t, h.Server, "task.7", []int{1}, 1)
		publish(t, h.Server, "task", []int{2}, 0)
		publish(t, h.Server, "clock", nil, 1)
		publish(t, h.Server, "task.8", map[string]int{"ms": 3}, 1)
		p.hears("task.7", event("task.7", 1, false))
		p.hears("clock", `{"jsonrpc":"2.0","method":"clock"}`)
		p.hears("task.8", `{"jsonrpc":"2.0","method":"task.8","params":{"ms":3}}`)
		if m, err := p.recv(); err == nil {
			t.Errorf("heard %s, want nothing more", m.Body)
		}
		if got := h.EventStats(); got.Subscriptions != 1 || got.Published != 3 || got.Dropped != 0 {
			t.Errorf("EventStats() = %+v, want 1 subscription, 3 published, none dropped", got)
		}
		_ = p.conn.Close()
		synctest.Wait()
		publish(t, h.Server, "task.7", []int{1}, 0)
		if got := h.EventStats().Subscriptions; got != 0 || h.Connections() != 0 {
			t.Errorf("%d subscriptions and %d connections are left, want none", got, h.Connections())
		}
	})
}

// reach publishes, without params, until n subscribers get it: nothing else tells
// that a server has heard of the subscriptions of feeds.
func reach(tb testing.TB, s *rpc.Server, topic string, n int) {
	tb.Helper()
	for until := time.Now().Add(patience); ; runtime.Gosched() {
		if got, err := s.Publish(tb.Context(), topic, nil); got == n {
			return
		} else if err != nil || time.Now().After(until) {
			tb.Fatalf("Publish(%s) reaches %d, %v, want %d", topic, got, err, n)
		}
	}
}

// TestFeedBesideOthers: a feed and a peer that has asked for events get the same.
func TestFeedBesideOthers(t *testing.T) {
	h := eventServer(t, memURL, nil)
	feed := open(t, subscribe(t, dialClient(t, h.url+"?socket=sub", nil), "task.#", 1<<20))
	asked := open(t, subscribe(t, h.client(nil), "task.#", 1<<20))
	reach(t, h.Server, "task", 2)
	for i := 1; i < 5; i++ {
		publish(t, h.Server, "task.x", []int{i}, 2)
	}
	for _, p := range []*tap{feed, asked} {
		for {
			e, err, _ := p.next()
			if got := seen(e, err); got == "task.x [1]" {
				break
			} else if got != "task " {
				t.Fatalf("yielded %s, want task", got)
			}
		}
		p.yields("task.x [2]", "task.x [3]", "task.x [4]")
	}
}

// TestFeedSubscribe: filters are told apart at the client, and each event comes
// to each subscription once.
func TestFeedSubscribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := eventServer(t, feedPipe, nil)
		c := h.client(nil)
		topics := []string{"task", "task.7", "task.70", "task.7.log", "tasks.7", "clock", "a.b.c", "a.x.c"}
		want := map[string][]string{
			"task.*": {"task.7", "task.70"}, "task.#": {"task", "task.7", "task.70", "task.7.log"}, "task.7": {"task.7"},
			"#": topics, "*": {"task", "clock"}, "a.*.c": {"a.b.c", "a.x.c"}, "#.7": {"task.7", "tasks.7"}, "nobody": nil,
		}
		taps := map[string]*tap{}
		for filter := range want {
			taps[filter] = open(t, subscribe(t, c, filter, 100))
		}
		synctest.Wait()
		for _, topic := range topics {
			publish(t, h.Server, topic, []int{1}, 1)
		}
		publish(t, h.Server, "nobody", nil, 1)
		synctest.Wait()
		_ = h.Shutdown(t.Context())
		for filter, topics := range want {
			var got []string
			for e, err, ok := taps[filter].next(); ok && err == nil; e, err, ok = taps[filter].next() {
				got = append(got, e.Topic)
			}
			if filter == "#" || filter == "*" || filter == "nobody" {
				topics = append(slices.Clone(topics), "nobody")
			}
			if diff := cmp.Diff(topics, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", filter, diff)
			}
		}
	})
}

// TestFeedShares: equal prefixes are one subscription of the wire, which lives as
// long as the last that wants it.
func TestFeedShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := still()
		o.Limits.Subscriptions = 1
		h := serve(t, feedPipe, rpc.NewMux(nil), nil)
		c := rpc.NewClient(h.conn(o), nil)
		defer func() { _ = c.Close() }()
		one, two := subscribe(t, c, "task.*", 10), subscribe(t, c, "task.*.log", 10)
		_, err := c.Subscribe(t.Context(), "clock", nil)
		isErr(t, "Subscribe() over the limit", err, transport.ErrTooLarge)
		isOutcome(t, "Subscribe() over the limit", err, rpc.NotSent)
		synctest.Wait()
		publish(t, h.Server, "task.7", []int{1}, 1)
		open(t, one).yields("task.7 [1]")
		_ = one.Close()
		synctest.Wait()
		publish(t, h.Server, "task.7.log", []int{2}, 1)
		open(t, two).yields("task.7.log [2]")
		_ = two.Close()
		_ = two.Close()
		synctest.Wait()
		publish(t, h.Server, "task.7", []int{3}, 0)
		p := open(t, subscribe(t, c, "clock", 10))
		synctest.Wait()
		publish(t, h.Server, "clock", []int{4}, 1)
		p.yields("clock [4]")
	})
}

// TestFeedCalls: whatever is to be sent fails at once and says what to do; events
// go on.
func TestFeedCalls(t *testing.T) {
	pass := func(ctx context.Context, i *rpc.Invocation) error { return i.Next(ctx) }
	for name, o := range map[string]*rpc.ClientOptions{
		"": nil, "AutoBatch": {AutoBatch: 10}, "Plain": {Plain: true}, "Interceptors": {Interceptors: []rpc.Interceptor{pass}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := eventServer(t, feedPipe, nil)
				c := h.client(o)
				p := open(t, subscribe(t, c, "#", 10))
				synctest.Wait()
				for _, way := range waysToCall {
					began := time.Now()
					err := way.call(t.Context(), c, []int{1})
					isErr(t, way.name, err, transport.ErrUnsupported)
					isOutcome(t, way.name, err, rpc.NotSent)
					if took := time.Since(began); took > 0 || err == nil || !strings.Contains(err.Error(), "only carries events; to call, dial without ?socket=sub") {
						t.Errorf("%s = %v after %v, want what to do at once", way.name, err, took)
					}
				}
				_, err := rpc.Detach[any](t.Context(), c, "m", nil, nil).Get(t.Context())
				isOutcome(t, "Detach", err, rpc.NotSent)
				publish(t, h.Server, "t", []int{1}, 1)
				p.yields("t [1]")
			})
		})
	}
}

// TestFeedFilter: one that cannot be used is refused before anything is sent.
func TestFeedFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := eventServer(t, feedPipe, nil)
		_, err := h.client(nil).Subscribe(t.Context(), "a..b", nil)
		isErr(t, "Subscribe(a..b)", err, rpc.ErrTopic)
		isOutcome(t, "Subscribe(a..b)", err, rpc.NotSent)
	})
}

// TestFeedEnds: the end of the connection is the last that is yielded, and nobody
// can subscribe any more.
func TestFeedEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := eventServer(t, feedPipe, nil)
		c := h.client(nil)
		p := open(t, subscribe(t, c, "#", 10))
		synctest.Wait()
		publish(t, h.Server, "t", []int{1}, 1)
		_ = h.Shutdown(t.Context())
		p.yields("t [1]")
		_, err, ok := p.next()
		isErr(t, "the last", err, transport.ErrClosed)
		p.ends()
		if !ok {
			t.Error("the loop has ended without the reason")
		}
		<-c.Done()
		_, err = c.Subscribe(t.Context(), "t", nil)
		isErr(t, "Subscribe() after the end", err, transport.ErrClosed)
	})
}

// TestFeedWindow: a loop that is too slow misses what its window has no room for,
// and is told, in its place.
func TestFeedWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := eventServer(t, feedPipe, nil)
		c := h.client(nil)
		slow, quick := subscribe(t, c, "t", 3), open(t, subscribe(t, c, "#", 100))
		synctest.Wait()
		for i := range 10 {
			publish(t, h.Server, "t", []int{i}, 1)
			quick.yields(fmt.Sprintf("t [%d]", i))
		}
		p := open(t, slow)
		p.yields("t [0]", "t [1]", "t [2]", "gap 7")
		synctest.Wait()
		publish(t, h.Server, "t", []int{10}, 1)
		p.yields("t [10]")
		if slow.Dropped() != 7 {
			t.Errorf("Dropped() = %d, want 7", slow.Dropped())
		}
	})
}

// TestFeedOddities: what is no event harms nothing, and is logged when its number
// has doubled.
func TestFeedOddities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := pair(t, listening{})
		defer func() { _ = far.Close() }()
		go func() { _, _ = far.Recv(context.Background()) }()
		var log bytes.Buffer
		c := rpc.NewClient(near, &rpc.ClientOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		defer func() { _ = c.Close() }()
		p := open(t, subscribe(t, c, "t", 10))
		synctest.Wait()
		odd := []string{
			``, `{`, `[]`, `7`, `[{"jsonrpc":"2.0","method":"t"}]`, `{"jsonrpc":"2.0","method":"t","id":1}`,
			`{"jsonrpc":"2.0","result":1,"id":1}`, `{"jsonrpc":"2.0","method":"u"}`, "t", "\x00\xff",
		}
		for _, body := range append(odd, event("t", 1, false)) {
			if err := far.Send(t.Context(), &transport.Message{To: "t", Body: []byte(body)}); err != nil {
				t.Fatal(err)
			}
		}
		p.yields("t [1]")
		synctest.Wait()
		if n := strings.Count(log.String(), "no event"); n != 4 || !strings.Contains(log.String(), "count=8") {
			t.Errorf("%d records of %d oddities, want 4, the last with count=8:\n%s", n, len(odd), &log)
		}
	})
}

// TestFeedPolicies: a feed whose peer does not read drops, waits or ends as the
// policy says, and holds up no other.
func TestFeedPolicies(t *testing.T) {
	const n, buffer = 2000, 10
	for _, policy := range []rpc.EventPolicy{rpc.DropOldest, rpc.DropNewest, rpc.Block, rpc.Disconnect} {
		t.Run(policy.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := still()
				o.SendBuffer = 4096
				h := serveOn(t, feedPipe, &transport.ListenOptions{Options: o}, rpc.NewMux(nil),
					&rpc.ServerOptions{Events: &rpc.EventOptions{Buffer: buffer, Policy: policy}})
				deaf, other := h.feedPeer(o, "t"), h.feedPeer(o, "")
				began, reached := time.Now(), 0
				for i := range n {
					ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
					got, err := h.Publish(ctx, "t", []int{i})
					cancel()
					if err != nil && (policy != rpc.Block || !errors.Is(err, context.DeadlineExceeded)) {
						t.Fatalf("Publish() = %d, %v", got, err)
					}
					reached += got
					other.hears("t", event("t", i, false))
				}
				took, dropped := time.Since(began), int(h.EventStats().Dropped)
				if waited := policy == rpc.Block; waited != (took > time.Second) {
					t.Errorf("Publish took %v, with %s", took, policy)
				}
				got := deaf.all()
				switch {
				case policy == rpc.Disconnect:
					time.Sleep(2 * time.Second) // the linger time, and more
					if h.Connections() != 1 || len(got) == n {
						t.Errorf("%d connections after %d events of %d, want one", h.Connections(), len(got), n)
					}
					return
				case dropped == 0 || len(got)+dropped != n:
					t.Errorf("%d came, %d were dropped, want %d in all and some dropped", len(got), dropped, n)
				case policy != rpc.DropOldest && reached != n+len(got):
					t.Errorf("Publish says that %d were reached, want %d", reached, n+len(got))
				}
				last := event("t", n-1, false)
				if kept := got[len(got)-1] == last; kept != (policy == rpc.DropOldest) {
					t.Errorf("the last that came is %s, with %s", got[len(got)-1], policy)
				}
				publish(t, h.Server, "t", []int{n}, 2) // it goes on
				deaf.hears("t", event("t", n, false))
				other.hears("t", event("t", n, false))
			})
		})
	}
}

// all returns the bodies that come until nothing does.
func (p *feedPeer) all() (bodies []string) {
	p.t.Helper()
	for {
		m, err := p.recv()
		if err != nil {
			return bodies
		}
		bodies = append(bodies, string(m.Body))
	}
}

// TestFeedUnsubscribedMeanwhile: what waits for a peer that does not want it any
// more is forgotten, and the rest goes on.
func TestFeedUnsubscribedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 1000
		o := still()
		o.SendBuffer = 4096
		h := serveOn(t, feedPipe, &transport.ListenOptions{Options: o}, rpc.NewMux(nil), nil)
		p := h.feedPeer(o)
		sub, _ := transport.As[transport.Subscriber](p.conn)
		id, err := sub.Subscribe(t.Context(), transport.Subscription{Destination: "gone"})
		if err == nil {
			_, err = sub.Subscribe(t.Context(), transport.Subscription{Destination: "stays"})
		}
		synctest.Wait()
		for i := range n {
			publish(t, h.Server, []string{"gone", "stays"}[i%2], []int{i}, 1)
		}
		if err := errors.Join(err, sub.Unsubscribe(t.Context(), id)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		publish(t, h.Server, "gone", nil, 0)
		gone, stays := 0, 0
		for _, body := range p.all() {
			if strings.Contains(body, "gone") {
				gone++
			} else {
				stays++
			}
		}
		if gone == 0 || gone == n/2 || stays != n/2 {
			t.Errorf("%d came of what was unsubscribed, %d of the rest, want some and %d", gone, stays, n/2)
		}
		publish(t, h.Server, "stays", []int{n}, 1)
		p.hears("stays", event("stays", n, false))
	})
}

// TestFeedTooLarge: an event that the wire cannot carry is dropped, and counted.
func TestFeedTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := eventServer(t, feedPipe, nil)
		o := still()
		o.Limits.Message = 1000
		p := h.feedPeer(o, "")
		publish(t, h.Server, "t", []string{strings.Repeat("x", 1000)}, 1)
		publish(t, h.Server, "t", []int{1}, 1)
		p.hears("t", event("t", 1, false))
		if got := h.EventStats().Dropped; got != 1 {
			t.Errorf("Dropped = %d, want 1", got)
		}
	})
}

// TestFeedShutdown: what waits for a feed is handed over first, also what handlers
// publish that are still running.
func TestFeedShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 1000
		g := newGate()
		var h *host
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "Slow", func(ctx context.Context, _ struct{}) (any, error) {
			err := g.pass(ctx)
			publish(t, h.Server, "t", []int{n}, 1)
			return nil, err
		})
		o := still()
		o.SendBuffer = 4096
		h = serveOn(t, feedPipe, &transport.ListenOptions{Options: o}, mux, nil)
		p := h.feedPeer(o, "t")
		near, far := pair(t, mem.Transport{})
		go func() { _ = h.ServeConn(far) }()
		c := rpc.NewClient(near, nil)
		defer func() { _ = c.Close() }()
		call := rpc.Go[any](t.Context(), c, "Slow", nil)
		g.await(t, 1)
		for i := range n {
			publish(t, h.Server, "t", []int{i}, 1)
		}
		down := make(chan error, 1)
		go func() { down <- h.Shutdown(t.Context()) }()
		synctest.Wait()
		g.open()
		if _, err := get(t, call); err != nil {
			t.Errorf("Slow = %v, want nil", err)
		}
		synctest.Wait()
		publish(t, h.Server, "t", []int{-1}, 0) // it is too late for more
		select {
		case err := <-down:
			t.Fatalf("Shutdown() = %v before the feed had what waited for it", err)
		default:
		}
		for i := range n + 1 {
			p.hears("t", event("t", i, false))
		}
		if _, err := p.recv(); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("Recv() after the last = %v, want %v", err, transport.ErrClosed)
		}
		if err := <-down; err != nil || h.EventStats().Dropped != 0 {
			t.Errorf("Shutdown() = %v, dropped %d, want nil and none", err, h.EventStats().Dropped)
		}
	})
}

// TestFeedShutdownInTime: a feed whose peer does not read is given up at the end of
// ctx.
func TestFeedShutdownInTime(t *testing.T) {
	for _, policy := range []rpc.EventPolicy{rpc.DropOldest, rpc.Block} {
		t.Run(policy.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := still()
				o.SendBuffer = 4096
				h := serveOn(t, feedPipe, &transport.ListenOptions{Options: o}, rpc.NewMux(nil),
					&rpc.ServerOptions{Events: &rpc.EventOptions{Policy: policy}})
				h.feedPeer(o, "t")
				waits := make(chan error, 1)
				go func() {
					for i := range 3000 {
						if _, err := h.Publish(context.Background(), "t", []int{i}); err != nil {
							waits <- err
							return
						}
					}
					waits <- nil
				}()
				synctest.Wait()
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				down := make(chan error, 1)
				go func() { down <- h.Shutdown(ctx) }()
				if err := within(t, waits, "Publish"); err != nil || time.Since(began) > 0 {
					t.Errorf("Publish() = %v after %v, want nil at once: no more is taken", err, time.Since(began))
				}
				if err := <-down; err != nil {
					t.Errorf("Shutdown() = %v, want nil: every request was answered", err)
				}
				if took := time.Since(began); took < 5*time.Second || took > 7*time.Second {
					t.Errorf("Shutdown took %v, want 5s and the linger time", took)
				}
				if h.EventStats().Dropped == 0 {
					t.Error("nothing counts as dropped")
				}
			})
		})
	}
}

// TestFeedReconnect: after a loss subscriptions go on, and show a gap when the
// connection is there again.
func TestFeedReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d, srv := redialed(t, listening{}, rpc.NewMux(nil), nil)
		s := subscribe(t, c, "task.*", 10)
		var mu sync.Mutex
		var got []string
		heard := func() []string {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			defer func() { got = nil }()
			return got
		}
		go func() {
			for e, err := range s.Events() {
				mu.Lock()
				got = append(got, seen(e, err))
				mu.Unlock()
			}
		}()
		synctest.Wait()
		for i := range 3 {
			publish(t, srv, "task.1", []int{i}, 1)
			if diff := cmp.Diff([]string{fmt.Sprintf("task.1 [%d]", i)}, heard()); diff != "" {
				t.Errorf("round %d (-want +got):\n%s", i, diff)
			}
			d.down.Store(true)
			d.cut()
			time.Sleep(time.Minute)
			publish(t, srv, "task.1", []int{-1}, 0)
			if got := heard(); got != nil {
				t.Errorf("round %d, while there is no connection: %v, want nothing", i, got)
			}
			for _, way := range waysToCall {
				isOutcome(t, way.name, way.call(t.Context(), c, nil), rpc.NotSent) // at once
			}
			later := make(chan *rpc.Subscription, 1)
			go func() {
				s, _ := c.Subscribe(context.Background(), "clock", nil)
				later <- s
			}()
			d.down.Store(false)
			time.Sleep(time.Minute)
			if diff := cmp.Diff([]string{"gap 0"}, heard()); diff != "" {
				t.Errorf("round %d, after the reconnect (-want +got):\n%s", i, diff)
			}
			other := within(t, later, "Subscribe")
			synctest.Wait()
			publish(t, srv, "clock", []int{i}, 1)
			for e, err := range other.Events() {
				if got := seen(e, err); got == "gap 0" {
					continue // it was asked for when the loss was known
				} else if want := fmt.Sprintf("clock [%d]", i); got != want {
					t.Errorf("yielded %s, want %s", got, want)
				}
				break
			}
			_ = other.Close()
		}
		_ = s.Close()
		synctest.Wait()
		publish(t, srv, "task.1", nil, 0)
	})
}

// TestFeedStress: subscriptions come and go, some with the same prefix, while
// events are published and heard.
func TestFeedStress(t *testing.T) {
	const n = 3000
	h := eventServer(t, memURL, &rpc.EventOptions{Policy: rpc.Block})
	c := dialClient(t, h.url+"?socket=sub", nil)
	all := subscribe(t, c, "task.#", 1<<20)
	reach(t, h.Server, "task", 1)
	ctx, stop := context.WithCancel(t.Context())
	var churn sync.WaitGroup
	for i := range 8 {
		churn.Go(func() {
			for ctx.Err() == nil {
				s, err := c.SubscribeFunc(ctx, []string{"task.*", "task.#", "#", "x.y"}[i%4], nil, func(rpc.Event, error) {})
				if err == nil {
					_ = s.Close()
				} else if ctx.Err() == nil {
					t.Errorf("Subscribe() = %v", err)
				}
			}
		})
	}
	for i := range n {
		if got, err := h.Publish(t.Context(), "task.x", []int{i}); got != 1 || err != nil {
			t.Fatalf("Publish(%d) = %d, %v, want 1", i, got, err)
		}
	}
	p := open(t, all)
	for e, err, _ := p.next(); ; e, err, _ = p.next() {
		if got := seen(e, err); got == "task.x [0]" {
			break
		} else if got != "task " {
			t.Fatalf("yielded %s, want what was published", got)
		}
	}
	for i := 1; i < n; i++ {
		p.yields(fmt.Sprintf("task.x [%d]", i))
	}
	stop()
	churn.Wait()
}

// TestLiteralPrefix: a filter's topics begin with it, and those of no longer one.
func TestLiteralPrefix(t *testing.T) {
	for filter, want := range map[string]string{
		"#": "", "*": "", "*.a": "", "a": "a", "a.b": "a.b", "a.*": "a.", "a.#": "a", "a.#.#": "a", "a.#.b": "a.", "a.#.*": "a.",
		"a.b.*.c": "a.b.", "#.a": "", "ä.ö.#": "ä.ö",
	} {
		if got := rpc.LiteralPrefix(filter); got != want {
			t.Errorf("LiteralPrefix(%q) = %q, want %q", filter, got, want)
		}
	}
	words := []string{"a", "aa", "b", "*", "#"}
	var texts func(n int) []string
	texts = func(n int) []string {
		if n == 1 {
			return words
		}
		var all []string
		for _, t := range texts(n - 1) {
			for _, w := range words {
				all = append(all, t+"."+w)
			}
		}
		return all
	}
	all := slices.Concat(texts(1), texts(2), texts(3))
	for _, filter := range all {
		prefix := rpc.LiteralPrefix(filter)
		for _, topic := range all {
			if !strings.ContainsAny(topic, "*#") && rpc.Matches(filter, topic) && !strings.HasPrefix(topic, prefix) {
				t.Fatalf("%s matches %s, which does not begin with %q", filter, topic, prefix)
			}
		}
	}
}

// BenchmarkPublishFeeds is an event to so many feeds, which take it.
func BenchmarkPublishFeeds(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("feeds=%d", n), func(b *testing.B) {
			h := eventServer(b, memURL, &rpc.EventOptions{Policy: rpc.Block})
			for range n {
				c := dialClient(b, h.url+"?socket=sub", nil)
				if _, err := c.SubscribeFunc(b.Context(), "task.*", &rpc.SubscribeOptions{Window: 1 << 20}, func(rpc.Event, error) {}); err != nil {
					b.Fatal(err)
				}
			}
			reach(b, h.Server, "task.7", n)
			payload := []int{1, 2, 3}
			b.ReportAllocs()
			for b.Loop() {
				if got, err := h.Publish(b.Context(), "task.7", payload); got != n || err != nil {
					b.Fatal(got, err)
				}
			}
		})
	}
}
