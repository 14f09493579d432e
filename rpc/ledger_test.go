package rpc_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
)

// A ledger accounts for calls. Each carries a nonce. At the end each call has
// exactly one outcome; an answer is that to its own nonce; what was answered
// was executed, what was not sent was not, and nothing was executed twice.
type ledger struct {
	executed []atomic.Int32 // by nonce, at the server
	outcomes []atomic.Int32 // by nonce, at the client: how often it ended
	ended    []rpc.Outcome  // by nonce
	next     atomic.Int64
	counts   [3]counter // by outcome
}

func newLedger(n int) *ledger {
	return &ledger{executed: make([]atomic.Int32, n), outcomes: make([]atomic.Int32, n), ended: make([]rpc.Outcome, n)}
}

// mux is a server of one method that returns its nonce and a check of it.
func (l *ledger) mux() *rpc.Mux {
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Spend", func(_ context.Context, nonce int) ([2]int, error) {
		if nonce < 0 || nonce >= len(l.executed) {
			return [2]int{}, rpc.Errorf(1, "no such nonce: %d", nonce)
		}
		l.executed[nonce].Add(1)
		return [2]int{nonce, check(nonce)}, nil
	})
	return mux
}

func check(nonce int) int { return nonce*7919 + 13 }

// take returns the next nonce; ok is false when all are taken.
func (l *ledger) take() (nonce int, ok bool) {
	n := int(l.next.Add(1)) - 1
	return n, n < len(l.executed)
}

// note books the end of a call.
func (l *ledger) note(tb testing.TB, nonce int, got [2]int, err error) {
	tb.Helper()
	o := rpc.OutcomeOf(err)
	if l.outcomes[nonce].Add(1) != 1 {
		tb.Errorf("call %d ended twice", nonce)
	}
	if err == nil && got != [2]int{nonce, check(nonce)} {
		tb.Errorf("call %d was answered %v, want %v", nonce, got, [2]int{nonce, check(nonce)})
	}
	l.ended[nonce] = o
	l.counts[o].add(1)
}

// audit checks the books when everything is at rest.
func (l *ledger) audit(tb testing.TB) {
	tb.Helper()
	bad := 0
	for nonce := range l.executed {
		executed, ended := l.executed[nonce].Load(), l.outcomes[nonce].Load()
		switch o := l.ended[nonce]; {
		case ended != 1:
			tb.Errorf("call %d ended %d times", nonce, ended)
		case executed > 1:
			tb.Errorf("call %d (%v) was executed %d times", nonce, o, executed)
		case o == rpc.Answered && executed != 1:
			tb.Errorf("call %d was answered and not executed", nonce)
		case o == rpc.NotSent && executed != 0:
			tb.Errorf("call %d was executed, though it says it was not sent", nonce)
		default:
			continue
		}
		if bad++; bad == 20 {
			tb.Fatal("and so on")
		}
	}
}

// spend makes calls by n goroutines until every nonce is spent.
func (l *ledger) spend(tb testing.TB, callers int, call func(nonce int) ([2]int, error)) {
	tb.Helper()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for nonce, ok := l.take(); ok; nonce, ok = l.take() {
				got, err := call(nonce)
				l.note(tb, nonce, got, err)
			}
		})
	}
	wg.Wait()
}

// TestLedger: 64 callers on one connection, by every way to call.
func TestLedger(t *testing.T) {
	ctx := t.Context()
	one := func(c *rpc.Client) func(int) ([2]int, error) {
		return func(nonce int) ([2]int, error) { return rpc.Call[[2]int](ctx, c, "Spend", []int{nonce}) }
	}
	future := func(c *rpc.Client) func(int) ([2]int, error) {
		return func(nonce int) ([2]int, error) { return rpc.Go[[2]int](ctx, c, "Spend", []int{nonce}).Get(ctx) }
	}
	batch := func(c *rpc.Client) func(int) ([2]int, error) {
		return func(nonce int) ([2]int, error) {
			var b rpc.Batch
			b.Notify("nobody", []int{nonce})
			f := rpc.Add[[2]int](&b, "Spend", []int{nonce})
			rpc.Add[any](&b, "nobody", nil)
			if err := c.Do(ctx, &b); err != nil {
				return [2]int{}, err
			}
			return f.Get(ctx)
		}
	}
	for _, way := range []struct {
		name  string
		calls int
		call  func(*rpc.Client) func(int) ([2]int, error)
	}{{"Call", 5000, one}, {"Go", 5000, future}, {"Do", 2000, batch}} {
		t.Run(way.name, func(t *testing.T) {
			onWires(t, func(t *testing.T, w wire) {
				l := newLedger(way.calls)
				c := serve(t, w, l.mux(), nil).client(nil)
				l.spend(t, 64, way.call(c))
				l.audit(t)
				if got := l.counts[rpc.Answered].n(); got != len(l.executed) {
					t.Errorf("%d calls were answered, want %d", got, len(l.executed))
				}
			})
		})
	}
}

