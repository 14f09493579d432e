package mem

import (
	"context"
	"errors"
	"net/url"
	"sync"

	"github.com/polyport/polyport/transport"
)

const (
	// socketReq asks for lock-step, as ZMQ's REQ socket has it.
	socketReq = "req"
	// socketSub asks for a feed, as ZMQ's SUB socket does.
	socketSub = "sub"
)

// socketOf returns the socket that a URL asks for.
func socketOf(u *url.URL) (string, error) {
	switch s := u.Query().Get("socket"); s {
	case "", socketReq, socketSub:
		return s, nil
	default:
		return "", invalid("socket=%.60q: there is only socket=%s and socket=%s", s, socketReq, socketSub)
	}
}

// A step is what keeps an end of a connection in lock-step. It shows nothing of
// the connection but what makes sense there.
type step struct {
	conn *conn
	send func(context.Context, *transport.Message) error
	// asks says which end this is.
	asks bool

	mu sync.Mutex // protects the field below
	// open says that a question waits for its answer: at the end that asks it was
	// sent, at the other it was received.
	open bool
}

func newAsker(c *clientConn) transport.Conn {
	c.info.Lockstep = true
	return &step{conn: c.conn, send: c.Send, asks: true}
}

func newAnswerer(c *serverConn) transport.Conn {
	c.info.Lockstep = true
	return &step{conn: c.conn, send: c.Send}
}

// Send sends m if it is this end's turn.
func (s *step) Send(ctx context.Context, m *transport.Message) error {
	if !s.change(s.asks) {
		return s.outOfTurn()
	}
	err := s.send(ctx, m)
	if err != nil && transport.NotSent(err) {
		s.change(!s.asks)
	}
	return err
}

// outOfTurn says why nothing can be sent: when all is over, that comes first.
func (s *step) outOfTurn() error {
	if err := s.conn.ending(); err != nil {
		return err
	}
	why := transport.WithReason(transport.ErrUnsupported, "in lock-step this end can only answer, and no message waits for an answer")
	if s.asks {
		why = transport.WithReason(transport.ErrBusy, "in lock-step the next message has to wait for the answer to the last")
	}
	return s.conn.notSent("send", why)
}

// ending is why nothing can be sent any more, or nil.
func (c *conn) ending() error {
	nothing := func(dst []byte) []byte { return dst }
	if err := c.stream.Write(tryOnly, "send", 0, nothing); err != nil && !errors.Is(err, transport.ErrBusy) {
		return err
	}
	return nil
}

// tryOnly is a context that has ended.
var tryOnly = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// Recv returns the next message and makes it this end's turn.
func (s *step) Recv(ctx context.Context) (*transport.Message, error) {
	m, err := s.conn.Recv(ctx)
	if err != nil || s.change(!s.asks) {
		return m, err
	}
	what := "a message before the last was answered"
	if s.asks {
		what = "an answer to nothing"
	}
	err = malformed("%s, on a connection in lock-step", what)
	s.conn.refuse(err)
	return nil, s.conn.notSent("receive", err)
}

// change opens or closes the question, and reports whether it was not so before.
func (s *step) change(open bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := s.open != open
	s.open = open
	return changed
}

// Flush waits until what was sent is written.
func (s *step) Flush(ctx context.Context) error { return s.conn.Flush(ctx) }

// Close says goodbye.
func (s *step) Close() error { return s.conn.Close() }

// Info returns what was negotiated.
func (s *step) Info() *transport.Info { return s.conn.Info() }
