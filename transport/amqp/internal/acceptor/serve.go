package acceptor

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp/internal/frames"
)

const (
	// software is the name that this end gives itself.
	software = "polyport"
	// maxSessions is how many sessions a connection may have.
	maxSessions = 256
	// minIdle is the shortest idle time-out that a peer may ask for, in
	// milliseconds.
	minIdle = 100
)

// Serve shakes hands with the peer that dialed nc. See transport.Transport's
// method Server for what becomes of nc.
func Serve(ctx context.Context, nc net.Conn, o *transport.ListenOptions) (transport.Conn, error) {
	c := newConn(nc, o.WithDefaults())
	if err := c.shake(ctx); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = &fault{resourceLimit, transport.WithReason(transport.ErrSlow, "the handshake was not over in time")}
		}
		if _, ok := errors.AsType[*fault](err); ok {
			c.refuse(err)
		} else { // the peer is gone
			_ = c.stream.Close(nil)
		}
		return nil, err
	}
	c.join()
	c.stream.OnEnd(c.over)
	c.mu.Lock()
	c.startPump()
	c.mu.Unlock()
	return c, nil
}

// shake goes from the first byte to the exchange of open frames.
func (c *conn) shake(ctx context.Context) error {
	l := &login{conn: c, ctx: ctx}
	h, err := c.frames.header()
	if err == nil && h == headerSASL {
		c.stage = stageSASL
		if err = l.negotiate(); err == nil {
			h, err = c.frames.header()
		}
	} else if err == nil && h == headerAMQP {
		err = l.without()
	}
	switch {
	case err != nil:
		return err
	case h == headerSASL:
		return broken("", "SASL once more")
	case h != headerAMQP:
		c.stage = stageHeader
		return broken("", "the protocol header %q is not that of AMQP 1.0; protocol 0 and 3 in version 1.0.0 are spoken here", h[:])
	}
	c.stage = stageOpen
	err = c.stream.Write(ctx, "handshake", len(h), func(dst []byte) []byte { return append(dst, headerAMQP[:]...) })
	if err != nil {
		return err
	}
	return c.open(ctx, l)
}

// open exchanges open frames.
func (c *conn) open(ctx context.Context, l *login) error {
	var theirs frames.Open
	for {
		f, err := c.frames.next()
		if err != nil {
			return err
		}
		if f.Type != frames.TypeAMQP || f.code != frames.CodeOpen && f.Size > f.Offset {
			return broken(notAllowed, "expected an open frame, got one of type %d with the performative %#02x", f.Type, f.code)
		}
		if f.code != frames.CodeOpen {
			continue // a sign of life
		}
		theirs.Parse(&f.fields)
		if err := f.fields.Err(); err != nil {
			return malformed("open", err)
		}
		break
	}
	if err := c.agree(&theirs); err != nil {
		return err
	}
	if err := l.host(string(theirs.Hostname)); err != nil {
		return err
	}
	if err := c.stream.Write(ctx, "handshake", 256, c.appendOpen); err != nil {
		return err
	}
	c.stage, c.frames.most = stageRunning, maxFrame
	idle := time.Duration(theirs.IdleTimeout) * time.Millisecond
	c.stream.StartHeartbeat(idle, c.info.PeerBeat, frames.Empty)
	return nil
}

// agree judges the peer's open frame.
func (c *conn) agree(theirs *frames.Open) error {
	if theirs.MaxFrameSize < frames.MinMaxSize {
		return broken(invalidField, "max-frame-size is %d; AMQP 1.0 asks for %d at least", theirs.MaxFrameSize, frames.MinMaxSize)
	}
	if t := theirs.IdleTimeout; t > 0 && t < minIdle {
		return broken(invalidField, "an idle-time-out of %d ms is too short to be kept; the least is %d", t, minIdle)
	}
	c.frameSize = int(min(theirs.MaxFrameSize, maxFrame))
	c.info.Peer = string(theirs.Product)
	if c.info.Peer == "" {
		c.info.Peer = string(theirs.ContainerID)
	} else if v := string(theirs.Version); v != "" {
		c.info.Peer += "/" + v
	}
	// A peer's idle-time-out is half of what it bears (section 2.4.5), and says
	// what it wants of us. One that says nothing still sends what we want. Our
	// own client says the interval itself, or that it wants to have none.
	wish := time.Duration(theirs.IdleTimeout) * time.Millisecond
	if string(theirs.Product) != software {
		if wish *= 2; wish == 0 {
			wish = c.o.Heartbeat
		}
	}
	beat := transport.Negotiate(c.o.Heartbeat, wish)
	c.info.Beat, c.info.PeerBeat = beat, beat
	return nil
}

// appendOpen appends our open frame. Half of the interval that we bear is told
// to the peer.
func (c *conn) appendOpen(dst []byte) []byte {
	ours := frames.Open{
		ContainerID: []byte(software), Product: []byte(software), MaxFrameSize: maxFrame, ChannelMax: maxSessions - 1,
		IdleTimeout: uint32(min(c.info.PeerBeat/2/time.Millisecond, 1<<31)),
	}
	return ours.Append(dst, "ANONYMOUS-RELAY")
}

// appendFarewell appends what ends a connection at its stage, with the reason.
func (c *conn) appendFarewell(dst []byte, why *frames.Error) []byte {
	switch c.stage {
	case stageHeader: // section 2.2: the header of what is spoken here
		if c.o.Authenticator != nil {
			return append(dst, headerSASL[:]...)
		}
		return append(dst, headerAMQP[:]...)
	case stageSASL:
		return append(dst, headerSASL[:]...)
	case stageLogin:
		return frames.AppendSASLOutcome(dst, frames.SASLAuth)
	case stageOpen:
		dst = c.appendOpen(dst)
	}
	return frames.AppendClose(dst, why)
}

// knows reports whether a virtual host is served.
func (c *conn) knows(host string) bool {
	return len(c.o.VirtualHosts) == 0 || slices.Contains(c.o.VirtualHosts, host)
}
