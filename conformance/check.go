package conformance

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A Verdict is what became of the test of a rule.
type Verdict string

// The verdicts.
const (
	Passed  Verdict = "pass"
	Failed  Verdict = "fail"
	Skipped Verdict = "skip"
)

// A Result is the outcome of testing one rule.
type Result struct {
	Rule    Rule
	Verdict Verdict
	// Log is what the test had to say, one message a line: on a failure what
	// was wrong, on a skip the reason.
	Log string
	// Took is how long it took.
	Took time.Duration
}

// Check tests a wire or a server outside of go test, against the named rules or,
// without names, all that the harness is for, and yields each result as it comes. Rules that need
// virtual time are skipped, and so are those of [Harness].Skip that fail. A name that is no rule yields a failed Result of a
// Rule with that name alone. The end of ctx is the end of the rule under way
// and of the sequence.
func Check(ctx context.Context, h Harness, names ...string) iter.Seq[Result] {
	return func(yield func(Result) bool) {
		for _, r := range h.named(names) {
			if ctx.Err() != nil {
				return
			}
			result := Result{Rule: r, Verdict: Failed, Log: "there is no such rule"}
			if r.check != nil {
				result = r.try(ctx, nil, &h)
			}
			if why, known := h.Skip[r.Name]; known && result.Verdict == Failed {
				result.Verdict, result.Log = Skipped, why
			}
			if !yield(result) {
				return
			}
		}
	}
}

func (h *Harness) named(names []string) []Rule {
	if len(names) == 0 {
		return h.rules()
	}
	rules := make([]Rule, len(names))
	for i, name := range names {
		var known bool
		if rules[i], known = Lookup(name); !known {
			rules[i] = Rule{Name: name}
		}
	}
	return rules
}

// try tests a rule without telling t, which lends its bubble and may be nil.
func (r Rule) try(ctx context.Context, t *testing.T, h *Harness) Result { //nolint:thelper // t may be nil
	start := time.Now()
	rec := &recorder{outer: ctx, host: t}
	rec.do(func(t TB) { r.Check(t, h) })
	return Result{Rule: r, Verdict: rec.verdict(), Log: strings.Join(rec.log, "\n"), Took: time.Since(start)}
}

// A recorder is a TB that remembers.
type recorder struct {
	outer context.Context
	host  *testing.T

	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex // protects the fields below
	log      []string
	failed   bool
	skipped  bool
	cleanups []func()
}

// do runs f as a test is run, on a goroutine of its own.
func (r *recorder) do(f func(TB)) {
	r.ctx, r.cancel = context.WithCancel(r.outer)
	var ran sync.WaitGroup
	ran.Go(func() {
		defer r.clean()
		f(r)
	})
	ran.Wait()
}

// clean runs what Cleanup was given, last first, however f ended.
func (r *recorder) clean() {
	r.cancel()
	for {
		r.mu.Lock()
		n := len(r.cleanups)
		if n == 0 {
			r.mu.Unlock()
			return
		}
		last := r.cleanups[n-1]
		r.cleanups = r.cleanups[:n-1]
		r.mu.Unlock()
		last()
	}
}

// inBubble runs f in a bubble of the host with a recorder of its own, whose
// contexts belong to the bubble, and takes over what it recorded.
func (r *recorder) inBubble(f func(TB)) {
	inner := &recorder{outer: context.Background()}
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.log = append(r.log, inner.log...)
		r.failed, r.skipped = r.failed || inner.failed, r.skipped || inner.skipped
	}()
	synctest.Test(r.host, func(*testing.T) { inner.do(f) })
}

func (r *recorder) verdict() Verdict {
	switch {
	case r.failed:
		return Failed
	case r.skipped:
		return Skipped
	}
	return Passed
}

func (r *recorder) sayf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, fmt.Sprintf(format, args...))
}

func (r *recorder) Helper()                  {}
func (r *recorder) Context() context.Context { return r.ctx }
func (r *recorder) Log(args ...any)          { r.sayf("%s", strings.TrimSuffix(fmt.Sprintln(args...), "\n")) }

func (r *recorder) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

func (r *recorder) Errorf(format string, args ...any) {
	r.sayf(format, args...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Skip(args ...any) {
	r.Log(args...)
	r.SkipNow()
}

func (r *recorder) SkipNow() {
	r.mu.Lock()
	r.skipped = true
	r.mu.Unlock()
	runtime.Goexit()
}
