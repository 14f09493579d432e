package queue_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/polyport/polyport/queue"
)

// TestFutureModel builds trees of futures, completes, cancels and awaits them in
// random order, one by one and several at the same time, and holds each of them
// after each step against what its parents, and those that say they completed it,
// make of it. POLYPORT_LONG=1 makes it 100,000 trees.
func TestFutureModel(t *testing.T) {
	checks(t, func(t *testing.T) {
		rapid.Check(inBubble{t}, func(rt *rapid.T) {
			m := new(futureModel)
			m.promise(rt)
			defer m.tidy()
			rt.Repeat(map[string]func(*rapid.T){
				"":        m.check,
				"Promise": m.promise,
				"Then":    m.then,
				"All":     m.all,
				"Race":    m.race,
				"OnDone":  m.onDone,
				"Act":     func(rt *rapid.T) { m.act(rt, 1) },
				"ActAll":  func(rt *rapid.T) { m.act(rt, rapid.IntRange(2, 6).Draw(rt, "at once")) },
				"Get":     m.get,
				"Open":    m.open,
				"Hook":    m.hook,
				"Sleep":   func(*rapid.T) { time.Sleep(time.Second) },
			})
		})
	})
}

// A treeFuture is what futures of all types have in common.
type treeFuture interface {
	Done() <-chan struct{}
	Cancel(cause error) bool
}

// A node is one future of the tree and what is known of it.
type node struct {
	kind  string
	f     treeFuture
	try   func() (any, error, bool)
	await func(context.Context) (any, error)
	p     *queue.Promise[int] // of kind promise
	// registered is how many hooks it has been given.
	registered int
	ints       *queue.Future[int] // nil for futures of other types
	parents    []*node

	// what its function does, if it has one: 0 returns, 1 fails, 2 panics
	mode int
	gate chan struct{} // nil, or what the function waits for
	open bool

	mu    sync.Mutex // protects the fields below
	calls int
	got   any // what the function was called with
	wins  []win
	hooks []error

	done bool // when check last looked
	val  any
	err  error
}

// A win is a call that says it completed the future.
type win struct {
	val      any
	err      error
	canceled bool
}

type wait struct {
	n    *node
	ctx  context.Context
	over bool
	val  any
	err  error
}

type futureModel struct {
	mu    sync.Mutex // protects waits' results
	nodes []*node
	waits []*wait
	next  int
}

var errNode = errors.New("as drawn")

func (m *futureModel) number() int {
	m.next++
	return m.next
}

func nodeOf[T any](kind string, f *queue.Future[T], parents ...*node) *node {
	n := &node{kind: kind, f: f, parents: parents}
	n.try = func() (any, error, bool) { v, err, ok := f.TryGet(); return v, err, ok }
	n.await = func(ctx context.Context) (any, error) { return f.Get(ctx) }
	n.ints, _ = any(f).(*queue.Future[int])
	return n
}

func (m *futureModel) promise(*rapid.T) {
	p := queue.NewPromise[int]()
	n := nodeOf("promise", p.Future())
	n.p = p
	n.hook()
	m.nodes = append(m.nodes, n)
}

// hook adds a hook to a promise, in whatever state it is.
func (m *futureModel) hook(rt *rapid.T) {
	rapid.SampledFrom(slices.DeleteFunc(slices.Clone(m.nodes), func(n *node) bool { return n.p == nil })).Draw(rt, "promise").hook()
}

func (n *node) hook() {
	n.registered++
	n.p.OnCancel(func(cause error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.hooks = append(n.hooks, cause)
	})
}

// parent draws a future of an int.
func (m *futureModel) parent(rt *rapid.T) *node {
	return rapid.SampledFrom(slices.DeleteFunc(slices.Clone(m.nodes), func(n *node) bool { return n.ints == nil })).Draw(rt, "parent")
}

func (m *futureModel) parentsOf(rt *rapid.T) (ns []*node, fs []*queue.Future[int]) {
	for range rapid.IntRange(0, 4).Draw(rt, "parents") {
		n := m.parent(rt)
		ns, fs = append(ns, n), append(fs, n.ints)
	}
	return ns, fs
}

// drawFunction draws what the function of n does.
func (n *node) drawFunction(rt *rapid.T) {
	n.mode = rapid.IntRange(0, 2).Draw(rt, "mode")
	if rapid.Bool().Draw(rt, "waits") {
		n.gate = make(chan struct{})
	}
}

// call is the function of n.
func (n *node) call(v any) error {
	n.mu.Lock()
	n.calls++
	n.got = v
	n.mu.Unlock()
	if n.gate != nil {
		<-n.gate
	}
	switch n.mode {
	case 1:
		return errNode
	case 2:
		panic(errNode)
	}
	return nil
}

func (m *futureModel) then(rt *rapid.T) {
	parent := m.parent(rt)
	var n *node
	ready := make(chan struct{})
	n = nodeOf("then", queue.Then(parent.ints, func(v int) (int, error) {
		<-ready
		return v + 1, n.call(v)
	}), parent)
	n.drawFunction(rt)
	close(ready)
	m.nodes = append(m.nodes, n)
}

