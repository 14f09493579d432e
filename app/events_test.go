package app_test

import (
	"errors"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/rpc"
)

// subscribe returns what yields the next event.
func subscribe(t *testing.T, c *rpc.Client, filter string) func() rpc.Event {
	t.Helper()
	s, err := c.Subscribe(t.Context(), filter, nil)
	if err != nil {
		t.Fatal(err)
	}
	next, stop := iter.Pull2(s.Events())
	t.Cleanup(stop)
	return func() rpc.Event {
		t.Helper()
		e, err, ok := next()
		if err != nil || !ok {
			t.Fatalf("the events of %s ended: %v", filter, err)
		}
		return e
	}
}

// The clock ticks once a second, and ends with the server.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, app.Config{Listen: []string{"mem://clock:0"}})
		c := dial(t, r.url(), nil)
		next := subscribe(t, c, "clock")
		before := time.Now()
		for range 3 {
			var tick struct {
				Time time.Time `json:"time"`
			}
			if err := next().Decode(&tick); err != nil || tick.Time.Sub(before) <= 0 || tick.Time.Sub(before) > time.Second {
				t.Errorf("the tick after %v is %v, %v", before, tick.Time, err)
			}
			before = tick.Time
		}
		if err := r.stop(); err != nil {
			t.Errorf("Stop() = %v, want nil", err)
		}
	})
}

func TestTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, app.Config{Listen: []string{"mem://task:0"}})
		c := dial(t, r.url(), nil)
		next := subscribe(t, c, "task.*")
		began := time.Now()
		got, err := rpc.Call[int](t.Context(), c, "Task.Run", map[string]any{"ms": 1000, "id": "a"})
		if took := time.Since(began); got != 1000 || err != nil || took != time.Second {
			t.Errorf("Task.Run = %d, %v after %v, want 1000 after 1s", got, err, took)
		}
		type step struct {
			ID   string `json:"id"`
			Done int    `json:"done_ms"`
			Of   int    `json:"ms"`
		}
		for i := range 11 {
			var s step
			e := next()
			if err := e.Decode(&s); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(step{"a", 100 * i, 1000}, s); diff != "" || e.Topic != "task.a" {
				t.Errorf("step %d on %s (-want +got):\n%s", i, e.Topic, diff)
			}
		}
		if _, err := rpc.Call[int](t.Context(), c, "Task.Run", []int{5}); err != nil {
			t.Errorf("Task.Run without an id = %v", err)
		}
		var s step
		if e := next(); e.Decode(&s) != nil || len(s.ID) < 16 || e.Topic != "task."+s.ID {
			t.Errorf("the first event of a task without an id is %+v", e)
		}
		for _, id := range []string{"a.b", "*", "a b"} {
			_, err := rpc.Call[int](t.Context(), c, "Task.Run", map[string]any{"ms": 1, "id": id})
			if e, ok := errors.AsType[*rpc.Error](err); !ok || e.Code != rpc.CodeInvalidParams {
				t.Errorf("Task.Run with the id %q = %v, want %d", id, err, rpc.CodeInvalidParams)
			}
		}
		_, err = rpc.Call[int](t.Context(), c, "Task.Run", []int{-1})
		if e, ok := errors.AsType[*rpc.Error](err); !ok || e.Code != rpc.CodeInvalidParams {
			t.Errorf("Task.Run for less than no time = %v, want %d", err, rpc.CodeInvalidParams)
		}
	})
}
