package handles_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/polyport/polyport/rpc/internal/handles"
)

// TestModel drives a store with random steps and compares it, after each, with
// a model that looks at every handle each time. POLYPORT_LONG=1 makes 10^5 runs
// of it.
func TestModel(t *testing.T) {
	runs := 5
	if os.Getenv("POLYPORT_LONG") != "" {
		runs = 1000 // of rapid's 100 checks
	}
	for range runs {
		synctest.Test(t, func(t *testing.T) {
			rapid.Check(inBubble{t}, func(rt *rapid.T) {
				m := newModel()
				defer m.store.Close()
				rt.Repeat(map[string]func(*rapid.T){
					"":         m.check,
					"Begin":    m.begin,
					"Finish":   m.finish,
					"Cancel":   m.cancel,
					"Withdraw": m.withdraw,
					"Read":     m.read,
					"Sleep":    m.sleep,
				})
			})
		})
	}
}

// inBubble keeps rapid from asking for the test's deadline, which a bubble has
// not.
type inBubble struct{ *testing.T }

// A model is what a store should be.
type model struct {
	store   *handles.Store
	entries map[handles.Key]*entry
	seq     int

	mu    sync.Mutex // protects the fields below, which the store's timer writes
	stops map[handles.Key]int
	told  map[*entry]int
}

func (m *model) stopped(k handles.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stops[k]++
}

func (m *model) wasTold(e *entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told[e]++
}

// count returns how often a call was stopped, and its waits were told.
func (m *model) count(k handles.Key, e *entry) (stops, told int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stops[k], m.told[e]
}

type entry struct {
	h      *handles.Handle
	state  string // running, done, …, buried
	due    time.Time
	read   bool
	seq    int // of the last change of phase
	params byte
	waits  int
}

func newModel() *model {
	return &model{
		store: handles.New(limits), entries: make(map[handles.Key]*entry),
		stops: make(map[handles.Key]int), told: make(map[*entry]int),
	}
}

func (m *model) set(e *entry, state string, lasts time.Duration) {
	m.seq++
	e.state, e.due, e.seq = state, time.Now().Add(lasts), m.seq
}

// of returns the entries of a principal in a state, the oldest first.
func (m *model) of(who string, states ...string) (found []*entry) {
	for k, e := range m.entries {
		if k.Principal == who && slices.Contains(states, e.state) {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b *entry) int { return a.seq - b.seq })
	return found
}

var over = []string{"done", "failed", "cancelled", "expired"}

func (m *model) bury(e *entry) {
	m.set(e, "buried", limits.Bury)
	k := m.keyOf(e)
	if stones := m.of(k.Principal, "buried"); len(stones) > 4*limits.Handles {
		delete(m.entries, m.keyOf(stones[0]))
	}
}

func (m *model) keyOf(e *entry) handles.Key {
	for k, o := range m.entries {
		if o == e {
			return k
		}
	}
	panic("an entry that is not there")
}

func drawKey(rt *rapid.T) handles.Key {
	return key(rapid.SampledFrom([]string{"ann", "bob", ""}).Draw(rt, "who"), rapid.ByteRange(0, 15).Draw(rt, "id"))
}

func (m *model) begin(rt *rapid.T) {
	k, params := drawKey(rt), rapid.ByteRange('1', '2').Draw(rt, "params")
	want := handles.Started
	e := m.entries[k]
	switch {
	case e != nil && e.state == "buried":
		want = handles.Buried
	case e != nil && e.params != params:
		want = handles.Conflict
	case e != nil:
		want = handles.Attached
	case len(m.of(k.Principal, append(over, "running")...)) >= limits.Handles:
		read := slices.DeleteFunc(m.of(k.Principal, over...), func(e *entry) bool { return !e.read })
		if len(read) == 0 {
			want = handles.Full
			break
		}
		m.bury(read[0])
	}
	h, got := m.store.Begin(k, call("m", fmt.Sprintf("[%c]", params)), func(handles.State) { m.stopped(k) })
	if got != want {
		rt.Fatalf("Begin(%v) = %v, want %v", k, got, want)
	}
	if got == handles.Started {
		e = &entry{h: h, params: params}
		m.entries[k] = e
		m.set(e, "running", limits.TTL)
	}
	if e == nil || e.state == "buried" || h == nil {
		return
	}
	waits := m.store.Wait(h, &handles.Wait{Ended: func() { m.wasTold(e) }})
	if waits != (e.state == "running") {
		rt.Fatalf("Wait(%v) = %v for %s", k, waits, e.state)
	}
	if waits {
		e.waits++
	}
}

