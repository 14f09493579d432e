package rpc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/transport"
)

// A lockstep is what a client sends by where the wire is in lock-step: a pool of
// connections, with one exchange at a time on each. To the session it is a Conn.
// Send queues a message for its turn; the answer goes straight to the calls that
// wait for it, so that nothing ever comes out of Recv but the end.
//
// What becomes of a message is decided once, by its turn: it leaves, or it is
// taken back before.
type lockstep struct {
	s    *session // whose calls these are
	pool *queue.Lockstep[*turn, struct{}]
	dial dialer // nil if there is no way to get another connection
	pace *transport.Pace
	info atomic.Pointer[transport.Info] // of the last connection

	ctx context.Context // ends with the client
	end context.CancelCauseFunc
	wg  sync.WaitGroup // connections that receive or close

	mu      sync.Mutex // protects the fields below
	first   *asker     // the connection that there was at the beginning, until it is used
	pending map[*turn]struct{}
	called  map[uint64]*turn // of pending, by the id of its first call
	settled chan struct{}    // closed when pending is empty; nil while nobody waits
	open    map[*asker]struct{}
}

// dialer makes a connection.
type dialer func(context.Context) (transport.Conn, error)

var (
	errUnasked  = errors.New("rpc: an answer came to nothing that was asked")
	errGivenUp  = errors.New("rpc: the connection in lock-step was given up, and there is no way to dial another")
	errNoLonger = errors.New("rpc: the peer does not go in lock-step any more")
)

// newLockstep returns a pool whose first connection is conn.
func newLockstep(conn transport.Conn, dial dialer, o *ClientOptions) *lockstep {
	l := &lockstep{
		dial: dial, pending: make(map[*turn]struct{}), called: make(map[uint64]*turn), open: make(map[*asker]struct{}),
	}
	l.ctx, l.end = context.WithCancelCause(context.Background())
	l.first = newAsker(l, conn)
	conns := or(o.Conns, 1)
	if dial == nil {
		conns = 1
	}
	if o.Reconnect != nil {
		l.pace = o.Reconnect.Pace()
	}
	l.pool = queue.NewLockstep(l.connect, &queue.LockstepOptions{
		Conns: conns, Depth: or(o.InFlight, 1024), Policy: queue.Block, Timeout: forever,
	})
	return l
}

// serve makes l the connection of s.
func (l *lockstep) serve(s *session) {
	l.s = s
	l.wg.Go(l.first.receive)
}

// forever is long enough: contexts bound calls, and heart-beats the silence of a
// peer.
const forever = 1<<63 - 1

// inLockstep makes a connection in lock-step one for a session.
func inLockstep(conn transport.Conn, o *ClientOptions) transport.Conn {
	if _, ok := conn.(*lockstep); ok || !conn.Info().Lockstep {
		return conn
	}
	return newLockstep(conn, nil, o)
}

// Send queues m. A message with calls is on its way then; one without, to which
// the answer is empty, is waited for. Unlike that of another Conn, ctx bounds the
// exchange.
func (l *lockstep) Send(ctx context.Context, m *transport.Message) error {
	t := newTurn(m)
	if err := l.register(t); err != nil {
		return l.opError("send", err, false)
	}
	t.done = l.pool.Do(t.until(ctx), t)
	if _, err, complete := t.done.TryGet(); complete && err != nil && t.takeBack() {
		l.forget(t)
		return l.opError("send", l.why(err), false)
	}
	t.done.OnDone(func(_ struct{}, err error) { l.over(t, err) })
	if t.id != 0 {
		return nil
	}
	_, err := t.done.Get(ctx)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return l.opError("send", l.why(err), !t.takeBack())
}

// register notes a turn.
func (l *lockstep) register(t *turn) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		return context.Cause(l.ctx)
	}
	l.pending[t] = struct{}{}
	if t.id != 0 {
		l.called[t.id] = t
	}
	return nil
}

// over ends the calls of a turn that have no answer, and forgets it.
func (l *lockstep) over(t *turn, err error) {
	if err != nil {
		outcome := Unknown
		if t.takeBack() {
			outcome = NotSent
		}
		l.s.calls.failMessage(t.id, answer{err: l.s.why(l.why(err)), outcome: outcome})
	}
	l.forget(t)
}

// forget forgets a turn that is over.
func (l *lockstep) forget(t *turn) {
	t.unwatch()
	t.gone()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pending, t)
	if t.id != 0 {
		delete(l.called, t.id)
	}
	if len(l.pending) == 0 && l.settled != nil {
		close(l.settled)
		l.settled = nil
	}
}