// TestLedgerTwoWay: both ends call at once on one connection.
func TestLedgerTwoWay(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		there, back := newLedger(2000), newLedger(2000)
		mux := there.mux()
		caller := make(chan *rpc.Client, 1)
		rpc.Handle(mux, "Hello", func(ctx context.Context, _ struct{}) (any, error) {
			r, _ := rpc.FromContext(ctx)
			caller <- r.Client()
			return nil, nil
		})
		c := serve(t, w, mux, nil).client(&rpc.ClientOptions{Mux: back.mux()})
		if err := c.Call(t.Context(), "Hello", nil, nil); err != nil {
			t.Fatal(err)
		}
		far := <-caller
		var wg sync.WaitGroup
		for _, way := range []struct {
			l *ledger
			c *rpc.Client
		}{{there, c}, {back, far}} {
			wg.Go(func() {
				way.l.spend(t, 32, func(nonce int) ([2]int, error) {
					return rpc.Call[[2]int](t.Context(), way.c, "Spend", []int{nonce})
				})
			})
		}
		wg.Wait()
		there.audit(t)
		back.audit(t)
		if a, b := there.counts[rpc.Answered].n(), back.counts[rpc.Answered].n(); a != 2000 || b != 2000 {
			t.Errorf("answered: %d there, %d back, want 2000 each", a, b)
		}
	})
}

// TestLedgerMillion: a million calls by 64 callers over one connection lose
// nothing, double nothing, and leave no memory behind.
func TestLedgerMillion(t *testing.T) {
	n := 20_000
	switch {
	case os.Getenv("POLYPORT_LONG") == "1":
		n = 1_000_000
	case testing.Short():
		n = 5000
	}
	t.Logf("%d calls; POLYPORT_LONG=1 makes it 1000000", n)
	l := newLedger(n)
	c := serve(t, stompTCP, l.mux(), nil).client(nil)
	call := func(nonce int) ([2]int, error) {
		return rpc.Call[[2]int](t.Context(), c, "Spend", []int{nonce})
	}
	// A first tenth fills the pools and grows the stacks.
	warm := newLedger(n / 10)
	warm.spend(t, 64, func(nonce int) ([2]int, error) {
		_, err := call(-1)
		isCode(t, "Spend(-1)", err, 1)
		return [2]int{nonce, check(nonce)}, nil
	})
	before := heap()
	l.spend(t, 64, call)
	after := heap()
	l.audit(t)
	if got := l.counts[rpc.Answered].n(); got != n {
		t.Errorf("%d calls were answered, want %d", got, n)
	}
	t.Logf("heap before %d KiB, after %d KiB", before>>10, after>>10)
	if after > before+4<<20 {
		t.Errorf("the heap grew from %d to %d KiB, want it flat", before>>10, after>>10)
	}
}

// heap returns the bytes of live objects.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // the first leaves what pools hold to the second
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestLedgerCuts: the connection is cut again and again under 64 callers. Each
// call ends once, and says no more and no less than what is known.
func TestLedgerCuts(t *testing.T) {
	for name, tr := range transports {
		t.Run(name, func(t *testing.T) {
			l := newLedger(5000)
			c, d, _ := redialed(t, tr, l.mux(), nil)
			l.spend(t, 64, func(nonce int) ([2]int, error) {
				if nonce%250 == 249 {
					d.cut() // under the calls of 63 others
				}
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				got, err := rpc.Call[[2]int](ctx, c, "Spend", []int{nonce})
				if err != nil && (errors.Is(err, context.DeadlineExceeded) || rpc.OutcomeOf(err) == rpc.Answered) {
					t.Errorf("Spend(%d) = %v, want it answered or lost with the connection", nonce, err)
				}
				return got, err
			})
			l.audit(t)
			t.Logf("%d answered, %d not sent, %d unknown; %d connections",
				l.counts[rpc.Answered].n(), l.counts[rpc.NotSent].n(), l.counts[rpc.Unknown].n(), d.dials.n())
			if d.dials.n() < 5 || l.counts[rpc.Answered].n() < len(l.executed)/2 || l.counts[rpc.Unknown].n() == 0 {
				t.Error("want several connections, most calls answered and some unknown")
			}
		})
	}
}

// TestLedgerBusy: what is refused as busy was not executed, and what was not
// refused was executed once.
func TestLedgerBusy(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		l := newLedger(5000)
		q := queue.New(&queue.Options{Depth: 4, Workers: 2})
		t.Cleanup(func() { _ = q.Close(context.Background()) })
		c := serve(t, w, l.mux(), &rpc.ServerOptions{Queue: q}).client(nil)
		var busy counter
		l.spend(t, 64, func(nonce int) ([2]int, error) {
			got, err := rpc.Call[[2]int](t.Context(), c, "Spend", []int{nonce})
			if err != nil {
				isCode(t, "Spend", err, rpc.CodeBusy)
				if l.executed[nonce].Load() != 0 {
					t.Errorf("call %d was refused and executed", nonce)
				}
				busy.add(1)
				l.executed[nonce].Add(1) // so that the audit finds it in order
			}
			return got, err
		})
		l.audit(t)
		t.Logf("%d of %d refused", busy.n(), len(l.executed))
	})
}
