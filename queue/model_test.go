package queue_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/polyport/polyport/queue"
)

// TestModel drives a queue with random steps and holds it, after each, against
// the rules that its documentation states. Every step is followed until all is
// at rest, so the rules can be exact. POLYPORT_LONG=1 makes it 100,000 queues.
func TestModel(t *testing.T) {
	checks(t, func(t *testing.T) {
		rapid.Check(inBubble{t}, func(rt *rapid.T) {
			m := newModel(rt)
			defer m.tidy()
			rt.Repeat(map[string]func(*rapid.T){
				"":          m.check,
				"NewLane":   m.newLane,
				"Submit":    m.submit,
				"SubmitAll": m.submitAll,
				"Wait":      m.submitWait,
				"RunHere":   m.runHere,
				"Close":     m.close,
				"Finish":    m.finish,
				"Pause":     m.pause,
				"Resume":    m.resume,
				"CloseLane": m.closeLane,
				"Cancel":    m.cancelOne,
				"Sleep":     m.sleep,
			})
			m.end(rt)
		})
	})
}

// checks runs f in a bubble, in which it may call rapid.Check. That does what its
// flag -rapid.checks says, 100 by default, or with POLYPORT_LONG=1 comes to 100,000
// in all: ten bubbles of 10,000, as rapid ends after a day, which is short in
// virtual time.
func checks(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if os.Getenv("POLYPORT_LONG") != "1" {
		synctest.Test(t, f)
		return
	}
	count := flag.Lookup("rapid.checks").Value
	before := count.String()
	t.Cleanup(func() { _ = count.Set(before) })
	if err := count.Set("10000"); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		synctest.Test(t, f)
	}
}

// inBubble keeps rapid from asking for the test's deadline, which a bubble has
// not.
type inBubble struct{ *testing.T }

const (
	offered  = iota // its Submit has not returned
	accepted        // and waits
	running
	ended
	dropped
	refused
	declined // by RunHere
)

// A modelJob waits in Run until it is told to end.
type modelJob struct {
	m      *model
	lane   *modelLane
	unit   *modelUnit // nil for one of RunHere
	seq    int        // in the order of the calls of Submit
	ctx    context.Context
	cancel context.CancelFunc
	hold   chan struct{}

	runs, drops int
	err         error // of Drop or Submit
	state       int
	step        int // in which it started
}

func (j *modelJob) Run(ctx context.Context) {
	j.m.mu.Lock()
	j.runs++
	if ctx != j.ctx {
		j.m.fault("Run got another context")
	}
	j.started()
	j.m.mu.Unlock()
	<-j.hold
	j.m.mu.Lock()
	j.state = ended
	j.lane.running--
	j.m.running--
	j.m.mu.Unlock()
}

func (j *modelJob) started() {
	j.state = running
	j.step = j.m.step
	j.lane.running++
	j.m.running++
	j.lane.starts = append(j.lane.starts, j)
}

func (j *modelJob) Drop(err error) {
	j.m.mu.Lock()
	defer j.m.mu.Unlock()
	j.drops++
	j.state, j.err = dropped, err
	j.lane.drops++
}

type modelLane struct {
	l            *queue.Lane
	depth, width int
	paused       bool
	closed       bool
	running      int
	jobs         []*modelJob
	units        []*modelUnit
	starts       []*modelJob
	seen         int // starts that check has looked at
	drops        int
	seenDrops    int
	ready        bool // when check last looked
	// overtaken counts, by lane, the starts since this one could have started
	// a job.
	overtaken map[*modelLane]int
}

// A modelUnit is one call of Submit or SubmitAll.
type modelUnit struct {
	lane   *modelLane
	ctx    context.Context
	cancel context.CancelFunc
	jobs   []*modelJob
	wait   bool // by SubmitWait
	done   bool
}

