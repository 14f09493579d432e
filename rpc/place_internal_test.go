package rpc

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/transport"
)

// A deafConn receives nothing until it is closed.
type deafConn struct {
	transport.Conn
	received atomic.Int32
	closed   chan struct{}
}

func (c *deafConn) Recv(context.Context) (*transport.Message, error) {
	c.received.Add(1)
	<-c.closed
	return nil, transport.ErrClosed
}

func (c *deafConn) Close() error { return nil }

// Info says nothing of interest.
func (*deafConn) Info() *transport.Info { return new(transport.Info) }

// A lateJob comes to its lane long after it was received.
type lateJob struct{ lane *queue.Lane }

func (j lateJob) Run(context.Context) {}
func (j lateJob) Drop(error)          {}
func (j lateJob) doubt()              {}

func (j lateJob) way() *queue.Lane {
	time.Sleep(10 * tick)
	return j.lane
}

// TestIssueTakenOverBeforeItsTurn: another goroutine went on receiving when a quick
// request had not come to its lane after a tick, as happens on a loaded machine, and
// what it received came before that request.
func TestIssueTakenOverBeforeItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(nil)
		conn := &deafConn{closed: make(chan struct{})}
		lane := q.Lane(nil)
		s := newSession(t.Context(), conn, sessionOptions{lane: lane, inFlight: 1, outgoing: 1, log: slog.New(slog.DiscardHandler)})
		p := &place{s: s}
		if ran := p.serve(t.Context(), lateJob{lane}); !ran || p.taken || conn.received.Load() != 0 {
			t.Errorf("ran: %v, taken over: %v, another goroutine received %d times, want it to wait for the job's turn",
				ran, p.taken, conn.received.Load())
		}
		close(conn.closed)
		s.receiving.close()
		if err := q.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
