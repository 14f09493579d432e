package handles_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/rpc/internal/handles"
)

// A rig is a store with what a test needs around it.
type rig struct {
	t *testing.T
	*handles.Store

	mu           sync.Mutex // protects the fields below while time passes
	stops, waits []string
}

// limits are small, so that a test reaches them.
var limits = handles.Options{TTL: 10 * time.Minute, Retain: time.Minute, Bury: 10 * time.Minute, Handles: 2, Bytes: 1 << 20}

func key(who string, n byte) handles.Key { return handles.Key{Principal: who, ID: handles.UUID{n}} }

func call(method, params string) handles.Call {
	return handles.CallOf([]byte(method), []byte(params))
}

var sum12 = call("sum", "[1,2]")

func (r *rig) begin(who string, n byte) *handles.Handle {
	r.t.Helper()
	h, v := r.Begin(key(who, n), sum12, func(s handles.State) { r.note(&r.stops, fmt.Sprint(n, " ", s)) })
	if v != handles.Started {
		r.t.Fatalf("Begin(%q, %d) = %v, want started", who, n, v)
	}
	return h
}

func (r *rig) note(list *[]string, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*list = append(*list, text)
}

// wait has r.waits note the end of h.
func (r *rig) wait(h *handles.Handle, name string) *handles.Wait {
	r.t.Helper()
	w := &handles.Wait{Ended: func() { r.note(&r.waits, name) }}
	if !r.Wait(h, w) {
		r.t.Fatalf("Wait(%s) = false, want true", name)
	}
	return w
}

// is reports a key that is not in a state, or not known as it should be.
func (r *rig) is(k handles.Key, want string) {
	r.t.Helper()
	h, v := r.Find(k)
	got := v.String()
	if h != nil {
		state, text := r.Result(h)
		got = strings.TrimSpace(fmt.Sprintf("%v %s", state, text))
	}
	if got != want {
		r.t.Errorf("%q/%d is %s, want %s", k.Principal, k.ID[0], got, want)
	}
}

func (r *rig) verdict(k handles.Key, c handles.Call, want handles.Verdict) {
	r.t.Helper()
	if _, v := r.Begin(k, c, func(handles.State) {}); v != want {
		r.t.Errorf("Begin(%q, %d) = %v, want %v", k.Principal, k.ID[0], v, want)
	}
}

