package faultconn_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/transport/faultconn"
)

// Schedules and their text.
var texts = []struct {
	name, text string
	schedule   faultconn.Schedule
}{
	{"empty", "seed 0", faultconn.Schedule{}},
	{"only a seed", "seed 18446744073709551615", faultconn.Schedule{Seed: math.MaxUint64}},
	{
		"one", "seed 7; write byte 17 cut",
		faultconn.Schedule{Seed: 7, Rules: []faultconn.Rule{
			{Dir: faultconn.Write, Unit: faultconn.Byte, At: 17, Kind: faultconn.Cut},
		}},
	},
	{
		"every argument",
		"seed 0; read byte 0 latency 1.5ms; read byte 0 jitter 1ns; read byte 0 bandwidth 1000; " +
			"read byte 0 slice; read byte 0 slice 5s; read byte 0 coalesce 24h0m0s; read byte 0 reset; " +
			"read byte 0 halfclose; read byte 0 blackhole; read byte 0 blackhole 65536; " +
			"read byte 0 stall; read byte 0 stall 30s; read byte 0 bitflip; read byte 0 bitflip 7",
		faultconn.Schedule{Rules: []faultconn.Rule{
			{Dir: faultconn.Read, Unit: faultconn.Byte, Kind: faultconn.Latency, Arg: 1_500_000},
			{Dir: faultconn.Read, Unit: faultconn.Byte, Kind: faultconn.Jitter, Arg: 1},
			{Dir: faultconn.Read, Unit: faultconn.Byte, Kind: faultconn.Bandwidth, Arg: 1000},
			{Dir: faultconn.Read, Unit: faultconn.Byte, Kind: faultconn.Slice},
			{Dir: faultconn.Read, Unit: faultconn.Byte, Kind: faultconn.Slice, Arg: 5e9},
			{Dir: faultconn.Read, Unit: faultconn.Byte, Kind: faultconn.Coalesce, Arg: 24 * int64(time.Hour)},
			{Dir: faultconn.Read, Unit: faultconn.Byte, Kind: faultconn.Reset},
			{Dir: faultconn.Read, Unit: faultconn.Byte, Kind: faultconn.HalfClose},
			{Dir: faultconn.Read, Unit: faultconn.Byte, Kind: faultconn.BlackHole},
			{Dir: faultconn.Read, Unit: faultconn.Byte, Kind: faultconn.BlackHole, Arg: 65536},
			{Dir: faultconn.Read, Unit: faultconn.Byte, Kind: faultconn.Stall},
			{Dir: faultconn.Read, Unit: faultconn.Byte, Kind: faultconn.Stall, Arg: 30e9},
			{Dir: faultconn.Read, Unit: faultconn.Byte, Kind: faultconn.BitFlip},
			{Dir: faultconn.Read, Unit: faultconn.Byte, Kind: faultconn.BitFlip, Arg: 7},
		}},
	},
	{
		"every trigger",
		"seed 0; write byte 1+2 slice; read op 3+4 slice; write time 1.5s+250ms slice; read time 0s cut",
		faultconn.Schedule{Rules: []faultconn.Rule{
			{Dir: faultconn.Write, Unit: faultconn.Byte, At: 1, For: 2, Kind: faultconn.Slice},
			{Dir: faultconn.Read, Unit: faultconn.Op, At: 3, For: 4, Kind: faultconn.Slice},
			{Dir: faultconn.Write, Unit: faultconn.Time, At: 15e8, For: 25e7, Kind: faultconn.Slice},
			{Dir: faultconn.Read, Unit: faultconn.Time, Kind: faultconn.Cut},
		}},
	},
}

func TestText(t *testing.T) {
	for _, test := range texts {
		t.Run(test.name, func(t *testing.T) {
			if got := test.schedule.String(); got != test.text {
				t.Errorf("String() = %q, want %q", got, test.text)
			}
			if diff := cmp.Diff(&test.schedule, parse(t, test.text)); diff != "" {
				t.Errorf("Parse(%q) (-want +got):\n%s", test.text, diff)
			}
			if err := test.schedule.Validate(); err != nil {
				t.Errorf("Validate() = %v, want nil", err)
			}
		})
	}
	var none *faultconn.Schedule
	if got := none.String(); got != "seed 0" {
		t.Errorf("String() of nil = %q, want %q", got, "seed 0")
	}
	if err := none.Validate(); err != nil {
		t.Errorf("Validate() of nil = %v, want nil", err)
	}
}