type model struct {
	mu      sync.Mutex
	q       *queue.Queue
	o       queue.Options
	lanes   []*modelLane
	jobs    []*modelJob
	running int
	step    int
	faults  []string
	closing bool
	closed  bool // Close has returned
}

func (m *model) fault(s string) { m.faults = append(m.faults, s) }

func newModel(rt *rapid.T) *model {
	m := &model{o: queue.Options{
		Depth:    rapid.IntRange(1, 6).Draw(rt, "depth"),
		Workers:  rapid.IntRange(1, 3).Draw(rt, "workers"),
		Policy:   queue.Policy(rapid.IntRange(0, 3).Draw(rt, "policy")),
		BlockFor: time.Second,
	}}
	m.q = queue.New(&m.o)
	m.newLane(rt)
	return m
}

func (m *model) newLane(rt *rapid.T) {
	if len(m.lanes) == 4 {
		rt.SkipNow()
	}
	o := &queue.LaneOptions{
		Depth: rapid.IntRange(0, m.o.Depth).Draw(rt, "lane depth"),
		Width: rapid.IntRange(0, 2).Draw(rt, "width"),
	}
	l := &modelLane{l: m.q.Lane(o), depth: o.Depth, width: o.Width, overtaken: map[*modelLane]int{}}
	if l.depth == 0 {
		l.depth = m.o.Depth
	}
	m.lanes = append(m.lanes, l)
}

func (m *model) lane(rt *rapid.T) *modelLane {
	return m.lanes[rapid.IntRange(0, len(m.lanes)-1).Draw(rt, "lane")]
}

func (m *model) unit(l *modelLane, n int) *modelUnit {
	u := &modelUnit{lane: l}
	u.ctx, u.cancel = context.WithCancel(context.Background())
	for range n {
		j := m.job(u.ctx, u.cancel, l)
		j.unit = u
		u.jobs = append(u.jobs, j)
	}
	l.units = append(l.units, u)
	return u
}

func (m *model) job(ctx context.Context, cancel context.CancelFunc, l *modelLane) *modelJob {
	j := &modelJob{m: m, lane: l, seq: len(m.jobs), ctx: ctx, cancel: cancel, hold: make(chan struct{})}
	m.jobs = append(m.jobs, j)
	l.jobs = append(l.jobs, j)
	return j
}

// answer takes note of what Submit returned. A job may have gone further by
// then.
func (m *model) answer(u *modelUnit, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u.done = true
	for _, j := range u.jobs {
		switch {
		case err != nil && j.state != offered:
			m.fault("a refused job was run or dropped")
		case err != nil:
			j.state, j.err = refused, err
		case j.state == offered:
			j.state = accepted
		}
	}
}

func (m *model) submit(rt *rapid.T) {
	u := m.unit(m.lane(rt), 1)
	go func() { m.answer(u, u.lane.l.Submit(u.ctx, u.jobs[0])) }()
}

func (m *model) submitAll(rt *rapid.T) {
	u := m.unit(m.lane(rt), rapid.IntRange(1, m.o.Depth+1).Draw(rt, "n"))
	jobs := make([]queue.Job, len(u.jobs))
	for i, j := range u.jobs {
		jobs[i] = j
	}
	go func() { m.answer(u, u.lane.l.SubmitAll(u.ctx, jobs)) }()
}

func (m *model) submitWait(rt *rapid.T) {
	u := m.unit(m.lane(rt), rapid.IntRange(1, m.o.Depth+1).Draw(rt, "n"))
	u.wait = true
	jobs := make([]queue.Job, len(u.jobs))
	for i, j := range u.jobs {
		jobs[i] = j
	}
	go func() { m.answer(u, u.lane.l.SubmitWait(u.ctx, jobs)) }()
}

