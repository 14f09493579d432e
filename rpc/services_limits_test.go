package rpc_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// consumer serves deliveries as a broker makes them, and notes what becomes of
// them, until the test ends.
func consumer(t *testing.T, c *clerk, mux *rpc.Mux, o *rpc.ServerOptions) *fakeConn {
	t.Helper()
	srv := rpc.NewServer(mux, o)
	conn := newFakeConn()
	conn.in = make(chan any, 1024)
	conn.send = func(_ context.Context, m *transport.Message) error {
		c.note("sent ", brief(string(m.Body)))
		return nil
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.ServeConn(conn) }()
	t.Cleanup(func() {
		_ = conn.Close()
		<-ended
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown() = %v, want nil", err)
		}
	})
	return conn
}

// TestIssueForgoneRequestsAreSettled: a request that was never executed, because
// its caller had given up or a newer one took its place, was neither answered nor
// settled, and took one of those that a broker has under way for good.
func TestIssueForgoneRequestsAreSettled(t *testing.T) {
	const late = `{"jsonrpc":"2.0","method":"Wait","params":[1],"metadata":{"timeoutMs":1000}%s}`
	for _, tt := range []struct {
		name   string
		policy queue.Policy
		bodies []string
		want   []string
	}{
		{"its deadline passed", queue.Reject, []string{fmt.Sprintf(late, `,"id":1`)}, []string{"sent 1!-32055", "accepted 1"}},
		{"as a notification", queue.Reject, []string{fmt.Sprintf(late, "")}, []string{"accepted 1"}},
		{
			"its caller took it back", queue.Reject,
			[]string{`{"jsonrpc":"2.0","method":"Wait","params":[1],"id":1}`, `{"jsonrpc":"2.0","method":"rpc.cancel","params":{"id":1}}`},
			[]string{"accepted 2", "sent 1!-32052", "accepted 1"},
		},
		{
			"a newer one took its place", queue.DropOldest,
			[]string{`{"jsonrpc":"2.0","method":"Wait","params":[1],"id":1}`, `{"jsonrpc":"2.0","method":"Wait","params":[2],"id":2}`},
			[]string{"sent 1!-32009", "accepted 1", "sent 2=[2]", "accepted 2"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var c clerk
				g := newGate()
				q := newQueue(t, &queue.Options{Depth: 1, Workers: 1, Policy: tt.policy})
				conn := consumer(t, &c, gatedMux(g), &rpc.ServerOptions{Queue: q})
				conn.in <- delivered(&c, 0, `{"jsonrpc":"2.0","method":"Wait","params":[0],"id":0}`)
				synctest.Wait()
				for i, body := range tt.bodies {
					conn.in <- delivered(&c, uint64(i+1), body)
				}
				time.Sleep(time.Minute)
				g.open()
				synctest.Wait()
				var got []string
				for _, line := range c.take() {
					if line != "sent 0=[0]" && line != "accepted 0" {
						got = append(got, line)
					}
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("what was done (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestParkedRequestsKeepTheirOrder: a request that comes when a place has just
// become free does not overtake those that wait for it.
func TestParkedRequestsKeepTheirOrder(t *testing.T) {
	const n = 1000
	var want []string
	var c, ran clerk
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Note", func(_ context.Context, i int) (int, error) {
		ran.note("ran", i)
		return i, nil
	})
	done := make(chan struct{})
	rpc.Handle(mux, "Last", func(context.Context, struct{}) (any, error) { close(done); return nil, nil })
	q := newQueue(t, &queue.Options{Depth: 2, Workers: 2})
	conn := consumer(t, &c, mux, &rpc.ServerOptions{Queue: q, Width: 1})
	for i := range n {
		conn.in <- delivered(&c, uint64(i), fmt.Sprintf(`{"jsonrpc":"2.0","method":"Note","params":[%[1]d],"id":%[1]d}`, i))
		want = append(want, fmt.Sprintf("ran%d", i))
	}
	conn.in <- delivered(&c, n, `{"jsonrpc":"2.0","method":"Last"}`)
	within(t, done, "the last request")
	if diff := cmp.Diff(want, ran.take()); diff != "" {
		t.Errorf("executed (-want +got):\n%s", diff)
	}
}

// TestIssueParkedServicesLeaveOthersAlone: requests that waited for a place with
// one service kept those for others from theirs.
func TestIssueParkedServicesLeaveOthersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clerk
		stuck, g := newGate(), newGate()
		mux := gatedMux(g)
		rpc.Handle(mux, "Stuck.Wait", func(ctx context.Context, n int) (int, error) { return n, stuck.pass(ctx) })
		small := queue.Options{Depth: 1, Workers: 1}
		conn := consumer(t, &c, mux, &rpc.ServerOptions{
			Queue: newQueue(t, &small), Services: map[string]rpc.ServiceOptions{"Stuck": {Queue: &small}},
		})
		for i, method := range []string{"Stuck.Wait", "Stuck.Wait", "Stuck.Wait", "Wait", "Wait", "Wait", "Wait"} {
			conn.in <- delivered(&c, uint64(i), fmt.Sprintf(`{"jsonrpc":"2.0","method":%q,"params":[%d],"id":%d}`, method, i, i))
		}
		synctest.Wait()
		g.open()
		synctest.Wait()
		want := []string{"sent 3=[3]", "accepted 3", "sent 4=[4]", "accepted 4", "sent 5=[5]", "accepted 5", "sent 6=[6]", "accepted 6"}
		if diff := cmp.Diff(want, c.take()); diff != "" {
			t.Errorf("while a service is stuck (-want +got):\n%s", diff)
		}
		stuck.open()
	})
}

// TestIssueKeyedRequestsAreBounded: a peer had as many requests with a service that
// goes by keys as the service had places, whatever InFlight said, and could let
// as many answers wait as it liked to ask for.
func TestIssueKeyedRequestsAreBounded(t *testing.T) {
	type params struct {
		Key int `json:"key"`
	}
	t.Run("in flight", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, w wire) {
			g := newGate()
			mux := rpc.NewMux(nil)
			rpc.Handle(mux, "S.Wait", func(ctx context.Context, p params) (int, error) { return p.Key, g.pass(ctx) })
			h := serve(t, w, mux, &rpc.ServerOptions{Services: map[string]rpc.ServiceOptions{"S": {Key: "key", InFlight: 5}}})
			c, other := h.client(nil), h.client(nil)
			var fs []*queue.Future[int]
			for i := range 20 {
				fs = append(fs, rpc.Go[int](t.Context(), c, "S.Wait", []int{i % 3}))
			}
			synctest.Wait()
			f := rpc.Go[int](t.Context(), other, "S.Wait", []int{0})
			g.open()
			isValue(t, "a call of another peer", f, 0)
			answered := 0
			for i, f := range fs {
				v, err := get(t, f)
				if err == nil && v == i%3 {
					answered++
					continue
				}
				isCode(t, "a call too many", err, rpc.CodeBusy)
			}
			if answered != 5 {
				t.Errorf("%d calls were answered, want 5", answered)
			}
			synctest.Wait()
			if v, err := rpc.Call[int](t.Context(), c, "S.Wait", []int{7}); err != nil || v != 7 {
				t.Errorf("a call after that = %d, %v, want 7, nil", v, err)
			}
		})
	})
	t.Run("answers that are not read", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, w wire) {
			const said, size = 500, 64 << 10
			var ran counter
			mux := rpc.NewMux(nil)
			large := strings.Repeat("x", size)
			rpc.Handle(mux, "S.Large", func(context.Context, params) (string, error) { ran.add(1); return large, nil })
			h := serve(t, w, mux, &rpc.ServerOptions{Services: map[string]rpc.ServiceOptions{"S": {Key: "key", InFlight: 20}}})
			p := h.peer()
			mouth := *p
			done := make(chan struct{})
			go func() {
				defer close(done)
				for i := range said {
					mouth.say(fmt.Sprintf(`{"jsonrpc":"2.0","method":"S.Large","params":[%d],"id":%d}`, i, i))
				}
			}()
			synctest.Wait()
			if n := ran.n(); n > 100 {
				t.Errorf("%d requests of 64 KiB answers were executed for a peer that does not read, want few", n)
			}
			for range said {
				p.hear()
			}
			<-done
		})
	})
	t.Run("in a batch", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, w wire) {
			g := newGate()
			mux := gatedMux(g)
			rpc.Handle(mux, "S.Wait", func(ctx context.Context, p params) (int, error) { return p.Key, g.pass(ctx) })
			p := serve(t, w, mux, &rpc.ServerOptions{Services: map[string]rpc.ServiceOptions{"S": {Key: "key", InFlight: 2}}}).peer()
			p.say(`[{"jsonrpc":"2.0","method":"S.Wait","params":[1],"id":1},{"jsonrpc":"2.0","method":"S.Wait","params":[1],"id":2},
				{"jsonrpc":"2.0","method":"S.Wait","params":[1],"id":3},{"jsonrpc":"2.0","method":"Echo","params":[4],"id":4}]`)
			synctest.Wait()
			g.open()
			if got, want := brief(p.hear()), `[1=1, 2=1, 3!-32009, 4=[4]]`; got != want {
				t.Errorf("answered %s, want %s", got, want)
			}
			synctest.Wait()
			p.say(`{"jsonrpc":"2.0","method":"S.Wait","params":[1],"id":5}`)
			if got, want := brief(p.hear()), `5=1`; got != want {
				t.Errorf("answered %s after that, want %s", got, want)
			}
		})
	})
}

// TestIssueFanOutWithoutMetadata: a peer that takes neither batches nor metadata
// got the requests of a batch with metadata, and refused them all.
func TestIssueFanOutWithoutMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newFakeConn()
		conn.send = func(_ context.Context, m *transport.Message) error {
			body := string(m.Body)
			switch {
			case strings.HasPrefix(body, "["):
				conn.receive(`{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no batches"}}`)
			case strings.Contains(body, "metadata"):
				id := body[strings.Index(body, `"id":`)+5:]
				conn.receive(`{"jsonrpc":"2.0","id":` + id[:strings.IndexByte(id, ',')] + `,"error":{"code":-32600,"message":"what is metadata?"}}`)
			default:
				conn.receive(resultOf((&peer{t: t}).parse(body, make([]request, 1))[0], "1"))
			}
			return nil
		}
		c := fakeClient(t, conn, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var b rpc.Batch
		fs := []*queue.Future[int]{rpc.Add[int](&b, "a", nil), rpc.Add[int](&b, "b", nil)}
		if err := c.Do(ctx, &b); err != nil {
			t.Errorf("Do() = %v, want nil", err)
		}
		for _, f := range fs {
			isValue(t, "a member", f, 1)
		}
	})
}
