package rpc_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// A sluice is a fake connection that has no room while it is shut: a Send that
// only tries fails then, and one that waits goes on when it is opened.
type sluice struct {
	*fakeConn
	mu   sync.Mutex // protects the fields below
	shut chan struct{}
	err  error // what Sends that waited return
	sent []string
	to   []string
}

func newSluice() *sluice {
	s := &sluice{fakeConn: newFakeConn(), shut: make(chan struct{})}
	s.send = s.pass
	return s
}

func (s *sluice) pass(ctx context.Context, m *transport.Message) error {
	s.mu.Lock()
	shut := s.shut
	s.mu.Unlock()
	if shut != nil {
		if ctx.Err() != nil {
			return s.opError("send", fmt.Errorf("%w: %w", transport.ErrBusy, ctx.Err()))
		}
		select {
		case <-shut:
		case <-ctx.Done():
			return s.opError("send", fmt.Errorf("%w: %w", transport.ErrBusy, ctx.Err()))
		case <-s.closed:
			return s.opError("send", transport.ErrClosed)
		}
		s.mu.Lock()
		err := s.err
		s.mu.Unlock()
		if err != nil {
			return s.opError("send", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent, s.to = append(s.sent, string(m.Body)), append(s.to, m.To)
	return nil
}

// open lets those in who wait, with an error if it is not nil, and then all.
func (s *sluice) open(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
	close(s.shut)
	s.shut = nil
}

// take returns the requests sent so far, each with its destination.
func (s *sluice) take(t *testing.T) (all []request, to []string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &peer{t: t}
	for i, body := range s.sent {
		for _, r := range p.parse(body, room(body)) {
			all, to = append(all, r), append(to, s.to[i])
		}
	}
	s.sent, s.to = nil, nil
	return all, to
}

// TestIssueAutoBatchDestinations: a call of a handler to its caller went to
// whomever the calls went that it was packed with.
func TestIssueAutoBatchDestinations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSluice()
		s.replyAddress = func() (string, error) { return "me", nil }
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "Ask", func(ctx context.Context, _ struct{}) (any, error) {
			r, _ := rpc.FromContext(ctx)
			return nil, r.Client().Call(ctx, "back", nil, nil)
		})
		c := fakeClient(t, s.fakeConn, &rpc.ClientOptions{AutoBatch: 10, Mux: mux})
		go func() { _ = c.Call(t.Context(), "there", nil, nil) }()
		synctest.Wait()
		s.in <- &transport.Message{Body: []byte(`{"jsonrpc":"2.0","method":"Ask","id":1}`), ReplyTo: "asker"}
		synctest.Wait()
		go func() { _ = c.Call(t.Context(), "there", nil, nil) }()
		synctest.Wait()
		s.open(nil)
		synctest.Wait()
		all, to := s.take(t)
		if len(all) != 3 {
			t.Fatalf("%d requests were sent, want 3: %v", len(all), all)
		}
		for i, r := range all {
			if want := map[string]string{"there": "", "back": "asker"}[r.Method]; to[i] != want {
				t.Errorf("%s was sent to %q, want %q", r.Method, to[i], want)
			}
		}
	})
}

// TestIssueAutoBatchTakenBack: the failure of a message ended a later call, for
// which the waiter of one that was taken back served.
func TestIssueAutoBatchTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for round := range 20 { // waiters are reused now and then
			s := newSluice()
			c := fakeClient(t, s.fakeConn, &rpc.ClientOptions{AutoBatch: 10, Plain: true})
			ctx, cancel := context.WithCancel(t.Context())
			first := make(chan error, 1)
			go func() { first <- c.Call(ctx, "first", nil, nil) }()
			synctest.Wait() // its message waits for room
			cancel()
			if err := <-first; rpc.OutcomeOf(err) == rpc.Answered {
				t.Fatalf("first call = %v", err)
			}
			second := rpc.Go[int](t.Context(), c, "second", nil)
			s.open(transport.ErrTooLarge)
			synctest.Wait()
			all, _ := s.take(t)
			if len(all) != 1 || all[0].Method != "second" {
				_, err, _ := second.TryGet()
				t.Fatalf("round %d: sent %v, want the second call; it ended with %v", round, all, err)
			}
			s.receive(resultOf(all[0], "2"))
			isValue(t, "the second call", second, 2)
			_ = c.Close()
		}
	})
}

