package transport_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/faultconn"
	"github.com/polyport/polyport/transport/mem"
)

// A flood is many senders that share one Writer to a bad connection.
type flood struct {
	senders, each, longest int
	bound, pipe            int
	pauses                 []time.Duration // before each message, in turn
	near, far              *faultconn.Schedule
}

// harmless are the faults that lose and change nothing.
var harmless = []faultconn.Kind{
	faultconn.Latency, faultconn.Jitter, faultconn.Bandwidth, faultconn.Slice, faultconn.Coalesce, faultconn.Stall,
}

func drawFlood(t *rapid.T) flood {
	kinds := rapid.SliceOfNDistinct(rapid.SampledFrom(harmless), 0, 3, rapid.ID[faultconn.Kind])
	pause := rapid.SampledFrom([]time.Duration{0, 0, time.Microsecond, 100 * time.Microsecond, time.Millisecond, time.Second})
	sizes := rapid.SampledFrom([][2]int{{1, 10}, {7, 100}, {300, 700}, {1 << 16, 700}}).Draw(t, "pipe and longest")
	return flood{
		senders: rapid.IntRange(1, 6).Draw(t, "senders"),
		each:    rapid.IntRange(1, 12).Draw(t, "each"),
		pipe:    sizes[0],
		longest: sizes[1],
		bound:   rapid.SampledFrom([]int{1, 100, 1000, 1 << 20}).Draw(t, "bound"),
		pauses:  rapid.SliceOfN(pause, 1, 10).Draw(t, "pauses"),
		near:    drawFaults(t, "near", kinds),
		far:     drawFaults(t, "far", kinds),
	}
}

func drawFaults(t *rapid.T, end string, kinds *rapid.Generator[[]faultconn.Kind]) *faultconn.Schedule {
	chosen := kinds.Draw(t, end+" kinds")
	if len(chosen) == 0 {
		return nil
	}
	s := faultconn.Random(rapid.Uint64().Draw(t, end+" seed"), chosen...)
	for i := range s.Rules {
		s.Rules[i].Dir = faultconn.Write
		if end == "far" {
			s.Rules[i].Dir = faultconn.Read
		}
	}
	return s
}

// run sends everything and returns what was encoded, in that order, and what
// arrived.
func (f flood) run(t *testing.T) (encoded, arrived string) {
	t.Helper()
	a, b := mem.PipeSize(f.pipe)
	near, far := faultconn.Wrap(a, f.near), faultconn.Wrap(b, f.far)
	w := transport.NewWriter(near, f.bound, time.Hour, func(err error) { t.Errorf("broke(%v), want no call", err) })
	var order strings.Builder
	total := 0
	var wg sync.WaitGroup
	for i := range f.senders {
		for j := range f.each {
			total += len(f.message(i, j))
		}
		wg.Go(func() {
			for j := range f.each {
				time.Sleep(f.pauses[(i+j)%len(f.pauses)])
				m := f.message(i, j)
				err := w.Append(t.Context(), len(m), func(dst []byte) []byte {
					order.WriteString(m)
					return append(dst, m...)
				})
				if err != nil {
					t.Errorf("Append = %v, want nil", err)
				}
			}
		})
	}
	arrived = readN(t, far, total)
	wg.Wait()
	if err := w.Flush(t.Context()); err != nil {
		t.Errorf("Flush = %v, want nil", err)
	}
	near.Close()
	if rest := readAll(t, far); rest != "" {
		t.Errorf("after all messages came %q", rest)
	}
	far.Close()
	return order.String(), arrived
}

func (f flood) message(i, j int) string {
	return fmt.Sprintf("%d %d %s\n", i, j, strings.Repeat("x", (i+1)*(j+1)*37%f.longest))
}

// whole reports whether s is the messages of all senders, those of each in
// order.
func (f flood) whole(s string) error {
	next := make([]int, f.senders)
	for message := range strings.Lines(s) {
		fields := strings.Fields(message)
		i, _ := strconv.Atoi(fields[0])
		if j, _ := strconv.Atoi(fields[1]); j != next[i] {
			return fmt.Errorf("message %d of sender %d came where %d was due", j, i, next[i])
		}
		next[i]++
	}
	if want := slices.Repeat([]int{f.each}, f.senders); !slices.Equal(next, want) {
		return fmt.Errorf("the senders got %v messages through, want %v", next, want)
	}
	return nil
}

func TestWriterFlood(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := drawFlood(rt)
		var encoded, arrived string
		synctest.Test(t, func(t *testing.T) { encoded, arrived = f.run(t) })
		if diff := cmp.Diff(encoded, arrived); diff != "" {
			rt.Fatalf("arrived bytes differ (-encoded +arrived):\n%s", diff)
		}
		if err := f.whole(arrived); err != nil {
			rt.Fatal(err)
		}
	})
}

// In real time and over TCP, whose writes are cut by the kernel.
func TestWriterFloodTCP(t *testing.T) {
	f := flood{senders: 32, each: 100, longest: 3000}
	near, far := tcpPair(t)
	_ = near.SetWriteBuffer(4 << 10)
	w := transport.NewWriter(near, 64<<10, stall, func(err error) { t.Errorf("broke(%v), want no call", err) })
	var wg sync.WaitGroup
	for i := range f.senders {
		wg.Go(func() {
			for j := range f.each {
				put(t, w, f.message(i, j))
			}
		})
	}
	go func() {
		wg.Wait()
		if err := w.Flush(t.Context()); err != nil {
			t.Errorf("Flush = %v, want nil", err)
		}
		near.Close()
	}()
	if err := f.whole(readAll(t, far)); err != nil {
		t.Error(err)
	}
}
