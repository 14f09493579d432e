package mem

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/polyport/polyport/transport"
)

// conn is what both ends have in common.
type conn struct {
	stream *transport.Stream
	frames frameReader
	info   transport.Info
	may    transport.Limits // what both ends' limits let this end send
	// handle acts on a frame and returns the message to hand out, if it is one.
	handle func(frame) (*transport.Message, error)

	// before is called before a frame is read, with Recv's context. It may be nil.
	before func(context.Context) error

	flow    flow
	confirm confirmations
	over    chan struct{} // closed when nothing more will be sent
	cease   func()        // closes over
}

func newConn(nc net.Conn, o *transport.Options) *conn {
	c := &conn{info: transport.Info{
		Headers: true,
		Scheme:  scheme, Local: nc.LocalAddr(), Remote: nc.RemoteAddr(), Limits: o.Limits,
		TLS: transport.TLSState(nc), Profile: o.Profile,
	}}
	c.flow.slots, c.flow.most = o.Limits.Unsettled, o.Limits.Unsettled
	c.over = make(chan struct{})
	c.cease = sync.OnceFunc(func() { close(c.over) })
	c.stream = transport.NewStream(nc, scheme, o, o.Limits.HeaderBytes+prefixLen)
	c.frames = frameReader{stream: c.stream}
	return c
}

// agree fixes what the handshake has settled.
func (c *conn) agree(peer string, beat, peerBeat time.Duration, theirs transport.Limits) {
	ours := c.info.Limits
	c.info.Version, c.info.Peer = "1", peer
	c.info.Beat = transport.Negotiate(beat, peerBeat)
	c.info.PeerBeat = c.info.Beat
	c.may = both(ours, theirs)
	c.frames.head, c.frames.body = min(ours.HeaderBytes, maxHead), min(ours.Message, maxBody)
	c.stream.OnEnd(c.ended)
	c.stream.StartHeartbeat(c.info.Beat, c.info.PeerBeat, appendFrame(nil, kindBeat, nil))
}

// Recv returns the next message.
func (c *conn) Recv(ctx context.Context) (*transport.Message, error) {
	return c.stream.Receive(ctx, func() (*transport.Message, error) { return c.nextMessage(ctx) })
}

func (c *conn) nextMessage(ctx context.Context) (*transport.Message, error) {
	for {
		if c.before != nil {
			if err := c.before(ctx); err != nil {
				return nil, err
			}
		}
		f, err := c.frames.next()
		if err != nil {
			if refusable(err) {
				c.refuse(err)
			}
			return nil, err
		}
		if m, err := c.dispatch(f); m != nil || err != nil {
			return m, err
		}
	}
}

// dispatch acts on the frames that either end may send, and leaves the others
// to handle.
func (c *conn) dispatch(f frame) (m *transport.Message, err error) {
	switch f.kind {
	case kindRefuse:
		return nil, transport.WithReason(transport.ErrRefused, f.head.text())
	case kindGoodbye:
		return nil, transport.WithReason(transport.ErrClosed, "the peer said goodbye")
	case kindConfirm:
		err = c.wasTaken(f)
	default:
		m, err = c.handle(f)
	}
	if err != nil {
		c.refuse(err)
	}
	return m, err
}

// refusable reports whether err is about what the peer sent.
func refusable(err error) bool {
	return errors.Is(err, transport.ErrProtocol) || errors.Is(err, transport.ErrTooLarge)
}

// refuse tells the peer why the connection ends.
func (c *conn) refuse(why error) { c.stream.Abort(why, refusalOf(why)) }

// refusalOf appends a refuse frame.
func refusalOf(why error) func([]byte) []byte {
	text := transport.Reason(why)
	return func(dst []byte) []byte {
		return appendFrame(dst, kindRefuse, func(dst []byte) []byte { return appendText(dst, text) })
	}
}

// Info returns what was negotiated.
func (c *conn) Info() *transport.Info { return &c.info }

// Flush waits until what was sent is written.
func (c *conn) Flush(ctx context.Context) error { return c.stream.Flush(ctx) }

// Gather holds back what is sent while more has been received.
func (c *conn) Gather() { c.stream.Gather() }

// Release lets it go.
func (c *conn) Release() { c.stream.Release() }

// Close says goodbye.
func (c *conn) Close() error {
	c.cease()
	return c.stream.Close(func(dst []byte) []byte {
		return appendFrame(dst, kindGoodbye, nil)
	})
}

// ended tells all who wait for a confirmation that none will come.
func (c *conn) ended(err error) {
	c.cease()
	err = &transport.OpError{Op: "send", Scheme: scheme, Addr: c.info.Remote.String(), MaybeSent: true, Err: err}
	for _, done := range c.confirm.all() {
		done(err)
	}
}

// notSent is the error for something that was refused before it was sent.
func (c *conn) notSent(op string, err error) error {
	return &transport.OpError{Op: op, Scheme: scheme, Addr: c.info.Remote.String(), Err: err}
}
