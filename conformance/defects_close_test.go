package conformance_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/polyport/polyport/transport"
)

var closeDefects = []defect{
	{"does not unblock Recv", "CloseUnblocksRecv", inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		m, err := c.Conn.Recv(ctx)
		if errors.Is(err, transport.ErrClosed) {
			wait(tooLong)
		}
		return m, err
	})},
	{"returns another error than ErrClosed", "CloseUnblocksRecv", inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		m, err := c.Conn.Recv(ctx)
		if errors.Is(err, transport.ErrClosed) {
			err = net.ErrClosed
		}
		return m, err
	})},
	{"does not unblock Send", "CloseUnblocksSend", inSend(func(c *conn, ctx context.Context, m *transport.Message) error {
		err := c.Conn.Send(ctx, m)
		if errors.Is(err, transport.ErrClosed) {
			wait(tooLong)
		}
		return err
	})},
	{"cannot be closed twice", "CloseAgain", inClose(func(c *conn) error {
		if c.next() > 1 {
			return transport.ErrClosed
		}
		return c.Conn.Close()
	})},
	{"drops what waits", "CloseHandsOver", inClose(func(c *conn) error {
		_ = c.nc.Close()
		return c.Conn.Close()
	})},
	{"closes in its own time", "CloseWithinLinger", inOptions(func(o *transport.Options) { o.Linger = 3 * time.Second })},
	{"leaves the stream open", "CloseEndsStream", inStream(func(nc net.Conn) net.Conn { return halfOpen{nc} })},
	{"reports success after Close", "AfterClose", inSend(func(c *conn, ctx context.Context, m *transport.Message) error {
		if err := c.Conn.Send(ctx, m); !errors.Is(err, transport.ErrClosed) {
			return err
		}
		return nil
	})},
	{"does not see that the peer has closed", "PeerClosed", inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		m, err := c.Conn.Recv(ctx)
		if errors.Is(err, transport.ErrClosed) {
			wait(2 * time.Second)
		}
		return m, err
	})},
	{"sends to a peer that has closed", "SendToClosedPeer", inSend(func(c *conn, ctx context.Context, m *transport.Message) error {
		if err := c.Conn.Send(ctx, m); !errors.Is(err, transport.ErrClosed) {
			return err
		}
		return nil
	})},
	{"leaks a goroutine", "Info", func() *broken {
		return &broken{conn: func(*conn) { go wait(10 * time.Minute) }}
	}},
}

// halfOpen is closed in one direction only.
type halfOpen struct{ net.Conn }

func (h halfOpen) CloseWrite() error { return closeWrite(h.Conn) }
func (h halfOpen) Close() error      { return closeWrite(h.Conn) }

var lossDefects = []defect{
	{"does not see a reset", "PeerReset", inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		m, err := c.Conn.Recv(ctx)
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			wait(2 * time.Second)
		}
		return m, err
	})},
	{"takes half a frame for a message", "CutMidFrame", inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		m, err := c.Conn.Recv(ctx)
		if errors.Is(err, transport.ErrClosed) && c.next() == 1 {
			return &transport.Message{}, nil
		}
		return m, err
	})},
	{"calls every error a close", "BrokenRules", inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		m, err := c.Conn.Recv(ctx)
		if errors.Is(err, transport.ErrProtocol) || errors.Is(err, transport.ErrTooLarge) {
			err = transport.ErrClosed
		}
		return m, err
	})},
	{"takes memory on the peer's word", "HostileBytes", func() *broken {
		return &broken{stream: func(nc net.Conn) net.Conn { // before the peer can see the end
			hoard.Store(new([2 << 20]byte))
			return nc
		}}
	}},
	{"does not cut off a hostile peer", "HostileBytes", func() *broken {
		return &broken{stream: func(nc net.Conn) net.Conn { return &sticky{Conn: nc} }}
	}},
	{"takes memory for a damaged frame", "DamagedClient", func() *broken {
		return &broken{server: func(c *conn) {
			c.recv = func(ctx context.Context) (*transport.Message, error) {
				m, err := c.Conn.Recv(ctx)
				if errors.Is(err, transport.ErrProtocol) {
					hoard.Store(new([2 << 20]byte))
				}
				return m, err
			}
		}}
	}},
	{"hangs over a damaged frame", "DamagedServer", func() *broken {
		return &broken{client: func(c *conn) {
			c.recv = func(ctx context.Context) (*transport.Message, error) {
				m, err := c.Conn.Recv(ctx)
				if errors.Is(err, transport.ErrProtocol) {
					wait(tooLong)
				}
				return m, err
			}
		}}
	}},
}

// hoard keeps the compiler from leaving out an allocation.
var hoard atomic.Pointer[[2 << 20]byte]

// sticky stays open for a while after it was closed.
type sticky struct{ net.Conn }

func (s *sticky) CloseWrite() error { return nil }

func (s *sticky) Close() error {
	wait(tooLong)
	return s.Conn.Close()
}
