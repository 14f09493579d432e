package stomp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/go-stomp/stomp/v3/frame"

	"github.com/polyport/polyport/transport"
)

// conn is what both ends have in common.
type conn struct {
	stream *transport.Stream
	frames *frameReader
	v      version
	info   transport.Info
	// handle acts on a frame and returns the message to hand out, if it is one.
	handle func(*frame.Frame) (*transport.Message, error)
	// before is called before a frame is read, with Recv's context. It may be nil.
	before func(context.Context) error
	// broken is told why what the peer sent is no frame. It may be nil.
	broken func(error)
}

func newConn(nc net.Conn, o *transport.Options) conn {
	s := transport.NewStream(nc, scheme, o, o.Limits.HeaderBytes+maxCommand)
	shaking := o.Limits
	shaking.Message = 0 // no frame of the handshake has a body, but ERROR
	info := transport.Info{
		Scheme: scheme, Local: nc.LocalAddr(), Remote: nc.RemoteAddr(), Limits: o.Limits, Addressed: true, Headers: true,
		TLS: transport.TLSState(nc),
	}
	return conn{
		stream: s, frames: newFrameReader(s, shaking), info: info,
	}
}

// agree fixes what the handshake has settled.
func (c *conn) agree(v version, beat, peerBeat time.Duration) {
	c.v = v
	c.frames.agree(v, c.info.Limits)
	c.info.Version, c.info.Beat, c.info.PeerBeat = v.String(), beat, peerBeat
	if beat > 0 || peerBeat > 0 {
		c.stream.StartHeartbeat(beat, peerBeat, eol)
	}
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
			if c.broken != nil && (errors.Is(err, transport.ErrProtocol) || errors.Is(err, transport.ErrTooLarge)) {
				c.broken(err)
			}
			return nil, err
		}
		if m, err := c.handle(f); m != nil || err != nil {
			return m, err
		}
	}
}

// Info returns what was negotiated.
func (c *conn) Info() *transport.Info { return &c.info }

// Gather holds back what is sent while more has been received.
func (c *conn) Gather() { c.stream.Gather() }

// Release lets it go.
func (c *conn) Release() { c.stream.Release() }

// Flush waits until what was sent is written.
func (c *conn) Flush(ctx context.Context) error { return c.stream.Flush(ctx) }

// write sends a rare frame.
func (c *conn) write(ctx context.Context, op string, f *frame.Frame) error {
	if err := c.sayable(f); err != nil {
		return c.notSent(op, err)
	}
	return c.stream.Write(ctx, op, len(f.Body)+256, func(dst []byte) []byte { return appendFrame(dst, c.v, f) })
}

// control sends a small frame without waiting for room.
func (c *conn) control(op string, f *frame.Frame) error {
	if err := c.sayable(f); err != nil {
		return c.notSent(op, err)
	}
	return c.stream.Control(op, func(dst []byte) []byte { return appendFrame(dst, c.v, f) })
}

// acquire takes a slot, for which it waits until ctx or the connection ends; a
// ctx that has ended means not to wait.
func (c *conn) acquire(ctx context.Context, slots chan struct{}, busy string) error {
	select {
	case slots <- struct{}{}:
		return nil
	default:
	}
	select {
	case slots <- struct{}{}:
		return nil
	case <-c.stream.Ending():
		return cmp.Or(c.stream.Err(), transport.ErrClosed)
	case <-ctx.Done():
		return transport.WithReason(transport.ErrBusy, busy)
	}
}

// sayable reports why a frame's headers cannot be said in this version.
func (c *conn) sayable(f *frame.Frame) error {
	for i := range f.Header.Len() {
		name, value := f.Header.GetAt(i)
		if err := c.v.check("header name", name, true); err != nil {
			return err
		}
		if err := c.v.check(name, value, false); err != nil {
			return err
		}
	}
	return nil
}

// lost is the error for a message whose confirmation will not come.
func (c *conn) lost(err error) error {
	return &transport.OpError{Op: "send", Scheme: scheme, Addr: c.info.Remote.String(), MaybeSent: true, Err: err}
}

// notSent is the error for something that was refused before it was sent.
func (c *conn) notSent(op string, err error) error {
	return &transport.OpError{Op: op, Scheme: scheme, Addr: c.info.Remote.String(), Err: err}
}

// beats reads a heart-beat header: what the sender offers and what it wants.
func beats(value string) (offer, wish time.Duration, err error) {
	if value == "" {
		return 0, 0, nil
	}
	x, y, _ := strings.Cut(value, ",")
	for _, p := range [...]struct {
		text string
		d    *time.Duration
	}{{x, &offer}, {y, &wish}} {
		ms, err := strconv.ParseUint(strings.TrimSpace(p.text), 10, 31)
		if err != nil {
			return 0, 0, malformed("heart-beat %.30q is not two numbers of milliseconds", value)
		}
		*p.d = time.Duration(ms) * time.Millisecond
	}
	return offer, wish, nil
}

// beatHeader writes what an end offers and wants.
func beatHeader(offer, wish time.Duration) string {
	return fmt.Sprintf("%d,%d", max(0, offer.Milliseconds()), max(0, wish.Milliseconds()))
}
