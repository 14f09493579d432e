package conformance

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/polyport/polyport/transport"
)

// inboxRoom is more messages than any rule sends by one connection.
const inboxRoom = 1 << 14

// An inbox receives all that comes by a connection, as a server or client does,
// so that the connection's own frames are looked at, too.
type inbox struct {
	msgs chan *transport.Message
	over chan struct{} // closed when Recv has failed
	err  error         // of Recv; read it after over
	lost atomic.Int32  // how often Recv said ErrReconnecting
}

// inbox starts to receive by c, until it ends.
func (r *rig) inbox(c transport.Conn) *inbox {
	return r.inboxThat(c, func(*transport.Message) {})
}

// inboxThat is inbox; f is called with each message by the goroutine that
// receives.
func (r *rig) inboxThat(c transport.Conn, f func(*transport.Message)) *inbox {
	in := &inbox{msgs: make(chan *transport.Message, inboxRoom), over: make(chan struct{})}
	r.Go(func() {
		defer close(in.over)
		for {
			m, err := c.Recv(context.Background())
			switch {
			case errors.Is(err, transport.ErrReconnecting):
				in.lost.Add(1)
			case err != nil:
				in.err = err
				return
			default:
				f(m)
				in.msgs <- m
			}
		}
	})
	return in
}

// next returns the next message, which must come.
func (r *rig) next(in *inbox) *transport.Message {
	r.Helper()
	m, err := r.nextOrOver(in)
	if err != nil {
		r.Fatalf("Recv: %v", err)
	}
	return m
}

// nextOrOver returns the next message or, when all have been returned, Recv's
// error. One of them must come.
func (r *rig) nextOrOver(in *inbox) (*transport.Message, error) {
	r.Helper()
	select {
	case m := <-in.msgs:
		return m, nil
	default:
	}
	select {
	case m := <-in.msgs:
		return m, nil
	case <-in.over:
	case <-r.soon().Done():
		r.Fatalf("no message came within %v", r.patience())
	}
	select {
	case m := <-in.msgs:
		return m, nil
	default:
		return nil, in.err
	}
}

// nextText returns the next message, which must have this body.
func (r *rig) nextText(in *inbox, body string) *transport.Message {
	r.Helper()
	m := r.next(in)
	if string(m.Body) != body {
		r.Fatalf("Recv: body = %s, want %q", brief(m.Body), body)
	}
	return m
}

// wantOver waits for the end of the connection and returns Recv's error.
func (r *rig) wantOver(in *inbox) error {
	r.Helper()
	select {
	case <-in.over:
		return in.err
	case <-r.soon().Done():
		r.Fatalf("Recv did not return within %v after the end of the connection", r.patience())
		return nil
	}
}

// none checks that no message has come.
func (r *rig) none(in *inbox, why string) {
	r.Helper()
	select {
	case m := <-in.msgs:
		r.Errorf("a message came, %s: %s", why, brief(m.Body))
	default:
	}
}
