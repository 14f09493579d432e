package queue_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/polyport/polyport/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A trace records, in order, what happens to the jobs it made.
type trace struct {
	mu    sync.Mutex
	lines []string
}

func (tr *trace) add(line string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.lines = append(tr.lines, line)
}

// take returns the lines since the last take, once everything is at rest.
func (tr *trace) take() []string {
	synctest.Wait()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	lines := tr.lines
	tr.lines = nil
	return lines
}

func (tr *trace) want(t *testing.T, when string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, tr.take()); diff != "" {
		t.Errorf("%s: events (-want +got):\n%s", when, diff)
	}
}

// wantSet is want for events whose order is not settled.
func (tr *trace) wantSet(t *testing.T, when string, want ...string) {
	t.Helper()
	got := tr.take()
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: events (-want +got):\n%s", when, diff)
	}
}

// A probe is a job that tells its trace of its start or its drop.
type probe struct {
	tr   *trace
	name string
	hold chan struct{} // Run waits for it if it is not nil
	do   func(context.Context)
}

func (p *probe) Run(ctx context.Context) {
	p.tr.add("run " + p.name)
	if p.hold != nil {
		<-p.hold
	}
	if p.do != nil {
		p.do(ctx)
	}
}

func (p *probe) Drop(err error) { p.tr.add("drop " + p.name + ": " + err.Error()) }

// release lets Run of a held probe return.
func (p *probe) release() { close(p.hold) }

func (tr *trace) job(name string) *probe { return &probe{tr: tr, name: name} }

func (tr *trace) held(name string) *probe {
	return &probe{tr: tr, name: name, hold: make(chan struct{})}
}

// submit submits p and expects it to be accepted.
func submit(t *testing.T, l *queue.Lane, ps ...*probe) {
	t.Helper()
	for _, p := range ps {
		if err := l.Submit(t.Context(), p); err != nil {
			t.Fatalf("Submit(%s) = %v, want nil", p.name, err)
		}
	}
}

// closeNow closes q and expects it to have nothing to wait for that needs help.
func closeNow(t *testing.T, q *queue.Queue) {
	t.Helper()
	if err := q.Close(context.Background()); err != nil {
		t.Errorf("Close() = %v, want nil", err)
	}
}

// isErr reports the error as a failure unless it wraps all of want
// that are not nil.
func isErr(t *testing.T, call string, err error, want ...error) {
	t.Helper()
	for _, w := range want {
		if w != nil && !errors.Is(err, w) {
			t.Errorf("%s = %v, want an error that wraps %v", call, err, w)
		}
	}
}

func isNot(t *testing.T, call string, err error, not ...error) {
	t.Helper()
	for _, w := range not {
		if errors.Is(err, w) {
			t.Errorf("%s = %v, want an error that does not wrap %v", call, err, w)
		}
	}
}

// soon is a context for a Close that is to give up after a second.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	t.Cleanup(cancel)
	return ctx
}
