package faultconn_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/transport/faultconn"
)

const ms = time.Millisecond

// What is written when, and what therefore is read when. DIR stands for the
// direction; each case must hold in both.
var lastingTests = []struct {
	name, schedule string
	writes         []arrival
	want           []arrival // the last is the end of the stream
	fired          []faultconn.Kind
}{
	{
		"no fault", "",
		[]arrival{{0, "ab"}, {5 * ms, "c"}},
		[]arrival{{0, "ab"}, {5 * ms, "c"}, {5 * ms, ""}},
		nil,
	},
	{
		"latency is not per message", "DIR byte 0 latency 20ms",
		[]arrival{{0, "ab"}, {5 * ms, "cd"}, {10 * ms, "e"}},
		[]arrival{{20 * ms, "ab"}, {25 * ms, "cd"}, {30 * ms, "e"}, {30 * ms, ""}},
		[]faultconn.Kind{faultconn.Latency},
	},
	{
		"latency from a byte on", "DIR byte 3 latency 20ms",
		[]arrival{{0, "abcdef"}},
		[]arrival{{0, "abc"}, {20 * ms, "def"}, {20 * ms, ""}},
		[]faultconn.Kind{faultconn.Latency},
	},
	{
		"latency for some bytes does not reorder", "DIR byte 2+3 latency 20ms",
		[]arrival{{0, "abcdefgh"}, {30 * ms, "ij"}},
		[]arrival{{0, "ab"}, {20 * ms, "cdefgh"}, {30 * ms, "ij"}, {30 * ms, ""}},
		[]faultconn.Kind{faultconn.Latency},
	},
	{
		"latency for a time", "DIR time 10ms+10ms latency 5ms",
		[]arrival{{9 * ms, "a"}, {10 * ms, "b"}, {19 * ms, "c"}, {30 * ms, "d"}},
		[]arrival{{9 * ms, "a"}, {15 * ms, "b"}, {24 * ms, "c"}, {30 * ms, "d"}, {30 * ms, ""}},
		[]faultconn.Kind{faultconn.Latency},
	},
	{
		"the later rule counts", "DIR byte 0 latency 50ms; DIR byte 2 latency 1ms",
		[]arrival{{0, "ab"}, {60 * ms, "cd"}},
		[]arrival{{50 * ms, "ab"}, {61 * ms, "cd"}, {61 * ms, ""}},
		[]faultconn.Kind{}, // two of one kind: see the test
	},
	{
		"latency not reached", "DIR byte 10 latency 20ms",
		[]arrival{{0, "ab"}},
		[]arrival{{0, "ab"}, {0, ""}},
		nil,
	},
	{
		"bandwidth", "DIR byte 0 bandwidth 1000",
		[]arrival{{0, strings.Repeat("a", 32)}, {1000 * ms, "b"}},
		[]arrival{
			{16 * ms, strings.Repeat("a", 16)},
			{32 * ms, strings.Repeat("a", 16)},
			{1001 * ms, "b"},
			{1001 * ms, ""},
		},
		[]faultconn.Kind{faultconn.Bandwidth},
	},
	{
		"bandwidth adds up", "DIR byte 0 bandwidth 1000",
		[]arrival{{0, "0123456789"}, {5 * ms, "0123456789"}, {100 * ms, "01234"}},
		[]arrival{{16 * ms, "0123456789012345"}, {20 * ms, "6789"}, {105 * ms, "01234"}, {105 * ms, ""}},
		[]faultconn.Kind{faultconn.Bandwidth},
	},
	{
		"drip", "DIR byte 0 slice 5s",
		[]arrival{{0, "abc"}, {0, "d"}},
		[]arrival{{0, "a"}, {5 * time.Second, "b"}, {10 * time.Second, "c"}, {15 * time.Second, "d"}, {15 * time.Second, ""}},
		[]faultconn.Kind{faultconn.Slice},
	},
	{
		"coalesce", "DIR byte 0 coalesce 10ms",
		[]arrival{{0, "ab"}, {3 * ms, "cd"}, {9 * ms, "e"}, {10 * ms, "f"}, {40 * ms, "g"}},
		[]arrival{{10 * ms, "abcde"}, {20 * ms, "f"}, {50 * ms, "g"}, {50 * ms, ""}},
		[]faultconn.Kind{faultconn.Coalesce},
	},
	{
		"coalesce of one call", "DIR byte 0 coalesce 10ms",
		[]arrival{{0, "ab"}, {20 * ms, "cd"}},
		[]arrival{{10 * ms, "ab"}, {30 * ms, "cd"}, {30 * ms, ""}},
		[]faultconn.Kind{faultconn.Coalesce},
	},
	{
		"bandwidth and latency", "DIR byte 0 bandwidth 1000; DIR byte 0 latency 100ms",
		[]arrival{{0, "0123456789"}},
		[]arrival{{110 * ms, "0123456789"}, {110 * ms, ""}},
		[]faultconn.Kind{faultconn.Bandwidth, faultconn.Latency},
	},
	{
		"bit flip", "DIR byte 2 bitflip 5; DIR byte 4 latency 1ms",
		[]arrival{{0, "abcd"}, {1 * ms, "efg"}},
		[]arrival{{0, "ab"}, {0, "C"}, {0, "d"}, {2 * ms, "efg"}, {2 * ms, ""}},
		[]faultconn.Kind{faultconn.BitFlip, faultconn.Latency},
	},
	{
		"bit flip of a late byte", "DIR byte 0 latency 5ms; DIR byte 1 bitflip 0",
		[]arrival{{0, "abc"}},
		[]arrival{{5 * ms, "acc"}, {5 * ms, ""}},
		[]faultconn.Kind{faultconn.BitFlip, faultconn.Latency},
	},
	{
		"bit flip of a call", "DIR op 1 bitflip 5",
		[]arrival{{0, "ab"}, {1 * ms, "cd"}, {2 * ms, "ef"}},
		[]arrival{{0, "ab"}, {1 * ms, "C"}, {1 * ms, "d"}, {2 * ms, "ef"}, {2 * ms, ""}},
		[]faultconn.Kind{faultconn.BitFlip},
	},
	{
		"bit flip after a time", "DIR time 1s bitflip 5",
		[]arrival{{999 * ms, "ab"}, {2000 * ms, "cd"}},
		[]arrival{{999 * ms, "ab"}, {2000 * ms, "C"}, {2000 * ms, "d"}, {2000 * ms, ""}},
		[]faultconn.Kind{faultconn.BitFlip},
	},
	{
		"stall", "DIR byte 3 stall 30s",
		[]arrival{{0, "abcd"}, {10 * time.Second, "ef"}, {40 * time.Second, "g"}},
		[]arrival{{0, "abc"}, {30 * time.Second, "def"}, {40 * time.Second, "g"}, {40 * time.Second, ""}},
		[]faultconn.Kind{faultconn.Stall},
	},
	{
		"stall after a time", "DIR time 1s stall 4s",
		[]arrival{{0, "ab"}, {2000 * ms, "cd"}},
		[]arrival{{0, "ab"}, {5000 * ms, "cd"}, {5000 * ms, ""}},
		[]faultconn.Kind{faultconn.Stall},
	},
	{
		"half close", "DIR byte 3 halfclose",
		[]arrival{{0, "abcdef"}},
		[]arrival{{0, "abc"}, {0, ""}},
		[]faultconn.Kind{faultconn.HalfClose},
	},
	{
		"half close of late bytes", "DIR byte 0 latency 7ms; DIR byte 3 halfclose",
		[]arrival{{0, "abcdef"}},
		[]arrival{{7 * ms, "abc"}, {7 * ms, ""}},
		[]faultconn.Kind{faultconn.HalfClose, faultconn.Latency},
	},
	{
		"cut of late bytes", "DIR byte 0 latency 7ms; DIR byte 3 cut",
		[]arrival{{0, "abcdef"}},
		[]arrival{{7 * ms, "abc"}, {7 * ms, ""}},
		[]faultconn.Kind{faultconn.Cut, faultconn.Latency},
	},
}

