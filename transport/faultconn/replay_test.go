package faultconn_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/transport/faultconn"
	"github.com/polyport/polyport/transport/mem"
)

// A history is all that the two ends of a conversation saw.
type history struct {
	Wrapped, Peer []string // a line for each call
	Fired         map[faultconn.Kind]int
}

// converse sends 50 messages of 200 bytes through a connection with faults to
// a peer that echoes them. No two calls meet at the same time, because their
// order would be nobody's promise.
func converse(t *testing.T, s *faultconn.Schedule) history {
	t.Helper()
	var h history
	synctest.Test(t, func(t *testing.T) {
		near, far := mem.Pipe()
		c := faultconn.Wrap(near, s)
		start := time.Now()
		var all sync.WaitGroup
		type message struct {
			at   time.Time
			data []byte
		}
		echoes := make(chan message, 50*200)
		all.Go(func() {
			defer close(echoes)
			h.Peer = listen(far, start, func(p []byte) {
				echoes <- message{time.Now().Add(ms + 7), bytes.Clone(p)}
			})
		})
		all.Go(func() {
			defer far.Close()
			for m := range echoes {
				time.Sleep(time.Until(m.at))
				far.Write(m.data)
			}
		})
		var sent, received []string
		all.Go(func() { received = listen(c, start, func([]byte) {}) })
		time.Sleep(ms + 3) // the first read may fire a fault of its own
		for i := range 50 {
			n, err := c.Write(bytes.Repeat([]byte{byte(i)}, 200))
			sent = append(sent, fmt.Sprint(time.Since(start), " ", n, " ", err))
			time.Sleep(5*ms + 31)
		}
		time.Sleep(10 * time.Minute) // longer than any fault that ends
		h.Fired = c.Fired()
		c.Close()
		near.Close()
		all.Wait()
		h.Wrapped = slices.Concat(sent, received)
	})
	return h
}

// listen reads to the end. What one Read returns and what the next is left to
// the scheduler, so the log joins what came at one time.
func listen(c io.Reader, start time.Time, got func([]byte)) (log []string) {
	buf := make([]byte, 1000)
	var at time.Duration
	var data []byte
	for {
		n, err := c.Read(buf)
		if now := time.Since(start); now != at || err != nil {
			log = append(log, fmt.Sprintf("%v %x %v", at, data, err))
			at, data = now, nil
		}
		data = append(data, buf[:n]...)
		if err != nil {
			return log
		}
		got(buf[:n])
	}
}

// The same schedule gives the same conversation, call by call and to the
// nanosecond; so does its text.
func TestReplay(t *testing.T) {
	for seed := range uint64(40) {
		s := faultconn.Random(seed)
		first := converse(t, s)
		if diff := cmp.Diff(first, converse(t, s)); diff != "" {
			t.Errorf("%v: second run (-first +second):\n%s", s, diff)
		}
		if diff := cmp.Diff(first, converse(t, parse(t, s.String()))); diff != "" {
			t.Errorf("%v: replay from the text (-first +replay):\n%s", s, diff)
		}
	}
}

// Every kind fires, and not only now and then.
func TestEveryKindFires(t *testing.T) {
	const seeds = 25
	for _, kind := range faultconn.Kinds() {
		fired := 0
		for seed := range uint64(seeds) {
			fired += converse(t, faultconn.Random(seed, kind)).Fired[kind]
		}
		if fired < seeds*3/4 {
			t.Errorf("%v fired for %d of %d seeds, want most", kind, fired, seeds)
		}
		t.Logf("%v fired for %d of %d seeds", kind, fired, seeds)
	}
}

// Kinds that lose nothing lose nothing, together and in both directions.
func TestDelaysLoseNothing(t *testing.T) {
	delays := []faultconn.Kind{
		faultconn.Latency, faultconn.Jitter, faultconn.Bandwidth,
		faultconn.Slice, faultconn.Coalesce, faultconn.Stall,
	}
	want := make([]byte, 6000)
	for i := range want {
		want[i] = byte(i * i >> 3)
	}
	for seed := range uint64(40) {
		s := faultconn.Random(seed, slices.Concat(delays, delays)...)
		synctest.Test(t, func(t *testing.T) {
			near, far := mem.Pipe()
			c := faultconn.Wrap(near, s)
			var all sync.WaitGroup
			for _, end := range []io.ReadWriteCloser{c, far} {
				all.Go(func() {
					for part := range slices.Chunk(want, 700) {
						if n, err := end.Write(part); n != len(part) || err != nil {
							t.Errorf("%v: Write() = %d, %v, want %d, nil", s, n, err, len(part))
						}
					}
					end.(interface{ CloseWrite() error }).CloseWrite()
				})
				all.Go(func() {
					if got, err := io.ReadAll(end); err != nil || !bytes.Equal(got, want) {
						t.Errorf("%v: received %d bytes, %v, that differ from the %d sent", s, len(got), err, len(want))
					}
				})
			}
			all.Wait()
			c.Close()
			far.Close()
		})
	}
}

// Where the bytes are cut into calls makes no difference to rules of bytes.
func TestCallsDoNotMatter(t *testing.T) {
	message := bytes.Repeat([]byte("0123456789"), 30)
	for seed := range uint64(100) {
		for _, kind := range []faultconn.Kind{faultconn.Cut, faultconn.HalfClose, faultconn.BitFlip, faultconn.Reset, faultconn.BlackHole} {
			s := faultconn.Random(seed, kind)
			s.Rules[0].Dir = faultconn.Write
			s.Rules[0].At %= int64(len(message))
			var first []byte
			for _, size := range []int{len(message), 1, 7, 64} {
				synctest.Test(t, func(t *testing.T) {
					near, far := mem.Pipe()
					c := faultconn.Wrap(near, s)
					for part := range slices.Chunk(message, size) {
						c.Write(part)
					}
					far.SetReadDeadline(time.Now().Add(time.Second))
					got, _ := io.ReadAll(far)
					if first == nil {
						first = append([]byte{}, got...)
					}
					if !bytes.Equal(got, first) {
						t.Errorf("%v: in calls of %d bytes the peer got %q, want %q", s, size, got, first)
					}
					wantFired(t, c, kind)
					c.Close()
					near.Close()
					far.Close()
				})
			}
		}
	}
}
