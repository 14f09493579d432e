package app_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"go.uber.org/fx"
	"go.uber.org/goleak"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/rpc"
)

// A ledger says of every call what the server and what the caller know of it.
type ledger struct {
	mu       sync.Mutex
	executed map[string]int
	outcomes map[string][]string
}

// work executes the call that its nonce names, in the given time.
func (l *ledger) work() app.Methods {
	type params struct {
		Nonce string `json:"nonce"`
		MS    int    `json:"ms"`
	}
	return func(m *rpc.Mux) error {
		rpc.Handle(m, "Work", func(ctx context.Context, p params) (string, error) {
			l.mu.Lock()
			l.executed[p.Nonce]++
			l.mu.Unlock()
			select {
			case <-time.After(time.Duration(p.MS) * time.Millisecond):
				return p.Nonce, nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		})
		return nil
	}
}

// call makes a call and notes its outcome. It returns false when there is no
// point in another one.
func (l *ledger) call(ctx context.Context, c *rpc.Client, nonce string, ms int) bool {
	got, err := rpc.Call[string](ctx, c, "Work", map[string]any{"nonce": nonce, "ms": ms})
	outcome := rpc.OutcomeOf(err).String()
	if e, ok := errors.AsType[*rpc.Error](err); ok {
		outcome = fmt.Sprint("error ", int(e.Code))
	} else if err == nil && got != nonce {
		outcome = "answer to another call"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.outcomes[nonce] = append(l.outcomes[nonce], outcome)
	return err == nil
}

func (l *ledger) answered() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.outcomes {
		if o[0] == "answered" {
			n++
		}
	}
	return n
}

// check compares both sides: what was executed was answered, once; what was
// not was refused, or never arrived.
func (l *ledger) check(t *testing.T) (tally map[string]int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	tally = map[string]int{}
	refused := fmt.Sprint("error ", int(rpc.CodeShuttingDown))
	for nonce, outcomes := range l.outcomes {
		for _, o := range outcomes {
			tally[o]++
		}
		switch n := l.executed[nonce]; {
		case len(outcomes) != 1:
			t.Errorf("call %s has outcomes %v, want one", nonce, outcomes)
		case outcomes[0] == "answered" && n == 1:
		case outcomes[0] != "answered" && n == 0 &&
			(outcomes[0] == refused || outcomes[0] == "not sent" || outcomes[0] == "unknown"):
		default:
			t.Errorf("call %s: %s, executed %d times", nonce, outcomes[0], n)
		}
	}
	for nonce := range maps.Keys(l.executed) {
		if l.outcomes[nonce] == nil {
			t.Errorf("call %s was executed and nobody knows of it", nonce)
		}
	}
	return tally
}

// Stop under load, 20 times: every call that was accepted is answered, every
// other one is refused or known not to be executed, new connections are
// refused, and no goroutine is left.
func TestStopUnderLoad(t *testing.T) {
	const rounds, clients, callers = 20, 8, 4
	total := map[string]int{}
	for round := range rounds {
		l := &ledger{executed: map[string]int{}, outcomes: map[string][]string{}}
		r := start(t, app.Config{}, fx.Provide(app.AsMethods(l.work)))
		var wg sync.WaitGroup
		var all []*rpc.Client
		for i := range clients {
			c := dial(t, r.url(), nil)
			all = append(all, c)
			for j := range callers {
				wg.Go(func() {
					n := 0
					for l.call(t.Context(), c, fmt.Sprintf("%d/%d/%d/%d", round, i, j, n), (i+j+n)%20+1) {
						n++
					}
				})
			}
		}
		eventually(t, func() bool { return l.answered() > 100 })
		began := time.Now()
		if err := r.stop(); err != nil {
			t.Errorf("round %d: Stop() = %v, want nil", round, err)
		}
		if took := time.Since(began); took > r.fx.StopTimeout() {
			t.Errorf("round %d: Stop took %v, want at most %v", round, took, r.fx.StopTimeout())
		}
		wg.Wait()
		if c, err := rpc.Dial(t.Context(), r.url(), nil); err == nil {
			_ = c.Close()
			t.Errorf("round %d: a new connection was let in after Stop", round)
		}
		for _, c := range all {
			_ = c.Close()
		}
		if stopped := r.log.records(t, "stopped"); len(stopped) != 1 || stopped[0]["unanswered"] != 0.0 {
			t.Errorf("round %d: the log says %v, want one record with unanswered 0", round, stopped)
		}
		for outcome, n := range l.check(t) {
			total[outcome] += n
		}
		if err := goleak.Find(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	t.Logf("outcomes of all calls: %v", total)
}