func TestParseIsGenerous(t *testing.T) {
	want := &faultconn.Schedule{Seed: 5, Rules: []faultconn.Rule{
		{Dir: faultconn.Write, Unit: faultconn.Byte, At: 1, Kind: faultconn.Cut},
		{Dir: faultconn.Read, Unit: faultconn.Op, At: 2, Kind: faultconn.Stall, Arg: 60e9},
	}}
	for _, text := range []string{
		"seed 5;write byte 1 cut;read op 2 stall 60s",
		"\n seed  5 \n\twrite byte 1 cut\r\n;;\n read op 2 stall 1m\n",
	} {
		if diff := cmp.Diff(want, parse(t, text)); diff != "" {
			t.Errorf("Parse(%q) (-want +got):\n%s", text, diff)
		}
	}
	if diff := cmp.Diff(&faultconn.Schedule{}, parse(t, "")); diff != "" {
		t.Errorf("Parse of nothing (-want +got):\n%s", diff)
	}
}

func TestParseErrors(t *testing.T) {
	for _, text := range []string{
		"write",
		"write byte 1",
		"write byte 1 stall 1s extra",
		"up byte 1 cut",
		"write bit 1 cut",
		"write byte one cut",
		"write byte -1 cut",
		"write byte 1+ slice",
		"write byte 1+-1 slice",
		"write byte 9223372036854775807+1 slice",
		"write byte 9223372036854775808 cut",
		"write byte 1 explode",
		"write byte 1 cut 1",
		"write byte 1+1 cut",
		"write byte 1 latency",
		"write byte 1 latency 20",
		"write byte 1 latency -1s",
		"write byte 1 latency 25h",
		"write byte 1 bandwidth 0",
		"write byte 1 bandwidth 1ms",
		"write byte 1 bitflip 8",
		"write time 5 cut",
		"write byte 5s cut",
		"seed",
		"seed x",
		"seed -1",
		"seed 1; seed 2",
		"write byte 1 cut; seed 2",
	} {
		s, err := faultconn.Parse(text)
		if s != nil || !errors.Is(err, faultconn.ErrSyntax) {
			t.Errorf("Parse(%q) = %v, %v, want nil, %v", text, s, err, faultconn.ErrSyntax)
		}
	}
}

func TestValidate(t *testing.T) {
	good := faultconn.Rule{Dir: faultconn.Write, Unit: faultconn.Byte, Kind: faultconn.Slice}
	change := func(f func(*faultconn.Rule)) faultconn.Rule {
		r := good
		f(&r)
		return r
	}
	tests := []struct {
		name string
		rule faultconn.Rule
		ok   bool
	}{
		{"good", good, true},
		{"no direction", change(func(r *faultconn.Rule) { r.Dir = 0 }), false},
		{"unknown direction", change(func(r *faultconn.Rule) { r.Dir = 3 }), false},
		{"no unit", change(func(r *faultconn.Rule) { r.Unit = 0 }), false},
		{"unknown unit", change(func(r *faultconn.Rule) { r.Unit = 4 }), false},
		{"no kind", change(func(r *faultconn.Rule) { r.Kind = 0 }), false},
		{"unknown kind", change(func(r *faultconn.Rule) { r.Kind = 200 }), false},
		{"negative trigger", change(func(r *faultconn.Rule) { r.At = -1 }), false},
		{"negative extent", change(func(r *faultconn.Rule) { r.For = -1 }), false},
		{"overflow", change(func(r *faultconn.Rule) { r.At, r.For = math.MaxInt64, 1 }), false},
		{"the largest", change(func(r *faultconn.Rule) { r.At, r.For = math.MaxInt64-1, 1 }), true},
		{"negative argument", change(func(r *faultconn.Rule) { r.Arg = -1 }), false},
		{"zero latency", change(func(r *faultconn.Rule) { r.Kind = faultconn.Latency }), false},
	}
	for _, test := range tests {
		s := &faultconn.Schedule{Rules: []faultconn.Rule{good, test.rule}}
		err := s.Validate()
		if (err == nil) != test.ok || !test.ok && !errors.Is(err, faultconn.ErrSyntax) {
			t.Errorf("%s: Validate() = %v, want ok = %v", test.name, err, test.ok)
		}
		if err != nil && !strings.Contains(err.Error(), "rule 2") {
			t.Errorf("%s: Validate() = %q, want it to name rule 2", test.name, err)
		}
		if s.String() == "" {
			t.Errorf("%s: String() is empty", test.name)
		}
	}
}

func TestNames(t *testing.T) {
	if got, want := len(faultconn.Kinds()), 11; got != want {
		t.Errorf("there are %d kinds, want %d", got, want)
	}
	seen := map[string]bool{}
	for _, k := range faultconn.Kinds() {
		if name := k.String(); name == "" || seen[name] || strings.Contains(name, "Kind") {
			t.Errorf("Kind(%d).String() = %q, want a name of its own", k, name)
		}
		seen[k.String()] = true
	}
	for got, want := range map[string]string{
		faultconn.Kind(0).String():  "Kind(0)",
		faultconn.Kind(99).String(): "Kind(99)",
		faultconn.Dir(9).String():   "Dir(9)",
		faultconn.Unit(9).String():  "Unit(9)",
		faultconn.Read.String():     "read",
		faultconn.Time.String():     "time",
	} {
		if got != want {
			t.Errorf("String() = %q, want %q", got, want)
		}
	}
}