// running draws a handle that may run, with whether it does.
func (m *model) running(rt *rapid.T) (handles.Key, *entry, bool) {
	k := drawKey(rt)
	e := m.entries[k]
	if e == nil || e.h == nil {
		rt.Skip("no such handle")
	}
	return k, e, e.state == "running"
}

func (m *model) finish(rt *rapid.T) {
	_, e, runs := m.running(rt)
	to := rapid.SampledFrom([]handles.State{handles.Done, handles.Failed}).Draw(rt, "to")
	if got := m.store.Finish(e.h, to, []byte("x")); got != runs {
		rt.Fatalf("Finish() = %v, want %v", got, runs)
	}
	if runs {
		m.set(e, to.String(), limits.Retain)
	}
}

func (m *model) cancel(rt *rapid.T) {
	k, e, runs := m.running(rt)
	before, _ := m.count(k, e)
	m.store.Cancel(e.h)
	if runs {
		m.set(e, "cancelled", limits.Retain)
		before++
	}
	if stops, _ := m.count(k, e); stops != before {
		rt.Fatalf("stopped %d times, want %d", stops, before)
	}
}

func (m *model) withdraw(rt *rapid.T) {
	k, e, runs := m.running(rt)
	m.store.Withdraw(e.h, nil)
	if runs {
		delete(m.entries, k)
		m.isTold(rt, e)
	}
}

func (m *model) read(rt *rapid.T) {
	_, e, _ := m.running(rt)
	forget := rapid.Bool().Draw(rt, "forget")
	m.store.Read(e.h, forget)
	e.read = true
	if forget && slices.Contains(over, e.state) {
		m.bury(e)
	}
}

func (m *model) sleep(rt *rapid.T) {
	end := time.Now().Add(time.Duration(rapid.IntRange(1, 400).Draw(rt, "seconds")) * time.Second)
	for {
		next := m.next()
		if next == nil || next.due.After(end) {
			break
		}
		time.Sleep(time.Until(next.due))
		synctest.Wait()
		switch next.state {
		case "running":
			m.set(next, "expired", limits.Retain)
		case "buried":
			delete(m.entries, m.keyOf(next))
		default:
			m.bury(next)
		}
	}
	time.Sleep(time.Until(end))
	synctest.Wait()
}

// next returns what is due first. Of the same moment, those that run are first
// and tombstones last, as the store has it.
func (m *model) next() *entry {
	all := slices.Collect(maps.Values(m.entries))
	if len(all) == 0 {
		return nil
	}
	return slices.MinFunc(all, func(a, b *entry) int {
		if c := a.due.Compare(b.due); c != 0 {
			return c
		}
		if a.state != b.state && (a.state == "running" || b.state == "buried") {
			return -1
		}
		if a.state != b.state && (b.state == "running" || a.state == "buried") {
			return 1
		}
		return a.seq - b.seq
	})
}

func (m *model) isTold(rt *rapid.T, e *entry) {
	if _, told := m.count(handles.Key{}, e); told != e.waits {
		rt.Fatalf("told %d times of the end, want %d", told, e.waits)
	}
}

func (m *model) check(rt *rapid.T) {
	var want handles.Size
	for k, e := range m.entries {
		h, v := m.store.Find(k)
		got := v.String()
		if h != nil {
			state, _ := m.store.Result(h)
			got = state.String()
		}
		if got != e.state {
			rt.Fatalf("%v is %s, want %s", k, got, e.state)
		}
		switch e.state {
		case "running":
			want.Running++
			continue
		case "buried":
			want.Tombstones++
		default:
			want.Retained++
		}
		m.isTold(rt, e)
	}
	got := m.store.Size()
	bytes := got.Bytes
	got.Bytes = 0
	if got != want {
		rt.Fatalf("Size() = %+v, want %+v", got, want)
	}
	if empty := len(m.entries) == 0; empty != (bytes == 0) {
		rt.Fatalf("%d bytes for %d handles", bytes, len(m.entries))
	}
}