var rules = []struct {
	name string
	rule string
	o    handles.Options
	run  func(r *rig)
}{
	{name: "Running", rule: "a new handle runs", run: func(r *rig) {
		r.is(key("ann", 1), "unknown")
		r.begin("ann", 1)
		r.is(key("ann", 1), "running")
	}},
	{name: "Done", rule: "a result is kept, and read any number of times", run: func(r *rig) {
		h := r.begin("ann", 1)
		if !r.Finish(h, handles.Done, []byte("3")) {
			r.t.Error("Finish() = false, want true")
		}
		for range 3 {
			r.is(key("ann", 1), "done 3")
			r.Read(h, false)
		}
	}},
	{name: "OneEnd", rule: "what ends a call first counts", run: func(r *rig) {
		h := r.begin("ann", 1)
		r.Finish(h, handles.Failed, []byte("no"))
		if r.Finish(h, handles.Done, []byte("3")) {
			r.t.Error("second Finish() = true, want false")
		}
		if got := r.Cancel(h); got != handles.Failed {
			r.t.Errorf("Cancel() = %v, want failed", got)
		}
		r.is(key("ann", 1), "failed no")
	}},
	{name: "Cancel", rule: "cancelling stops the call once, and its result is thrown away", run: func(r *rig) {
		h := r.begin("ann", 1)
		for range 2 {
			if got := r.Cancel(h); got != handles.Cancelled {
				r.t.Errorf("Cancel() = %v, want cancelled", got)
			}
		}
		r.Finish(h, handles.Done, []byte("3"))
		r.is(key("ann", 1), "cancelled")
		if diff := cmp.Diff([]string{"1 cancelled"}, r.stops); diff != "" {
			r.t.Errorf("stops (-want +got):\n%s", diff)
		}
	}},
	{name: "TTL", rule: "a call that takes too long expires and is stopped", run: func(r *rig) {
		r.begin("ann", 1)
		r.pass(10*time.Minute - 1)
		r.is(key("ann", 1), "running")
		r.pass(1)
		r.is(key("ann", 1), "expired")
		if diff := cmp.Diff([]string{"1 expired"}, r.stops); diff != "" {
			r.t.Errorf("stops (-want +got):\n%s", diff)
		}
	}},
	{name: "Retain", rule: "a result is kept for a time, then it is a tombstone, then nothing", run: func(r *rig) {
		r.Finish(r.begin("ann", 1), handles.Done, []byte("3"))
		r.pass(time.Minute - 1)
		r.is(key("ann", 1), "done 3")
		r.pass(1)
		r.is(key("ann", 1), "buried")
		r.verdict(key("ann", 1), sum12, handles.Buried)
		r.pass(10*time.Minute - 1)
		r.is(key("ann", 1), "buried")
		r.pass(1)
		r.is(key("ann", 1), "unknown")
		if got := r.Size(); got != (handles.Size{}) {
			r.t.Errorf("Size() = %+v, want nothing", got)
		}
	}},
	{name: "Attach", rule: "the same call again attaches, in whatever spelling", run: func(r *rig) {
		r.begin("ann", 1)
		r.verdict(key("ann", 1), call("sum", " [ 1, 2 ]"), handles.Attached)
		r.verdict(key("ann", 1), call("sum", "[1,2]"), handles.Attached)
	}},
	{name: "Bare", rule: "a call without params asks after the handle, whatever its method", run: func(r *rig) {
		r.begin("ann", 1)
		for _, params := range []string{"", "[]", "{ }"} {
			r.verdict(key("ann", 1), call("other", params), handles.Attached)
		}
	}},
	{name: "Conflict", rule: "another call with the same handle conflicts", run: func(r *rig) {
		h := r.begin("ann", 1)
		r.verdict(key("ann", 1), call("sum", "[2,1]"), handles.Conflict)
		r.verdict(key("ann", 1), call("add", "[1,2]"), handles.Conflict)
		r.Finish(h, handles.Done, []byte("3"))
		r.verdict(key("ann", 1), call("sum", "[2,1]"), handles.Conflict)
	}},
	{name: "Principal", rule: "nobody else finds a handle", run: func(r *rig) {
		r.begin("ann", 1)
		r.is(key("bob", 1), "unknown")
		r.is(key("", 1), "unknown")
		r.begin("bob", 1)
	}},
	{name: "Handles", rule: "a principal has so many handles, and no influence on others", run: func(r *rig) {
		r.begin("ann", 1)
		r.Finish(r.begin("ann", 2), handles.Done, []byte("3"))
		r.verdict(key("ann", 3), sum12, handles.Full)
		r.begin("bob", 3)
	}},
	{name: "ReadMakesRoom", rule: "the oldest result that was read makes room, unread ones stay", run: func(r *rig) {
		a, b := r.begin("ann", 1), r.begin("ann", 2)
		r.Finish(a, handles.Done, []byte("1"))
		r.Finish(b, handles.Done, []byte("2"))
		r.Read(b, false)
		r.begin("ann", 3)
		r.is(key("ann", 1), "done 1")
		r.is(key("ann", 2), "buried")
	}},
	{name: "ReadAfterBurial", rule: "who has found a result can read it, though it made room meanwhile", run: func(r *rig) {
		a := r.begin("ann", 1)
		r.Finish(a, handles.Done, []byte("1"))
		r.Read(a, true)
		if state, text := r.Result(a); state != handles.Done || string(text) != "1" {
			r.t.Errorf("Result() = %v %s, want done 1", state, text)
		}
	}},
	{name: "Forget", rule: "a result that is not wanted any more is a tombstone", run: func(r *rig) {
		h := r.begin("ann", 1)
		r.Read(h, true) // it runs: nothing to forget
		r.is(key("ann", 1), "running")
		r.Finish(h, handles.Done, []byte("3"))
		r.Read(h, true)
		r.is(key("ann", 1), "buried")
	}},
	{name: "Tombstones", rule: "a principal has so many tombstones", run: func(r *rig) {
		for n := range byte(10) {
			h := r.begin("ann", n)
			r.Finish(h, handles.Done, nil)
			r.Read(h, true)
		}
		if got, want := r.Size().Tombstones, 4*limits.Handles; got != want {
			r.t.Errorf("there are %d tombstones, want %d", got, want)
		}
		r.is(key("ann", 1), "unknown")
		r.is(key("ann", 2), "buried")
	}},
	{name: "Bytes", rule: "all results together have so many bytes; what has no room is known without its text", o: handles.Options{Handles: 8, Bytes: 4096}, run: func(r *rig) {
		a, b, c := r.begin("ann", 1), r.begin("ann", 2), r.begin("ann", 3)
		r.Finish(a, handles.Done, make([]byte, 1500))
		r.Read(a, false)
		r.Finish(b, handles.Done, []byte(strings.Repeat("b", 1500)))
		r.is(key("ann", 1), "buried")
		r.Finish(c, handles.Done, make([]byte, 1500))
		r.is(key("ann", 3), "done")
		if got := r.Size().Bytes; got > 4096 {
			r.t.Errorf("the store holds %d bytes, want at most 4096", got)
		}
	}},
	{name: "BytesOfHandles", rule: "handles count, and tombstones make room for new ones", o: handles.Options{Handles: 100, Bytes: 2048}, run: func(r *rig) {
		for n := range byte(3) {
			r.Read(r.begin("ann", n), false)
		}
		r.verdict(key("bob", 9), sum12, handles.Full)
		h, _ := r.Find(key("ann", 0))
		r.Finish(h, handles.Done, nil)
		r.begin("bob", 9)
	}},
	{name: "Wait", rule: "those who wait are told of the end, in order, once", run: func(r *rig) {
		h := r.begin("ann", 1)
		r.wait(h, "one")
		gone := r.wait(h, "two")
		r.wait(h, "three")
		r.Leave(h, gone)
		r.Finish(h, handles.Done, []byte("3"))
		if r.Wait(h, &handles.Wait{}) {
			r.t.Error("Wait() after the end = true, want false")
		}
		r.Leave(h, gone)
		if diff := cmp.Diff([]string{"one", "three"}, r.waits); diff != "" {
			r.t.Errorf("told (-want +got):\n%s", diff)
		}
	}},
	{name: "WaitForTTL", rule: "those who wait are told of the timer's end", run: func(r *rig) {
		r.wait(r.begin("ann", 1), "one")
		r.pass(10 * time.Minute)
		if len(r.waits) != 1 {
			r.t.Errorf("told %q, want one", r.waits)
		}
	}},
	{name: "Withdraw", rule: "a call that could not be run was never there, but those who wait learn why", run: func(r *rig) {
		h := r.begin("ann", 1)
		r.wait(h, "one")
		r.Withdraw(h, []byte("busy"))
		r.is(key("ann", 1), "unknown")
		if state, text := r.Result(h); state != handles.Failed || string(text) != "busy" || len(r.waits) != 1 {
			r.t.Errorf("Result() = %v %s, told %q; want failed busy, one", state, text, r.waits)
		}
		if got := r.Size(); got != (handles.Size{}) {
			r.t.Errorf("Size() = %+v, want nothing", got)
		}
	}},
	{name: "WithdrawLate", rule: "a call that has ended cannot be withdrawn", run: func(r *rig) {
		h := r.begin("ann", 1)
		r.Cancel(h)
		r.Withdraw(h, []byte("busy"))
		r.is(key("ann", 1), "cancelled")
	}},
	{name: "Close", rule: "a closed store takes nothing new, and keeps what it has", run: func(r *rig) {
		h := r.begin("ann", 1)
		r.Close()
		r.verdict(key("ann", 2), sum12, handles.Full)
		r.Finish(h, handles.Done, []byte("3"))
		r.is(key("ann", 1), "done 3")
	}},
	{name: "Look", rule: "looking makes no handle", run: func(r *rig) {
		if _, v := r.Look(key("ann", 1), sum12); v != handles.Unknown {
			r.t.Errorf("Look() = %v, want unknown", v)
		}
		r.begin("ann", 1)
		if _, v := r.Look(key("ann", 1), call("sum", "[3]")); v != handles.Conflict {
			r.t.Errorf("Look() = %v, want conflict", v)
		}
	}},
}