// A seed means the same for ever: in a bug report, and after an upgrade.
func TestRandomIsFixed(t *testing.T) {
	tests := []struct {
		seed  uint64
		kinds []faultconn.Kind
		want  string
	}{
		{0, nil, "seed 0; write byte 1179 bitflip 1; write byte 195 latency 127ms"},
		{1, nil, "seed 1; read byte 0 blackhole 65536; read byte 1942+1473 jitter 23ms; read byte 59 coalesce 15ms"},
		{math.MaxUint64, []faultconn.Kind{faultconn.Cut}, "seed 18446744073709551615; read byte 9 cut"},
		{42, faultconn.Kinds(), "seed 42; write byte 259+1011 latency 63ms; read byte 932+448 jitter 47ms; write byte 1463+630 bandwidth 512000; " +
			"write byte 96 slice; read byte 0 coalesce 42ms; read byte 1 cut; write byte 29 reset; " +
			"read byte 3 halfclose; write byte 64 blackhole; read byte 12 stall 24.17397345s; write byte 23 bitflip 7"},
	}
	for _, test := range tests {
		if got := faultconn.Random(test.seed, test.kinds...).String(); got != test.want {
			t.Errorf("Random(%d, %v) =\n%s, want\n%s", test.seed, test.kinds, got, test.want)
		}
	}
}

func TestRandom(t *testing.T) {
	count := map[faultconn.Kind]int{}
	sizes := map[int]int{}
	for seed := range uint64(3000) {
		s := faultconn.Random(seed)
		sizes[len(s.Rules)]++
		once := map[faultconn.Kind]bool{}
		for _, r := range s.Rules {
			count[r.Kind]++
			if once[r.Kind] {
				t.Errorf("Random(%d) = %v, which has %v twice", seed, s, r.Kind)
			}
			once[r.Kind] = true
		}
		for i, r := range faultconn.Random(seed, faultconn.Kinds()...).Rules {
			if want := faultconn.Kinds()[i]; r.Kind != want || r.Unit != faultconn.Byte || r.At >= 4096 {
				t.Errorf("Random(%d, all): rule %d = %v, want %v before byte 4096", seed, i, r, want)
			}
		}
		for _, s := range []*faultconn.Schedule{s, faultconn.Random(seed, faultconn.Kinds()...)} {
			if err := s.Validate(); err != nil {
				t.Errorf("Random(%d).Validate() = %v, want nil", seed, err)
			}
			if diff := cmp.Diff(s, parse(t, s.String())); diff != "" {
				t.Errorf("Parse(Random(%d).String()) (-want +got):\n%s", seed, diff)
			}
		}
	}
	for _, k := range faultconn.Kinds() {
		if count[k] < 300 {
			t.Errorf("%v is in %d of 3000 schedules, want about 545", k, count[k])
		}
	}
	for n := 1; n <= 3; n++ {
		if sizes[n] < 800 {
			t.Errorf("%d of 3000 schedules have %d rules, want about 1000", sizes[n], n)
		}
	}
	if err := faultconn.Random(1, faultconn.Kind(77)).Validate(); !errors.Is(err, faultconn.ErrSyntax) {
		t.Errorf("Random of an unknown kind: Validate() = %v, want %v", err, faultconn.ErrSyntax)
	}
}

func TestMarshal(t *testing.T) {
	want := faultconn.Random(3)
	text, err := json.Marshal(map[string]*faultconn.Schedule{"faults": want})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]*faultconn.Schedule
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got["faults"]); diff != "" {
		t.Errorf("through JSON (-want +got):\n%s", diff)
	}
	if err := got["faults"].UnmarshalText([]byte("x")); !errors.Is(err, faultconn.ErrSyntax) {
		t.Errorf("UnmarshalText(x) = %v, want %v", err, faultconn.ErrSyntax)
	}
	if diff := cmp.Diff(want, got["faults"]); diff != "" {
		t.Errorf("after a failed UnmarshalText (-want +got):\n%s", diff)
	}
}

func FuzzParse(f *testing.F) {
	for _, test := range texts {
		f.Add(test.text)
	}
	for seed := range uint64(20) {
		f.Add(faultconn.Random(seed, faultconn.Kinds()...).String())
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := faultconn.Parse(text)
		if err != nil {
			if !errors.Is(err, faultconn.ErrSyntax) {
				t.Errorf("Parse(%q) = %v, want it to wrap %v", text, err, faultconn.ErrSyntax)
			}
			return
		}
		if err := s.Validate(); err != nil {
			t.Errorf("Parse(%q) is invalid: %v", text, err)
		}
		again, err := faultconn.Parse(s.String())
		if err != nil {
			t.Fatalf("Parse(%q) = %v, want nil", s, err)
		}
		if diff := cmp.Diff(s, again); diff != "" {
			t.Errorf("Parse(%q), printed and parsed (-want +got):\n%s", text, diff)
		}
	})
}
