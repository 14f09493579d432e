package conformance_test

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/polyport/polyport/transport"
)

var recvDefects = []defect{
	{"ignores the ctx of Recv", "RecvContext", inRecv(func(c *conn, _ context.Context) (*transport.Message, error) {
		ctx, cancel := context.WithTimeout(context.Background(), tooLong)
		defer cancel()
		return c.Conn.Recv(ctx)
	})},
	{"loses a message when ctx ends", "RecvContext", inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		m, err := c.Conn.Recv(ctx)
		if err == nil && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errors.Is(err, context.DeadlineExceeded) {
			soon, cancel := context.WithTimeout(context.Background(), 10*time.Microsecond)
			defer cancel()
			_, _ = c.Conn.Recv(soon)
		}
		return m, err
	})},
	{"is broken when ctx ends", "RecvContext", inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		m, err := c.Conn.Recv(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			_ = c.nc.Close()
		}
		return m, err
	})},
	{"waits with a ctx that has ended", "RecvEndedContext", inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		if ctx.Err() != nil {
			wait(tooLong)
		}
		return c.Conn.Recv(ctx)
	})},
	{"begins the frame anew when ctx ends", "RecvContextMidFrame", inStream(func(nc net.Conn) net.Conn { return &forgetful{Conn: nc} })},
}

// forgetful loses a byte when a read was interrupted.
type forgetful struct {
	net.Conn
	interrupted bool
}

func (f *forgetful) Read(p []byte) (int, error) {
	if f.interrupted {
		f.interrupted = false
		_, _ = f.Conn.Read(make([]byte, 1))
	}
	n, err := f.Conn.Read(p)
	f.interrupted = err != nil
	return n, err
}

func (f *forgetful) CloseWrite() error { return closeWrite(f.Conn) }

var timeDefects = []defect{
	{"agrees on two intervals", "BeatsAgreed", inInfo(func(_ *conn, i *transport.Info) { i.Beat *= 2 })},
	{"sends no signs of life", "IdleLives", inStream(func(nc net.Conn) net.Conn { return &mute{Conn: nc} })},
	{"needs signs of life that it does not send", "BusySender", inStream(func(nc net.Conn) net.Conn { return &mute{Conn: nc} })},
	{"believes in a dead peer", "SilentPeer", inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		m, err := c.Conn.Recv(ctx)
		if errors.Is(err, transport.ErrHeartbeat) {
			wait(25 * time.Second)
		}
		return m, err
	})},
	{"finds a dead peer late", "SilentPeer", inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		m, err := c.Conn.Recv(ctx)
		if errors.Is(err, transport.ErrHeartbeat) {
			wait(time.Millisecond)
		}
		return m, err
	})},
	{"forgets the silence when ctx ends", "SilentPeerPolled", func() *broken {
		return &broken{
			options: func(o *transport.Options) { o.Heartbeat = -1 },
			conn: func(c *conn) {
				c.info = func() *transport.Info {
					i := *c.Conn.Info()
					i.PeerBeat = 2 * time.Second
					return &i
				}
			},
		}
	}},
	{"takes a busy receiver for a silent peer", "BusyReceiver", func() *broken {
		return &broken{conn: func(c *conn) {
			last := time.Now()
			c.recv = func(ctx context.Context) (*transport.Message, error) {
				if time.Since(last) > time.Minute {
					return nil, transport.ErrHeartbeat
				}
				defer func() { last = time.Now() }()
				return c.Conn.Recv(ctx)
			}
		}}
	}},
	{"ends what is silent", "NoBeats", inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
		defer cancel()
		return c.Conn.Recv(ctx)
	})},
	{"waits for ever for a peer that does not read", "WriteStall", inOptions(func(o *transport.Options) { o.WriteStall = time.Hour })},
	{"gives up a slow reader", "SlowReader", inSend(func(c *conn, ctx context.Context, m *transport.Message) error {
		if len(m.Body) > 50_000 {
			time.AfterFunc(20*time.Second, func() { _ = c.nc.Close() })
		}
		return c.Conn.Send(ctx, m)
	})},
	{"waits for ever for half a frame", "SlowFrame", inOptions(func(o *transport.Options) { o.FrameTimeout = time.Hour })},
	{"counts its own absence", "BusyReceiverMidFrame", inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		if c.next() > 2 {
			return nil, transport.ErrSlow
		}
		return c.Conn.Recv(ctx)
	})},
	{"gives strangers too much time", "SlowHandshake", inStream(func(nc net.Conn) net.Conn { return &patient{Conn: nc} })},
}

// mute loses signs of life: frames of kind 10 without head and body.
type mute struct{ net.Conn }

func (m *mute) CloseWrite() error { return closeWrite(m.Conn) }

func (m *mute) Write(p []byte) (int, error) {
	if len(p) == 8 && p[0] == 10 {
		return len(p), nil
	}
	return m.Conn.Write(p)
}

// patient sees a deadline much later.
type patient struct{ net.Conn }

func (p *patient) CloseWrite() error { return closeWrite(p.Conn) }

func (p *patient) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if err != nil && n == 0 {
		wait(tooLong)
	}
	return n, err
}
