package http

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/polyport/polyport/transport"
)

// A lane is a conversation by POST: a connection in lock-step, on which each
// request of a user is a message and its response the answer. One carries a request
// at a time.
type lane struct {
	stream *stream
	info   *transport.Info
	asks   chan *transport.Message // to Recv
	answer chan *transport.Message // from Send, of room for one
	over   chan struct{}           // closed when the lane is closed
	under  chan struct{}           // holds the request under way until its response is written
	busy   bool                    // belongs to the stream

	mu   sync.Mutex // protects the fields below
	err  error      // why it is closed
	open bool       // a message has come out of Recv and is not answered
}

func newLane(s *stream, info *transport.Info) *lane {
	return &lane{
		stream: s, info: info, busy: true, asks: make(chan *transport.Message),
		answer: make(chan *transport.Message, 1), over: make(chan struct{}), under: make(chan struct{}, 1),
	}
}

// exchange has m answered. It ends early when the peer goes or the lane is closed.
func (l *lane) exchange(ctx context.Context, m *transport.Message) (*transport.Message, error) {
	select {
	case l.asks <- m:
	case <-ctx.Done():
		return nil, l.gone()
	case <-l.over:
		return nil, l.ended()
	}
	select {
	case a := <-l.answer:
		return a, nil
	case <-ctx.Done():
		return nil, l.gone()
	case <-l.over:
	}
	select { // one that was sent before counts
	case a := <-l.answer:
		return a, nil
	default:
		return nil, l.ended()
	}
}

// gone closes the lane because its peer gave up, so that what it asked for is
// given up as well.
func (l *lane) gone() error {
	l.fail(transport.WithReason(transport.ErrClosed, "the peer gave up the request"))
	return l.ended()
}

// fail closes the lane because of err; the first call counts.
func (l *lane) fail(err error) {
	l.mu.Lock()
	first := l.err == nil
	if first {
		l.err = err
		close(l.over)
	}
	l.mu.Unlock()
	if first {
		l.stream.drop(l)
	}
}

func (l *lane) ended() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Send answers the message that came out of Recv.
func (l *lane) Send(_ context.Context, m *transport.Message) error {
	if err := l.sayable(m); err != nil {
		return l.opError("send", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.err != nil:
		return l.opError("send", l.err)
	case !l.open:
		return l.opError("send", transport.WithReason(transport.ErrUnsupported,
			"over HTTP this end can only answer, and no message waits for an answer"))
	}
	l.open = false
	l.answer <- &transport.Message{
		ContentType: m.ContentType, Subject: m.Subject, Headers: slices.Clone(m.Headers), Body: slices.Clone(m.Body),
	}
	return nil
}

// sayable returns why m cannot be sent.
func (l *lane) sayable(m *transport.Message) error {
	if err := fits(len(m.Body), l.info); err != nil {
		return err
	}
	return checkFields(m, l.info.Limits)
}

// Recv returns the next message.
func (l *lane) Recv(ctx context.Context) (*transport.Message, error) {
	select {
	case <-l.over:
		return nil, l.opError("receive", l.ended())
	default:
	}
	select {
	case m := <-l.asks:
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.err != nil {
			return nil, l.opError("receive", l.err)
		}
		l.open = true
		return m, nil
	case <-l.over:
		return nil, l.opError("receive", l.ended())
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Close ends the conversation, when the answer that Send took is written, and its
// byte stream if that carries no other.
func (l *lane) Close() error {
	l.fail(transport.ErrClosed)
	linger := time.NewTimer(l.stream.host.o.Linger)
	defer linger.Stop()
	over := l.stream.over
	if !l.stream.closes() { // it carries others
		over = nil
	}
	select {
	case l.under <- struct{}{}: // nothing is under way
		<-l.under
		if over == nil {
			return nil
		}
	case <-over:
		return nil
	case <-linger.C:
		if over != nil {
			l.stream.cut()
		}
		return nil
	}
	select {
	case <-over:
	case <-linger.C:
		l.stream.cut()
	}
	return nil
}

// Info returns what is known of the peer.
func (l *lane) Info() *transport.Info { return l.info }

// Flush waits until the answer that was sent is written.
func (l *lane) Flush(ctx context.Context) error {
	l.mu.Lock()
	open, err := l.open, l.err
	l.mu.Unlock()
	switch {
	case err != nil:
		return l.opError("flush", err)
	case open: // and nothing else can have been sent
		return nil
	}
	select {
	case l.under <- struct{}{}:
		<-l.under
		return nil
	case <-ctx.Done():
		return l.opError("flush", context.Cause(ctx))
	}
}

func (l *lane) opError(op string, err error) error {
	return &transport.OpError{Op: op, Scheme: schemeHTTP, Addr: l.info.Remote.String(), Err: err}
}