// takeBack ends the exchange of a call that nobody waits for any more, and says
// what is known of it. A request that has not left will not; after one that has,
// the connection is closed, by which the peer learns of it.
func (l *lockstep) takeBack(ctx context.Context, id uint64) Outcome {
	l.mu.Lock()
	t := l.called[id]
	l.mu.Unlock()
	if t == nil {
		return Unknown
	}
	outcome := Unknown
	if t.takeBack() {
		outcome = NotSent
	}
	t.done.Cancel(context.Cause(ctx))
	return outcome
}

// Recv waits for the end, settles every account, and says why it came.
func (l *lockstep) Recv(ctx context.Context) (*transport.Message, error) {
	select {
	case <-l.ctx.Done():
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	_ = l.pool.Close(noWait)               // what waits is not sent, what has left is unknown
	_ = l.pool.Close(context.Background()) // whose ends are near
	<-l.allSettled()
	if a := l.takeFirst(); a != nil {
		a.end()
	}
	l.wg.Wait()
	return nil, l.opError("receive", context.Cause(l.ctx), false)
}

// allSettled returns what is closed when nothing is pending.
func (l *lockstep) allSettled() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	settled := make(chan struct{})
	if len(l.pending) == 0 {
		close(settled)
	} else {
		l.settled = settled
	}
	return settled
}

func (l *lockstep) takeFirst() *asker {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.first
	l.first = nil
	return a
}

// Close ends everything; Recv says when it has.
func (l *lockstep) Close() error {
	l.end(transport.ErrClosed)
	return nil
}

// Info returns what was negotiated on the last connection that was made.
func (l *lockstep) Info() *transport.Info { return l.info.Load() }

// Flush waits until all that was sent so far has left, or will not.
func (l *lockstep) Flush(ctx context.Context) error {
	l.mu.Lock()
	turns := make([]*turn, 0, len(l.pending))
	for t := range l.pending {
		turns = append(turns, t)
	}
	l.mu.Unlock()
	for _, t := range turns {
		select {
		case <-t.left:
		case <-ctx.Done():
			return l.opError("flush", context.Cause(ctx), false)
		}
	}
	l.mu.Lock()
	askers := make([]*asker, 0, len(l.open))
	for a := range l.open {
		askers = append(askers, a)
	}
	l.mu.Unlock()
	for _, a := range askers {
		f, ok := transport.As[transport.Flusher](a.conn)
		if !ok {
			continue
		}
		if err := f.Flush(ctx); err != nil && ctx.Err() != nil {
			return err
		}
	}
	return nil
}

// why says an error of the queue in the words of this package.
func (l *lockstep) why(err error) error {
	if errors.Is(err, queue.ErrClosed) {
		return context.Cause(l.ctx)
	}
	for _, of := range []error{queue.ErrNotSent, queue.ErrCanceled} {
		if both, ok := err.(interface{ Unwrap() []error }); ok && errors.Is(both.Unwrap()[0], of) {
			err = both.Unwrap()[len(both.Unwrap())-1]
		}
	}
	return err
}

func (l *lockstep) opError(op string, err error, maybeSent bool) error {
	i := l.Info()
	e := &transport.OpError{Op: op, Scheme: i.Scheme, MaybeSent: maybeSent, Err: err}
	if i.Remote != nil {
		e.Addr = i.Remote.String()
	}
	if inner, ok := err.(*transport.OpError); ok { //nolint:errorlint // what it is wrapped in is to be told, too
		e.Op, e.Addr, e.Err = inner.Op, inner.Addr, inner.Err
	}
	return e
}

// connect makes a connection for the pool.
func (l *lockstep) connect(ctx context.Context) (queue.Exchanger[*turn, struct{}], error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(l.ctx, func() { cancel(context.Cause(l.ctx)) })()
	if a := l.takeFirst(); a != nil && (a.Alive() || l.dial == nil) {
		return a, nil
	}
	conn, err := l.another(ctx)
	if err != nil {
		return nil, err
	}
	if !conn.Info().Lockstep {
		_ = conn.Close()
		return nil, errNoLonger
	}
	a := newAsker(l, conn)
	l.wg.Go(a.receive)
	return a, nil
}

// another dials.
func (l *lockstep) another(ctx context.Context) (transport.Conn, error) {
	switch {
	case l.dial == nil:
		return nil, errGivenUp
	case l.pace == nil:
		return l.dial(ctx)
	}
	c, err := l.pace.Dial(ctx, l.dial)
	if errors.Is(err, transport.ErrGaveUp) {
		l.end(err)
	}
	return c, err
}

// lost says that a connection has ended with err, by itself or because we closed
// it.
func (l *lockstep) lost(a *asker, err error) {
	l.mu.Lock()
	delete(l.open, a)
	l.mu.Unlock()
	switch {
	case l.dial == nil:
		l.end(fmt.Errorf("%w: %w", errGivenUp, err))
	case l.pace != nil && !a.useful.Load() && !a.ours.Load():
		l.pace.Lost()
	}
}