// runHere knows whether the job is to start, as all is at rest.
func (m *model) runHere(rt *rapid.T) {
	l := m.lane(rt)
	ctx, cancel := context.WithCancel(context.Background())
	if rapid.IntRange(0, 5).Draw(rt, "ended") == 0 {
		cancel()
	}
	m.mu.Lock()
	j := m.job(ctx, cancel, l)
	want := ctx.Err() == nil && !l.closed && !m.closing && l.waiting() == 0 && l.mayStart() && m.running < m.o.Workers
	for _, u := range l.units {
		want = want && u.done
	}
	m.mu.Unlock()
	go func() {
		got := l.l.RunHere(ctx, j)
		m.mu.Lock()
		defer m.mu.Unlock()
		if got != want {
			m.fault(fmt.Sprintf("RunHere = %v, want %v", got, want))
		}
		if !got {
			j.state = declined
		}
	}()
}

// close closes the queue while others submit.
func (m *model) close(rt *rapid.T) {
	if m.closing || rapid.IntRange(0, 7).Draw(rt, "really") > 0 {
		rt.SkipNow()
	}
	m.closing = true
	go func() {
		err := m.q.Close(context.Background())
		m.mu.Lock()
		defer m.mu.Unlock()
		m.closed = true
		if err != nil {
			m.fault("Close: " + err.Error())
		}
	}()
}

// pick draws a job in one of the states.
func (m *model) pick(rt *rapid.T, states ...int) *modelJob {
	m.mu.Lock()
	defer m.mu.Unlock()
	var js []*modelJob
	for _, j := range m.jobs {
		if slices.Contains(states, j.state) {
			js = append(js, j)
		}
	}
	if len(js) == 0 {
		rt.SkipNow()
	}
	j := js[rapid.IntRange(0, len(js)-1).Draw(rt, "job")]
	rt.Logf("job %d", j.seq)
	return j
}

func (m *model) finish(rt *rapid.T) { close(m.pick(rt, running).hold) }

func (m *model) cancelOne(rt *rapid.T) { m.pick(rt, offered, accepted, running).cancel() }

func (m *model) sleep(*rapid.T) { time.Sleep(time.Second) }

func (m *model) pause(rt *rapid.T) {
	l := m.lane(rt)
	l.paused = true
	l.l.Pause()
}

func (m *model) resume(rt *rapid.T) {
	l := m.lane(rt)
	l.paused = false
	l.l.Resume()
}

var errLane = errors.New("lane closed")

func (m *model) closeLane(rt *rapid.T) {
	if rapid.IntRange(0, 3).Draw(rt, "really") > 0 {
		rt.SkipNow()
	}
	l := m.lane(rt)
	l.closed = true
	l.l.Close(errLane)
}

// waiting is how many of the lane's jobs wait, those included whose Submit has
// yet to be told.
func (l *modelLane) waiting() (n int) {
	for _, j := range l.jobs {
		if j.state == accepted {
			n++
		}
	}
	return n
}

func (l *modelLane) mayStart() bool {
	return !l.paused && (l.width == 0 || l.running < l.width)
}

// check compares everything at rest with the rules.
func (m *model) check(rt *rapid.T) {
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	defer func() { m.step++ }()
	for _, f := range m.faults {
		rt.Errorf("%s", f)
	}
	m.checkJobs(rt)
	m.checkCounts(rt)
	for _, l := range m.lanes {
		m.checkOrder(rt, l)
	}
	m.checkTurns(rt)
	m.checkBlocked(rt)
}

func (m *model) checkJobs(rt *rapid.T) {
	for _, j := range m.jobs {
		want := map[int][2]int{
			offered: {0, 0}, accepted: {0, 0}, refused: {0, 0}, declined: {0, 0}, running: {1, 0}, ended: {1, 0}, dropped: {0, 1},
		}[j.state]
		if got := [2]int{j.runs, j.drops}; got != want {
			rt.Errorf("job %d: runs and drops = %v, want %v", j.seq, got, want)
		}
		if j.state == dropped && !m.reasonOK(j) {
			rt.Errorf("job %d dropped with %v", j.seq, j.err)
		}
		if j.state == accepted && j.lane.closed {
			rt.Errorf("job %d waits in a closed lane", j.seq)
		}
		if j.state == refused && !m.refusalOK(j) {
			rt.Errorf("job %d refused with %v", j.seq, j.err)
		}
	}
}