func TestOneWay(t *testing.T) {
	for _, dir := range []string{"read", "write"} {
		for _, test := range lastingTests {
			t.Run(dir+"/"+test.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c, peer := wrap(t, strings.ReplaceAll(test.schedule, "DIR", dir))
					from, to := net.Conn(c), peer
					if dir == "read" {
						from, to = peer, c
					}
					start := time.Now()
					go func() {
						for _, w := range test.writes {
							time.Sleep(time.Until(start.Add(w.At)))
							io.WriteString(from, w.Data)
						}
						from.Close()
					}()
					got, err := arrivals(to, start)
					if !isBare(err) {
						t.Errorf("the stream ended with %v, want %v", err, io.EOF)
					}
					if diff := cmp.Diff(settle(test.want), settle(got)); diff != "" {
						t.Errorf("arrivals (-want +got):\n%s", diff)
					}
					if test.fired == nil || len(test.fired) > 0 {
						wantFired(t, c, test.fired...)
					}
				})
			})
		}
	}
}

// settle joins what arrives at the same time. Where one Read ends and the next
// one begins within that is not part of what a fault promises.
func settle(all []arrival) []arrival {
	var settled []arrival
	for _, a := range all {
		if last := len(settled) - 1; last >= 0 && settled[last].At == a.At && a.Data != "" {
			settled[last].Data += a.Data
			continue
		}
		settled = append(settled, a)
	}
	return settled
}