// TestIssueAutoBatchTooLarge: calls that each were within the limit of a message
// failed because together they were not.
func TestIssueAutoBatchTooLarge(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		o := still()
		o.Limits.Message = 8 << 10
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "Len", func(_ context.Context, s string) (int, error) { return len(s), nil })
		h := serveOn(t, w, &transport.ListenOptions{Options: o}, mux, nil)
		c := rpc.NewClient(h.conn(o), &rpc.ClientOptions{AutoBatch: 100})
		t.Cleanup(func() { _ = c.Close() })
		var wg sync.WaitGroup
		for i := range 32 {
			wg.Go(func() {
				for range 20 {
					if got, err := rpc.Call[int](t.Context(), c, "Len", []string{strings.Repeat("x", 100*i)}); err != nil || got != 100*i {
						t.Errorf("Len = %d, %v, want %d, nil", got, err, 100*i)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

// TestIssueAutoBatchLeaderLeaves: the one who sent for all went on sending as long
// as others came, whether its own answer was there or its time was up.
func TestIssueAutoBatchLeaderLeaves(t *testing.T) {
	for _, answered := range []bool{true, false} {
		t.Run(fmt.Sprintf("answered %v", answered), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := newFakeConn()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				over := make(chan struct{})
				var c *rpc.Client
				var sends counter
				conn.send = func(_ context.Context, m *transport.Message) error {
					body := string(m.Body)
					if strings.Contains(body, "rpc.cancel") {
						return nil
					}
					for _, r := range (&peer{t: t}).parse(body, room(body)) {
						if r.Method == "others" || answered {
							conn.receive(resultOf(r, "1"))
						} else {
							cancel()
						}
					}
					if sends.add(1); sends.n() > 200 {
						return nil
					}
					select {
					case <-over:
						return nil
					default:
					}
					go func() { _ = c.Call(context.Background(), "others", nil, nil) }()
					time.Sleep(time.Millisecond) // until it waits to be sent, too
					return nil
				}
				c = fakeClient(t, conn, &rpc.ClientOptions{AutoBatch: 2})
				_ = c.Call(ctx, "leader", nil, nil)
				close(over)
				if n := sends.n(); n > 5 {
					t.Errorf("the first call returned after %d messages, want it to leave the rest to others", n)
				}
				synctest.Wait()
			})
		})
	}
}

// TestAutoBatchEnds: calls that wait to be sent when the client is closed, or the
// connection is lost, end as not sent, and Close leaves no goroutine behind.
func TestAutoBatchEnds(t *testing.T) {
	for name, end := range map[string]func(*rpc.Client, *sluice){
		"close": func(c *rpc.Client, _ *sluice) { _ = c.Close() },
		"loss":  func(_ *rpc.Client, s *sluice) { s.fail(s.opError("receive", transport.ErrClosed)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSluice()
				c := fakeClient(t, s.fakeConn, &rpc.ClientOptions{AutoBatch: 3})
				var fs []*queue.Future[int]
				for range 10 {
					fs = append(fs, rpc.Go[int](t.Context(), c, "m", nil))
				}
				synctest.Wait()
				end(c, s)
				for i, f := range fs {
					_, err := get(t, f)
					isOutcome(t, fmt.Sprintf("call %d", i), err, rpc.NotSent)
				}
			})
		})
	}
}

// TestAutoBatchReconnects: calls that go together end once each, whatever happens
// to the connection, and say no more than is known.
func TestAutoBatchReconnects(t *testing.T) {
	for name, tr := range transports {
		t.Run(name, func(t *testing.T) {
			l := newLedger(5000)
			c, d, _ := redialed(t, tr, l.mux(), &rpc.ClientOptions{AutoBatch: 8})
			l.spend(t, 64, func(nonce int) ([2]int, error) {
				if nonce%250 == 249 {
					d.cut()
				}
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				if nonce%20 == 7 {
					time.AfterFunc(time.Duration(nonce%7)*50*time.Microsecond, cancel)
				}
				return rpc.Call[[2]int](ctx, c, "Spend", []int{nonce})
			})
			l.audit(t)
			t.Logf("%d answered, %d not sent, %d unknown; %d connections",
				l.counts[rpc.Answered].n(), l.counts[rpc.NotSent].n(), l.counts[rpc.Unknown].n(), d.dials.n())
			if d.dials.n() < 5 || l.counts[rpc.Answered].n() < len(l.executed)/2 {
				t.Error("want several connections and most calls answered")
			}
		})
	}
}