func (m *model) refusalOK(j *modelJob) bool {
	switch {
	case errors.Is(j.err, queue.ErrClosed):
		return j.lane.closed || m.closing
	case errors.Is(j.err, queue.ErrFull):
		return len(j.unit.jobs) > j.lane.depth || m.o.Policy != queue.Block && !j.unit.wait
	default:
		return errors.Is(j.err, context.Canceled) && j.ctx.Err() != nil
	}
}

func (m *model) reasonOK(j *modelJob) bool {
	switch {
	case errors.Is(j.err, queue.ErrDropped):
		for _, o := range j.lane.jobs {
			if o.state == accepted && o.seq < j.seq {
				return false // not the oldest
			}
		}
		return m.o.Policy == queue.DropOldest
	case errors.Is(j.err, errLane):
		return j.lane.closed
	default:
		return errors.Is(j.err, context.Canceled) && j.ctx.Err() != nil
	}
}

func (m *model) checkCounts(rt *rapid.T) {
	s := m.q.Stats()
	waiting, blocked, acc, rej := 0, 0, uint64(0), uint64(0)
	for _, l := range m.lanes {
		n, units := l.waiting(), 0
		for _, u := range l.units {
			if !u.done {
				units++
			}
		}
		if got, want := l.l.Stats(), (queue.LaneStats{Waiting: n, Running: l.running, Blocked: units, Paused: l.paused}); got != want {
			rt.Errorf("Lane.Stats() = %+v, want %+v", got, want)
		}
		if n > l.depth || l.width > 0 && l.running > l.width {
			rt.Errorf("%d jobs wait and %d run in a lane of depth %d and width %d", n, l.running, l.depth, l.width)
		}
		waiting += n
		blocked += units
	}
	for _, j := range m.jobs {
		switch j.state {
		case offered, declined:
		case refused:
			rej++
		default:
			acc++
		}
	}
	if s.Waiting != waiting || s.Running != m.running || s.Blocked != blocked || s.Accepted != acc || s.Rejected != rej {
		rt.Errorf("Stats() = %+v, want Waiting %d, Running %d, Blocked %d, Accepted %d, Rejected %d",
			s, waiting, m.running, blocked, acc, rej)
	}
	if sum := s.Done + s.Dropped + s.Expired + uint64(s.Waiting+s.Running); sum != s.Accepted {
		rt.Errorf("Stats() = %+v, of which the parts add up to %d", s, sum)
	}
	if rest := waiting + m.running; m.closing && m.closed != (rest == 0) {
		rt.Errorf("Close has returned: %v, with %d jobs left", m.closed, rest)
	}
	if waiting > m.o.Depth || m.running > m.o.Workers {
		rt.Errorf("%d jobs wait and %d run, in a queue of %d and %d", waiting, m.running, m.o.Depth, m.o.Workers)
	}
}

// checkOrder: the jobs of a lane start in the order of their submission.
func (m *model) checkOrder(rt *rapid.T, l *modelLane) {
	last := -1
	for _, j := range l.starts[:l.seen] {
		last = max(last, j.seq)
	}
	for _, j := range l.starts[l.seen:] {
		if j.seq < last {
			rt.Errorf("job %d started after job %d", j.seq, last)
		}
		for _, o := range l.jobs {
			if o.state == accepted && o.seq < j.seq {
				rt.Errorf("job %d started, job %d waits", j.seq, o.seq)
			}
		}
	}
}