// Two rules of one kind are two.
func TestFiredCountsRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := wrap(t, "write byte 0 latency 5ms; write byte 2 latency 1ms; write byte 9 latency 1ms")
		if got := c.Fired(); len(got) != 0 {
			t.Errorf("Fired() at the start = %v, want none", got)
		}
		io.WriteString(c, "abcd")
		io.WriteString(c, "efgh")
		want := map[faultconn.Kind]int{faultconn.Latency: 2}
		if diff := cmp.Diff(want, c.Fired()); diff != "" {
			t.Errorf("Fired() (-want +got):\n%s", diff)
		}
		c.Fired()[faultconn.Cut] = 7 // the caller's own map
		if diff := cmp.Diff(want, c.Fired()); diff != "" {
			t.Errorf("Fired() again (-want +got):\n%s", diff)
		}
	})
}

// Slices are of one byte at the inner connection, and for the reader.
func TestSlice(t *testing.T) {
	near, far := net.Pipe() // shows each Write by itself
	c := faultconn.Wrap(near, parse(t, "write byte 2+3 slice; read byte 1 slice"))
	go func() {
		defer c.Close()
		if n, err := io.WriteString(c, "abcdefg"); n != 7 || err != nil {
			t.Errorf("Write() = %d, %v, want 7, nil", n, err)
		}
		var got []string
		buf := make([]byte, 10)
		for range 3 {
			n, _ := c.Read(buf)
			got = append(got, string(buf[:n]))
		}
		if diff := cmp.Diff([]string{"x", "y", "z"}, got); diff != "" {
			t.Errorf("Reads (-want +got):\n%s", diff)
		}
	}()
	var got []string
	buf := make([]byte, 10)
	for range 5 {
		n, _ := far.Read(buf)
		got = append(got, string(buf[:n]))
	}
	if diff := cmp.Diff([]string{"ab", "c", "d", "e", "fg"}, got); diff != "" {
		t.Errorf("Writes (-want +got):\n%s", diff)
	}
	io.WriteString(far, "xyz")
	far.Read(buf)
	if got := c.Fired()[faultconn.Slice]; got != 2 {
		t.Errorf("Fired()[slice] = %d, want 2", got)
	}
}

// Jitter stays within its bound, varies, keeps the order, and is that of the
// seed.
func TestJitter(t *testing.T) {
	for _, dir := range []string{"read", "write"} {
		run := func(seed string) (late []time.Duration) {
			synctest.Test(t, func(t *testing.T) {
				c, peer := wrap(t, "seed "+seed+";"+dir+" byte 0 jitter 50ms")
				from, to := net.Conn(c), peer
				if dir == "read" {
					from, to = peer, c
				}
				start := time.Now()
				go func() {
					for i := range 20 {
						io.WriteString(from, strings.Repeat(string(rune('a'+i)), 64))
						time.Sleep(100 * ms)
					}
					from.Close()
				}()
				got, _ := arrivals(to, start)
				for i, a := range got[:len(got)-1] {
					if want := strings.Repeat(string(rune('a'+i)), 64); a.Data != want {
						t.Errorf("%s: Read %d = %q, want %q", dir, i, a.Data, want)
					}
					late = append(late, a.At-time.Duration(i)*100*ms)
				}
				wantFired(t, c, faultconn.Jitter)
			})
			return late
		}
		first := run("1")
		differ := false
		for i, d := range first {
			if d < 0 || d >= 50*ms {
				t.Errorf("%s: run %d is %v late, want between 0 and 50ms", dir, i, d)
			}
			differ = differ || d != first[0]
		}
		if !differ {
			t.Errorf("%s: every run is %v late, want a variety", dir, first[0])
		}
		if diff := cmp.Diff(first, run("1")); diff != "" {
			t.Errorf("%s: same seed, other jitter:\n%s", dir, diff)
		}
		if cmp.Equal(first, run("2")) {
			t.Errorf("%s: other seed, same jitter", dir)
		}
	}
}