func (m *futureModel) onDone(rt *rapid.T) {
	parent := m.parent(rt)
	var n *node
	ready := make(chan struct{})
	n = nodeOf("ondone", parent.ints.OnDone(func(v int, err error) {
		<-ready
		_ = n.call([2]any{v, err})
	}), parent)
	n.drawFunction(rt)
	close(ready)
	m.nodes = append(m.nodes, n)
}

func (m *futureModel) all(rt *rapid.T) {
	ns, fs := m.parentsOf(rt)
	m.nodes = append(m.nodes, nodeOf("all", queue.All(fs...), ns...))
}

func (m *futureModel) race(rt *rapid.T) {
	ns, fs := m.parentsOf(rt)
	m.nodes = append(m.nodes, nodeOf("race", queue.Race(fs...), ns...))
}

// act completes or cancels n futures at the same time, or one several times.
func (m *futureModel) act(rt *rapid.T, n int) {
	start := make(chan struct{})
	for range n {
		node := rapid.SampledFrom(m.nodes).Draw(rt, "node")
		v := m.number()
		cause := fmt.Errorf("cause %d", v)
		what := rapid.IntRange(0, 2).Draw(rt, "what")
		if node.p == nil {
			what = 2
		}
		go func() {
			<-start
			var won bool
			var w win
			switch what {
			case 0:
				won, w = node.p.Resolve(v), win{val: v}
			case 1:
				won, w = node.p.Reject(cause), win{val: 0, err: cause}
			case 2:
				won, w = node.f.Cancel(cause), win{err: cause, canceled: true}
			}
			if won {
				node.mu.Lock()
				defer node.mu.Unlock()
				node.wins = append(node.wins, w)
			}
		}()
	}
	close(start)
}

// get waits for a future, for ever or for a second.
func (m *futureModel) get(rt *rapid.T) {
	w := &wait{n: rapid.SampledFrom(m.nodes).Draw(rt, "node"), ctx: context.Background()}
	cancel := func() {}
	if rapid.Bool().Draw(rt, "for a second") {
		w.ctx, cancel = context.WithTimeout(w.ctx, time.Second)
	}
	m.waits = append(m.waits, w)
	go func() {
		defer cancel()
		v, err := w.n.await(w.ctx)
		m.mu.Lock()
		defer m.mu.Unlock()
		w.over, w.val, w.err = true, v, err
	}()
}

// open lets a function go on.
func (m *futureModel) open(rt *rapid.T) {
	closed := slices.DeleteFunc(slices.Clone(m.nodes), func(n *node) bool { return n.gate == nil || n.open })
	if len(closed) == 0 {
		rt.SkipNow()
	}
	n := rapid.SampledFrom(closed).Draw(rt, "gate")
	n.open = true
	close(n.gate)
}

func (m *futureModel) check(rt *rapid.T) {
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, n := range m.nodes { // parents come before children
		was := n.done
		val, err, done := n.try()
		if was && (!done || !reflect.DeepEqual(val, n.val) || !errors.Is(err, n.err)) {
			rt.Errorf("%s %d was %v, %v and became %v, %v", n.kind, i, n.val, n.err, val, err)
		}
		select {
		case <-n.f.Done():
			if !done {
				rt.Errorf("%s %d: Done is closed before it is complete", n.kind, i)
			}
		default:
			if done {
				rt.Errorf("%s %d is complete and Done is not closed", n.kind, i)
			}
		}
		if problem := n.explain(val, err, done); problem != "" {
			rt.Errorf("%s %d = %v, %v, complete: %v, %s", n.kind, i, val, err, done, problem)
		}
	}
	for _, n := range m.nodes { // now that all of this step have been looked at
		n.val, n.err, n.done = n.try()
	}
	for i, w := range m.waits {
		switch {
		case !w.over && (w.n.done || w.ctx.Err() != nil):
			rt.Errorf("wait %d goes on, though its future or its context has ended", i)
		case !w.over:
		case errors.Is(w.err, queue.ErrWait):
			if w.ctx.Err() == nil {
				rt.Errorf("wait %d = %v, though its context goes on", i, w.err)
			}
		case !w.n.done || !reflect.DeepEqual(w.val, w.n.val) || !errors.Is(w.err, w.n.err):
			rt.Errorf("wait %d = %v, %v, want %v, %v", i, w.val, w.err, w.n.val, w.n.err)
		}
	}
	m.waits = slices.DeleteFunc(m.waits, func(w *wait) bool { return w.over })
}

