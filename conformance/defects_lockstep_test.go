package conformance_test

import (
	"context"
	"errors"

	"github.com/polyport/polyport/transport"
)

// inStep is the reference wire in lock-step, with ends that are broken.
func inStep(client, server func(*conn)) func() *broken {
	return func() *broken { return &broken{query: "socket=req", client: client, server: server} }
}

// askingSend and answeringSend are ends whose Send does something else with the
// error of the true one.
func askingSend(f func(c *conn, ctx context.Context, err error) error) func() *broken {
	return inStep(func(c *conn) { otherError(c, f) }, nil)
}

func answeringSend(f func(c *conn, ctx context.Context, err error) error) func() *broken {
	return inStep(nil, func(c *conn) { otherError(c, f) })
}

func otherError(c *conn, f func(c *conn, ctx context.Context, err error) error) {
	c.send = func(ctx context.Context, m *transport.Message) error { return f(c, ctx, c.Conn.Send(ctx, m)) }
}

var lockstepDefects = []defect{
	{"keeps the turn", "LockstepTurns", func() *broken {
		return inStep(func(c *conn) {
			c.send = func(ctx context.Context, m *transport.Message) error {
				if c.next() > 7 {
					return &transport.OpError{Op: "send", Err: transport.ErrBusy}
				}
				return c.Conn.Send(ctx, m)
			}
		}, nil)()
	}},
	{"gives the last answer again", "LockstepTurns", func() *broken {
		var last *transport.Message
		return inStep(func(c *conn) {
			c.recv = func(ctx context.Context) (*transport.Message, error) {
				m, err := c.Conn.Recv(ctx)
				if err == nil && c.next() == 20 {
					m = last
				}
				last = m
				return m, err
			}
		}, nil)()
	}},
	{"sends no empty answers", "LockstepEmpty", func() *broken {
		return inStep(nil, func(c *conn) {
			c.send = func(ctx context.Context, m *transport.Message) error {
				if len(m.Body) == 0 && c.next() > 1 {
					return nil
				}
				return c.Conn.Send(ctx, m)
			}
		})()
	}},
	{"has the next message wait", "LockstepBusy", askingSend(func(_ *conn, ctx context.Context, err error) error {
		if errors.Is(err, transport.ErrBusy) {
			<-ctx.Done()
		}
		return err
	})},
	{"throws the next message away", "LockstepBusy", askingSend(func(_ *conn, _ context.Context, err error) error {
		if errors.Is(err, transport.ErrBusy) {
			return nil
		}
		return err
	})},
	{"ends when asked too much", "LockstepBusy", askingSend(func(c *conn, _ context.Context, err error) error {
		if errors.Is(err, transport.ErrBusy) {
			_ = c.Conn.Close()
		}
		return err
	})},
	{"tells all that they have the turn", "LockstepOneTurn", askingSend(func(_ *conn, _ context.Context, err error) error {
		if errors.Is(err, transport.ErrBusy) {
			return nil
		}
		return err
	})},
	{"throws away what nobody asked for", "LockstepUnasked", answeringSend(func(_ *conn, _ context.Context, err error) error {
		if errors.Is(err, transport.ErrUnsupported) {
			return nil
		}
		return err
	})},
	{"is busy when nobody asks", "LockstepUnasked", answeringSend(func(_ *conn, _ context.Context, err error) error {
		if errors.Is(err, transport.ErrUnsupported) {
			return &transport.OpError{Op: "send", Err: transport.ErrBusy}
		}
		return err
	})},
	{"answers twice", "LockstepOnce", answeringSend(func(c *conn, _ context.Context, err error) error {
		if errors.Is(err, transport.ErrUnsupported) && c.next() > 2 {
			return nil
		}
		return err
	})},
	{"loses the answer with the ctx", "LockstepRecvContext", func() *broken {
		return inStep(func(c *conn) {
			lost := false
			c.recv = func(ctx context.Context) (*transport.Message, error) {
				m, err := c.Conn.Recv(ctx)
				if lost && err == nil {
					lost = false
					m, err = c.Conn.Recv(ctx)
				}
				lost = lost || err != nil && ctx.Err() != nil
				return m, err
			}
		}, nil)()
	}},
}