func (r *rig) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestStore(t *testing.T) {
	for _, tt := range rules {
		t.Run(tt.name, func(t *testing.T) {
			t.Attr("rule", tt.rule)
			synctest.Test(t, func(t *testing.T) {
				o := tt.o
				if o.Handles == 0 {
					o = limits
				}
				s := handles.New(o)
				defer s.Close()
				tt.run(&rig{t: t, Store: s})
			})
		})
	}
}

func TestEpoch(t *testing.T) {
	a, b := handles.New(handles.Options{}), handles.New(handles.Options{})
	if a.Epoch() == b.Epoch() || a.Epoch() == "" {
		t.Errorf("epochs %q and %q, want two", a.Epoch(), b.Epoch())
	}
}

func TestUUID(t *testing.T) {
	const v4 = "3b241101-e2bb-4255-8caf-4136c566a962"
	for _, tt := range []struct {
		text       string
		ok, secret bool
	}{
		{v4, true, true},
		{strings.ToUpper(v4), true, true},
		{"3b241101-e2bb-1255-8caf-4136c566a962", true, false}, // version 1
		{"3b241101-e2bb-4255-0caf-4136c566a962", true, false}, // variant of NCS
		{"00000000-0000-0000-0000-000000000000", true, false},
		{"", false, false},
		{v4 + "0", false, false},
		{"3b241101e2bb42558caf4136c566a962", false, false},
		{"3b241101-e2bb-4255-8caf+4136c566a962", false, false},
		{"3b241101-e2bb-4255-8caf-4136c566a96g", false, false},
		{"{3b241101-e2bb-4255-8caf-4136c566a96}", false, false},
	} {
		u, ok := handles.Parse(tt.text)
		if ok != tt.ok || ok && (u.Secret() != tt.secret || u.String() != strings.ToLower(tt.text)) {
			t.Errorf("Parse(%q) = %v, %v, secret %v; want %v, %v", tt.text, u, ok, u.Secret(), tt.ok, tt.secret)
		}
	}
	if a, b := handles.Random(), handles.Random(); a == b || !a.Secret() {
		t.Errorf("Random() = %v, then %v", a, b)
	}
}