// explain says what is wrong with the state of n, given those of its parents and
// who says that they completed it.
func (n *node) explain(val any, err error, done bool) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.wins) > 1 {
		return fmt.Sprintf("and %d calls say they completed it", len(n.wins))
	}
	if n.calls > 1 {
		return fmt.Sprintf("and its function was called %d times", n.calls)
	}
	canceled := len(n.wins) == 1 && n.wins[0].canceled
	if n.p != nil {
		want := []error(nil)
		if canceled {
			want = slices.Repeat([]error{n.wins[0].err}, n.registered)
		}
		if !slices.Equal(n.hooks, want) {
			return fmt.Sprintf("and its %d hooks were called with %v", n.registered, n.hooks)
		}
	}
	switch {
	case canceled:
		if !done || !errors.Is(err, queue.ErrCanceled) || !errors.Is(err, n.wins[0].err) {
			return fmt.Sprintf("want it canceled with %v", n.wins[0].err)
		}
		return n.explainCall(true)
	case n.p != nil && len(n.wins) == 0:
		return n.unless(!done, "nobody completed it")
	case n.p != nil:
		w := n.wins[0]
		return n.unless(done && val == w.val && errors.Is(err, w.err) && (w.err != nil) == (err != nil), fmt.Sprintf("want %v", w))
	}
	switch n.kind {
	case "all":
		return n.explainAll(val, err, done)
	case "race":
		return n.explainRace(val, err, done)
	}
	if problem := n.explainCall(false); problem != "" {
		return problem
	}
	return n.explainFunction(val, err, done)
}

func (n *node) unless(ok bool, problem string) string {
	if ok {
		return ""
	}
	return problem
}

// explainCall says what is wrong with the calls of n's function.
func (n *node) explainCall(canceled bool) string {
	if n.kind != "then" && n.kind != "ondone" {
		return ""
	}
	val, err, done := n.parents[0].try()
	due := done && (err == nil || n.kind == "ondone")
	switch {
	case n.calls > 0 && !due:
		return "its function was called too early, or in spite of an error"
	case n.calls == 0 && due && !canceled:
		return "its function was not called"
	case n.calls == 0:
		return ""
	}
	want := val
	if n.kind == "ondone" {
		want = [2]any{val, err}
	}
	return n.unless(reflect.DeepEqual(n.got, want), fmt.Sprintf("its function was called with %v, want %v", n.got, want))
}

func (n *node) explainFunction(val any, err error, done bool) string {
	parent, failure, ended := n.parents[0].try()
	waits := n.gate != nil && !n.open
	var p *queue.PanicError
	switch {
	case !ended || n.calls == 1 && waits:
		return n.unless(!done, "want it incomplete")
	case n.calls == 0:
		return n.unless(done && errors.Is(err, failure), fmt.Sprintf("want the error %v", failure))
	case n.mode == 2:
		return n.unless(errors.As(err, &p) && errors.Is(err, errNode), "want a panic")
	case n.kind == "ondone":
		return n.unless(done && err == nil, "want no error")
	case n.mode == 1:
		return n.unless(done && errors.Is(err, errNode), "want its function's error")
	}
	return n.unless(done && err == nil && val == parent.(int)+1, fmt.Sprintf("want %d", parent.(int)+1))
}

// explainAll: the first of the failures counts, and those of one step may have
// come in any order.
func (n *node) explainAll(val any, err error, done bool) string {
	var before, now []error
	var want []int
	for _, p := range n.parents {
		v, failure, ended := p.try()
		switch {
		case failure != nil && p.done:
			before = append(before, failure)
		case failure != nil:
			now = append(now, failure)
		case ended:
			want = append(want, v.(int))
		}
	}
	if n.done { // it was looked at in the step in which it happened
		return ""
	}
	if len(before) > 0 {
		now = before
	}
	switch {
	case len(now) > 0:
		return n.unless(done && slices.ContainsFunc(now, func(e error) bool { return errors.Is(err, e) }), fmt.Sprintf("want one of the errors %v", now))
	case len(want) < len(n.parents):
		return n.unless(!done, "want it incomplete")
	}
	return n.unless(done && err == nil && slices.Equal(val.([]int), want), fmt.Sprintf("want %v", want))
}

func (n *node) explainRace(val any, err error, done bool) string {
	if len(n.parents) == 0 {
		return n.unless(errors.Is(err, queue.ErrNoFutures), "want ErrNoFutures")
	}
	if n.done {
		return ""
	}
	type result struct {
		v   any
		err error
	}
	var before, now []result
	for _, p := range n.parents {
		v, failure, ended := p.try()
		switch {
		case ended && p.done:
			before = append(before, result{v, failure})
		case ended:
			now = append(now, result{v, failure})
		}
	}
	if len(before) > 0 {
		now = before
	}
	if len(now) == 0 {
		return n.unless(!done, "want it incomplete")
	}
	return n.unless(done && slices.ContainsFunc(now, func(r result) bool { return r.v == val && errors.Is(err, r.err) && (r.err == nil) == (err == nil) }),
		fmt.Sprintf("want one of %v", now))
}

// tidy leaves no goroutine behind.
func (m *futureModel) tidy() {
	for _, n := range m.nodes {
		n.f.Cancel(nil)
		if n.gate != nil && !n.open {
			close(n.gate)
		}
	}
	synctest.Wait()
}
