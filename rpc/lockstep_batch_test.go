package rpc_test

import (
	"testing"
	"testing/synctest"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// TestLockstepBatchPeers: a batch is one exchange, whatever its answer has or
// lacks.
func TestLockstepBatchPeers(t *testing.T) {
	const one, two = `{"jsonrpc":"2.0","id":1,"result":"one"}`, `{"jsonrpc":"2.0","id":2,"result":"two"}`
	const refusal = `{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"it went wrong"}}`
	for _, r := range []struct {
		name     string
		answers  []string
		first    error // nil: it is answered "one"
		second   error // nil: it is answered "two"
		code     rpc.Code
		replaced uint64
		late     uint64
	}{
		{"in full", []string{"[" + one + "," + two + "]"}, nil, nil, 0, 0, 0},
		{"in another order", []string{"[" + two + "," + one + "]"}, nil, nil, 0, 0, 0},
		{"without one", []string{"[" + one + "]"}, nil, rpc.ErrNoAnswer, 0, 1, 0},
		{"one message for each call, as OpenDaylight has it", []string{one, two}, nil, rpc.ErrNoAnswer, 0, 1, 1},
		{"twice", []string{"[" + one + "," + two + "]", "[" + one + "," + two + "]"}, nil, nil, 0, 1, 1},
		{"as a whole", []string{refusal}, nil, nil, rpc.CodeInternal, 0, 0},
		{"with nothing", []string{""}, rpc.ErrBadAnswer, rpc.ErrBadAnswer, 0, 1, 0},
	} {
		t.Run(r.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &stepDialer{t: t, script: func(_ int, m *transport.Message, answer func(string), _ func()) {
					if m.Body[0] != '[' {
						answer(reply(m, `"next"`))
						return
					}
					for _, body := range r.answers {
						answer(body)
					}
				}}
				c := d.client(rpc.ClientOptions{})
				var b rpc.Batch
				a, z := rpc.Add[string](&b, "A", nil), rpc.Add[string](&b, "B", nil)
				_ = c.Do(t.Context(), &b)
				for _, f := range []struct {
					name, want string
					future     *queue.Future[string]
					wantErr    error
				}{{"the first", "one", a, r.first}, {"the second", "two", z, r.second}} {
					got, err := get(t, f.future)
					switch {
					case r.code != 0:
						isCode(t, f.name, err, r.code)
					case f.wantErr != nil:
						isErr(t, f.name, err, f.wantErr)
						isOutcome(t, f.name, err, rpc.Unknown)
					case err != nil || got != f.want:
						t.Errorf("%s = %q, %v, want %q, nil", f.name, got, err, f.want)
					}
				}
				synctest.Wait()
				if got, err := rpc.Call[string](t.Context(), c, "Next", nil); err != nil || got != "next" {
					t.Errorf("the next call = %q, %v, want next, nil", got, err)
				}
				wantReplaced(t, c, r.replaced)
				if n := c.Late(); n != r.late {
					t.Errorf("Late() = %d, want %d", n, r.late)
				}
			})
		})
	}
}

// TestLockstepAnsweredNotification: a peer that answers notifications, as
// OpenDaylight does, is heard out, and nobody else gets the answer.
func TestLockstepAnsweredNotification(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &stepDialer{t: t, script: func(n int, m *transport.Message, answer func(string), _ func()) {
			if n%2 == 1 {
				answer(`{"jsonrpc":"2.0","id":2,"error":{"code":-32600,"message":"where is the id?"}}`)
				return
			}
			answer(reply(m, `"own"`))
		}}
		c := d.client(rpc.ClientOptions{})
		for range 3 {
			if err := c.Notify(t.Context(), "N", nil); err != nil {
				t.Errorf("Notify = %v, want nil", err)
			}
			if got, err := rpc.Call[string](t.Context(), c, "X", nil); err != nil || got != "own" {
				t.Errorf("Call = %q, %v, want own, nil", got, err)
			}
		}
		wantReplaced(t, c, 0)
		if n := c.Late(); n != 3 {
			t.Errorf("Late() = %d, want 3", n)
		}
	})
}