// checkTurns: no worker is idle while a job may start, and no lane starts two
// jobs while another one waits for its turn.
func (m *model) checkTurns(rt *rapid.T) {
	for _, l := range m.lanes {
		ready := l.waiting() > 0 && l.mayStart()
		if ready && m.running < m.o.Workers {
			rt.Errorf("a job waits while %d of %d workers run", m.running, m.o.Workers)
		}
		was := l.ready
		l.ready = ready
		// What started before the lane was ready does not count, and a dead
		// job takes a turn, too.
		if !ready || !was || len(l.starts) > l.seen || l.drops > l.seenDrops {
			clear(l.overtaken)
			continue
		}
		for _, o := range m.lanes {
			l.overtaken[o] += len(o.starts) - o.seen
			if o != l && l.overtaken[o] > 1 {
				rt.Errorf("a lane started %d jobs while another one waited for its turn", l.overtaken[o])
			}
		}
	}
	for _, l := range m.lanes {
		l.seen, l.seenDrops = len(l.starts), l.drops
	}
}

// checkBlocked: nobody is blocked who need not be.
func (m *model) checkBlocked(rt *rapid.T) {
	waiting := 0
	for _, l := range m.lanes {
		waiting += l.waiting()
	}
	var heads []*modelUnit
	for _, l := range m.lanes {
		for _, u := range l.units {
			if !u.done {
				heads = append(heads, u)
				break
			}
		}
	}
	fits, first := 0, 0
	for _, u := range heads {
		n := len(u.jobs)
		switch {
		case u.ctx.Err() != nil:
			rt.Errorf("a submitter is blocked whose context has ended")
		case !u.wait && (m.o.Policy == queue.Reject || m.o.Policy == queue.DropOldest):
			rt.Errorf("a submitter is blocked under %v", m.o.Policy)
		case u.lane.closed || m.closing:
			rt.Errorf("a submitter is blocked where all is closed")
		case u.lane.waiting()+n > u.lane.depth:
		case n == 1 && u.lane.waiting() == 0 && u.lane.mayStart() && m.running < m.o.Workers:
			rt.Errorf("a submitter is blocked whose job could start")
		case waiting+n <= m.o.Depth:
			fits++
		default:
			first++ // needs more places than there are, and may have the first right to them
		}
	}
	if fits > 0 && first == 0 {
		rt.Errorf("a submitter is blocked although there is room for it")
	}
}

// end closes the queue in one of two ways and closes the books.
func (m *model) end(rt *rapid.T) {
	gently := rapid.Bool().Draw(rt, "close gently")
	m.mu.Lock()
	left := 0
	for _, j := range m.jobs {
		if j.state == accepted || j.state == running {
			left++
		}
	}
	if gently {
		m.releaseAll()
	}
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if gently {
		for _, l := range m.lanes {
			l.l.Resume()
		}
		if err := m.q.Close(context.Background()); err != nil {
			rt.Errorf("Close() = %v, want nil", err)
		}
	} else if err := m.q.Close(ctx); (err != nil) != (left > 0) {
		rt.Errorf("Close() = %v with %d jobs left", err, left)
	}
	m.tidy()
	for _, j := range m.jobs {
		if runs, drops := j.runs, j.drops; runs+drops != 1 && j.state != refused && j.state != declined {
			rt.Errorf("job %d: %d runs and %d drops, want one in all", j.seq, runs, drops)
		}
		if !gently && j.state == accepted {
			rt.Errorf("job %d still waits", j.seq)
		}
	}
}

// releaseAll lets every job end that runs or will. Callers hold mu.
func (m *model) releaseAll() {
	for _, j := range m.jobs {
		select {
		case <-j.hold:
		default:
			close(j.hold)
		}
	}
}

// tidy leaves no goroutine behind, whatever has failed.
func (m *model) tidy() {
	m.mu.Lock()
	m.releaseAll()
	m.mu.Unlock()
	for _, l := range m.lanes {
		l.l.Resume()
	}
	m.q.Close(context.Background())
	synctest.Wait()
	for _, j := range m.jobs {
		j.cancel()
	}
}
