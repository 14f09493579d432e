package interop_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// ours are the sockets by which our client calls.
var ours = []string{"dealer", "req"}

// atOurs is the URL for a port and a socket of ours.
func atOurs(port int, socket string) string {
	return fmt.Sprintf("zmq://127.0.0.1:%d?socket=%s", port, socket)
}

// dialOurs dials a server of libzmq; the client is closed when the test ends.
func dialOurs(t *testing.T, port int, socket string) *rpc.Client {
	t.Helper()
	c, err := rpc.Dial(t.Context(), atOurs(port, socket), &rpc.ClientOptions{Conns: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestCallPyzmq: our client calls a REP and a ROUTER of libzmq.
func TestCallPyzmq(t *testing.T) {
	t.Parallel()
	needPyzmq(t)
	for _, c := range []struct {
		name string
		o    options
	}{
		{"REP", options{"socket": "REP"}},
		{"REP with heart-beats", options{"socket": "REP", "heartbeat": 100}},
		{"ROUTER", options{"socket": "ROUTER", "shuffle": true}},
		{"ROUTER with heart-beats", options{"socket": "ROUTER", "shuffle": true, "heartbeat": 100}},
	} {
		for _, socket := range ours {
			t.Run(c.name+" by "+socket, func(t *testing.T) {
				t.Parallel()
				b, n := newBook(t), volume()
				if c.o["heartbeat"] != nil || c.o["socket"] == "ROUTER" && socket == "req" {
					n = lessVolume()
				}
				o := maps.Clone(c.o)
				maps.Copy(o, options{"bind": "tcp://127.0.0.1:*", "ledger": b})
				_, port := listen(t, "zmq_server.py", o)
				client := dialOurs(t, port, socket)
				rate := enterAll(t, client, n)
				b.read(t, n).check(t)
				t.Logf("%d calls, %.0f a second", n, rate)
				if c.o["socket"] == "REP" || socket == "dealer" { // our ROUTER in Python does not answer notifications
					judgeOtherMessages(t, client)
				}
			})
		}
	}
}

// judgeOtherMessages sends what is no call with one answer.
func judgeOtherMessages(t *testing.T, c *rpc.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range 3 {
		if err := c.Notify(ctx, "Echo", []string{"for nobody"}); err != nil {
			t.Errorf("Notify = %v", err)
		}
	}
	var b rpc.Batch
	first, second := rpc.Add[[]string](&b, "Echo", []string{"first"}), rpc.Add[[]string](&b, "Echo", []string{"second"})
	if err := c.Do(ctx, &b); err != nil {
		t.Errorf("Do = %v", err)
	}
	for want, f := range map[string]interface {
		Get(ctx context.Context) ([]string, error)
	}{"first": first, "second": second} {
		if got, err := f.Get(ctx); err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("a batch answered %q, %v, want %q", got, err, want)
		}
	}
	_, err := rpc.Call[int](ctx, c, "Nothing", nil)
	if e := (*rpc.Error)(nil); !errors.As(err, &e) || e.Code != rpc.CodeMethodNotFound {
		t.Errorf("a method that there is not: %v", err)
	}
}

// TestCallPyzmqThroughDevice: our client calls REP workers behind a device.
func TestCallPyzmqThroughDevice(t *testing.T) {
	t.Parallel()
	needPyzmq(t)
	for _, socket := range ours {
		t.Run(socket, func(t *testing.T) {
			t.Parallel()
			b, n := newBook(t), volume()
			s := startScript(t, "zmq_proxy.py", options{})
			device := s.await("listening", patience)
			for range 2 {
				listen(t, "zmq_server.py", options{"socket": "REP", "connect": tcp(device.Workers), "ledger": b})
			}
			client := dialOurs(t, device.Port, socket)
			rate := enterAll(t, client, n)
			b.read(t, n).check(t)
			t.Logf("%d calls, %.0f a second", n, rate)
			judgeOtherMessages(t, client)
		})
	}
}

// TestCallPyzmqLogin: our client goes by PLAIN to a server of libzmq that has
// it.
func TestCallPyzmqLogin(t *testing.T) {
	t.Parallel()
	needPyzmq(t)
	_, port := listen(t, "zmq_server.py", options{"socket": "ROUTER", "bind": "tcp://127.0.0.1:*", "users": map[string]string{"ann": "secret:pass word"}})
	for _, c := range []struct {
		name string
		user *url.Userinfo
		want error
	}{
		{"right", url.UserPassword("ann", "secret:pass word"), nil},
		{"wrong password", url.UserPassword("ann", "no"), transport.ErrRefused},
		{"unknown user", url.UserPassword("bob", "secret:pass word"), transport.ErrRefused},
		{"NULL", nil, transport.ErrClosed}, // libzmq hangs up
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u := url.URL{Scheme: "zmq", User: c.user, Host: fmt.Sprintf("127.0.0.1:%d", port)}
			client, err := rpc.Dial(t.Context(), u.String(), nil)
			if c.want != nil {
				if !errors.Is(err, c.want) || !strings.Contains(err.Error(), "user") {
					t.Errorf("Dial = %v, want %v and a word about users", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = client.Close() }()
			enterAll(t, client, 20)
		})
	}
}

// TestPyzmqRestarted: a server of libzmq is killed and started again at its port
// under calls; our client comes back to it. A call is answered, and then it was
// executed once, or its outcome is unknown.
func TestPyzmqRestarted(t *testing.T) {
	t.Parallel()
	needPyzmq(t)
	for _, kind := range []string{"REP", "ROUTER"} {
		for _, socket := range ours {
			t.Run(kind+" by "+socket, func(t *testing.T) {
				t.Parallel()
				testRestart(t, kind, socket)
			})
		}
	}
}

func testRestart(t *testing.T, kind, socket string) {
	n := volume() / 5
	b := newBook(t)
	o := options{"socket": kind, "bind": "tcp://127.0.0.1:*", "ledger": b}
	server, port := listen(t, "zmq_server.py", o)
	o["bind"] = tcp(port)
	again := &transport.RedialOptions{Most: 200 * time.Millisecond}
	client, err := rpc.Dial(t.Context(), atOurs(port, socket), &rpc.ClientOptions{Conns: 8, Reconnect: again})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	var (
		next, unknown, notSent, after atomic.Int64
		back                          = make(chan struct{}) // closed when the server is
		gone                          sync.Once
		killed                        = make(chan struct{})
		wg                            sync.WaitGroup
		answered                      = make([]bool, n)
	)
	for range callers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && t.Context().Err() == nil; {
				if i == n/2 {
					gone.Do(func() { close(killed) })
				}
				err := enter(t.Context(), client, i)
				switch rpc.OutcomeOf(err) {
				case rpc.NotSent:
					notSent.Add(1)
					continue // the same again
				case rpc.Unknown:
					unknown.Add(1)
				default:
					if answered[i] = err == nil; err != nil {
						t.Errorf("call %d: %v", i, err)
					}
					select {
					case <-back:
						after.Add(1)
					default:
					}
				}
				i = int(next.Add(1)) - 1
			}
		})
	}
	<-killed
	server.kill()
	listen(t, "zmq_server.py", o)
	close(back)
	wg.Wait()
	judgeRestart(t, b.read(t, n), answered, int(unknown.Load()))
	if after.Load() == 0 {
		t.Error("no call was answered after the server had come back")
	}
	t.Logf("%d calls: %d unknown, %d tries not sent, %d answered after the server had come back", n, unknown.Load(), notSent.Load(), after.Load())
}

// judgeRestart compares what the callers know with what the servers did.
func judgeRestart(t *testing.T, executed tally, answered []bool, unknown int) {
	t.Helper()
	silent := 0
	for i, was := range answered {
		times := executed[i].Load()
		switch {
		case was && times != 1, times > 1:
			t.Errorf("call %d was answered: %t; executed: %d times", i, was, times)
		case !was:
			silent++
		}
	}
	if silent != unknown || unknown > callers {
		t.Errorf("%d calls were not answered and %d are unknown, of %d callers", silent, unknown, callers)
	}
}
