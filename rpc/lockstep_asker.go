package rpc

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/polyport/polyport/transport"
)

// An asker is one connection in lock-step. A goroutine of its own receives all the
// time, so that the end of an idle connection is noticed and an answer to nothing
// is not taken for the next one.
type asker struct {
	l      *lockstep
	conn   transport.Conn
	answer chan *transport.Message // of room for one
	over   chan struct{}           // closed when the connection has ended
	err    error                   // why; to be read when over is closed
	useful atomic.Bool             // something was answered
	ours   atomic.Bool             // we closed it
	end    func()                  // closes it, without waiting

	mu    sync.Mutex // protects the field below
	asked bool
}

// newAsker returns an asker for conn, which has to receive.
func newAsker(l *lockstep, conn transport.Conn) *asker {
	a := &asker{l: l, conn: conn, answer: make(chan *transport.Message, 1), over: make(chan struct{})}
	a.end = sync.OnceFunc(func() { l.wg.Go(func() { _ = conn.Close() }) })
	l.info.Store(conn.Info())
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[a] = struct{}{}
	return a
}

// Exchange sends a message and takes its answer.
func (a *asker) Exchange(ctx context.Context, t *turn) (struct{}, error) {
	if !t.leave() {
		t.gone()
		return struct{}{}, nil // its caller has said what is known, and the connection is as it was
	}
	if err := a.send(ctx, t); err != nil {
		return struct{}{}, err
	}
	m, err := a.wait(ctx)
	if err != nil {
		return struct{}{}, err
	}
	a.useful.Store(true)
	t.unwatch()
	return struct{}{}, a.l.s.answeredTurn(t, m)
}

func (a *asker) send(ctx context.Context, t *turn) error {
	defer t.gone()
	a.ask()
	err := a.conn.Send(ctx, &t.msg)
	if transport.NotSent(err) {
		t.stay()
	}
	return err
}

// wait waits for the answer. One that came before the end counts.
func (a *asker) wait(ctx context.Context) (*transport.Message, error) {
	select {
	case m := <-a.answer:
		return m, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-a.over:
	}
	select {
	case m := <-a.answer:
		return m, nil
	default:
		return nil, a.err
	}
}

// receive receives until the connection ends.
func (a *asker) receive() {
	for {
		m, err := a.conn.Recv(context.Background())
		if err == nil && !a.take(m) {
			err = errUnasked
		}
		if err != nil {
			a.err = err
			close(a.over)
			a.l.lost(a, err)
			a.end()
			return
		}
	}
}

func (a *asker) ask() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = true
}

// take reports whether m is an answer to something.
func (a *asker) take(m *transport.Message) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.asked {
		a.l.s.stats.stray.Add(1)
		return false
	}
	a.asked = false
	a.answer <- m
	return true
}

// Alive reports whether the connection has not ended, and will not for all that is
// known.
func (a *asker) Alive() bool {
	select {
	case <-a.over:
		return false
	default:
	}
	e, ok := transport.As[transport.Ender](a.conn)
	return !ok || !e.Ended()
}

// Close closes the connection, without waiting for it.
func (a *asker) Close() error {
	a.ours.Store(true)
	a.end()
	return nil
}