func TestCallOf(t *testing.T) {
	for _, tt := range []struct {
		name, a, b string
		same       bool
	}{
		{"white space", `{"a":1}`, " {\n\"a\" : 1 }", true},
		{"order of members", `{"a":1,"b":[{"c":1,"d":2}]}`, `{"b":[{"d":2,"c":1}],"a":1}`, true},
		{"spelling of strings", `["é/"]`, `["\u00e9\/"]`, true},
		{"spelling of numbers", `[1.0,100.5]`, `[1.00,1.005e2]`, true},
		{"whole numbers too large for a float", `[9007199254740993]`, `[9007199254740992]`, false},
		{"order of elements", `[1,2]`, `[2,1]`, false},
		{"null and absent", `{"a":null,"b":1}`, `{"b":1}`, false},
		{"text and number", `["1"]`, `[1]`, false},
		{"duplicates", `{"a":1,"a":2}`, `{"a":2,"a":1}`, false},
		{"not UTF-8", "[\"\xff\"]", "[\"\xff\"]", true},
	} {
		if got := call("m", tt.a) == call("m", tt.b); got != tt.same {
			t.Errorf("%s: %s and %s are the same: %v, want %v", tt.name, tt.a, tt.b, got, tt.same)
		}
	}
	if call("m", "[1]") == call("m[", "1]") {
		t.Error("method and params run into each other")
	}
	params := []byte(`{"b":1, "a":2}`)
	handles.CallOf([]byte("m"), params)
	if string(params) != `{"b":1, "a":2}` {
		t.Errorf("CallOf has changed its params to %s", params)
	}
}
