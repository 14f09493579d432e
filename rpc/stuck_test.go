package rpc_test

import (
	"bytes"
	"context"
	"os"
	"runtime"
	"strconv"
	"testing"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// TestStuckHandler: however many calls are offered to handlers that do not return,
// memory is bounded, and each call is either accepted, and answered when they do
// return, or refused as busy. POLYPORT_LONG=1 makes it a million calls.
func TestStuckHandler(t *testing.T) {
	offered := 100_000
	switch {
	case os.Getenv("POLYPORT_LONG") == "1":
		offered = 1_000_000
	case testing.Short():
		offered = 20_000
	}
	const depth, workers = 1024, 16
	for _, w := range []wire{stompPipe, memPipe} {
		t.Run(w.name, func(t *testing.T) {
			g := newGate()
			q := newQueue(t, &queue.Options{Depth: depth, Workers: workers})
			h := serve(t, w, gatedMux(g), &rpc.ServerOptions{Queue: q, Limits: rpc.Limits{InFlight: 2 * depth}})
			p := h.peer()
			heap() // what other tests have left behind
			said := make(chan error, 1)
			go func() { said <- offer(p, offered) }()
			c := census{t: t, seen: make([]bool, offered)}
			for range offered - depth - workers {
				c.hear(p)
			}
			if err := within(t, said, "the offers"); err != nil {
				t.Fatal(err)
			}
			if s := q.Stats(); s.Accepted != depth+workers || c.busy != offered-depth-workers || c.answered != 0 {
				t.Errorf("%d accepted, %d refused, %d answered, want %d, %d, 0", s.Accepted, c.busy, c.answered, depth+workers, offered-depth-workers)
			}
			g.open()
			for range depth + workers {
				c.hear(p)
			}
			t.Logf("offered %d: %d accepted, %d refused; the heap had %d MiB at most", offered, c.answered, c.busy, c.heap>>20)
			if c.answered != depth+workers || c.heap > 64<<20 {
				t.Errorf("%d of the accepted were answered, and the heap had %d MiB, want %d and at most 64", c.answered, c.heap>>20, depth+workers)
			}
		})
	}
}

// offer says n requests.
func offer(p *peer, n int) error {
	m := &transport.Message{To: p.to, ReplyTo: p.back}
	for i := range n {
		m.Body = append(m.Body[:0], `{"jsonrpc":"2.0","method":"Wait","params":[],"id":`...)
		m.Body = append(strconv.AppendInt(m.Body, int64(i), 10), '}')
		if err := p.conn.Send(context.Background(), m); err != nil {
			return err
		}
	}
	return nil
}

// A census counts answers.
type census struct {
	t              *testing.T
	seen           []bool // by id
	answered, busy int
	heap           uint64 // the most
}

// hear takes the next answer, whose id must not have been heard before.
func (c *census) hear(p *peer) {
	c.t.Helper()
	m, err := p.conn.Recv(context.Background())
	if err != nil {
		c.t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(m.Body, []byte(`"id":`))
	digits, _, _ := bytes.Cut(rest, []byte(","))
	id, err := strconv.Atoi(string(bytes.TrimRight(digits, "}")))
	switch {
	case err != nil || c.seen[id]:
		c.t.Fatalf("heard %.200s, want an answer to another call", m.Body)
	case bytes.Contains(m.Body, []byte(`"code":-32009`)):
		c.busy++
	case bytes.Contains(m.Body, []byte(`"result":[]`)):
		c.answered++
	default:
		c.t.Fatalf("heard %.200s, want a result or -32009", m.Body)
	}
	c.seen[id] = true
	if (c.answered+c.busy)%5000 == 0 {
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		c.heap = max(c.heap, s.HeapAlloc)
	}
}
