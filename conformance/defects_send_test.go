package conformance_test

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/polyport/polyport/transport"
)

var orderDefects = []defect{
	{"drops the 100th message", "Order", inSend(func(c *conn, ctx context.Context, m *transport.Message) error {
		if c.next() == 100 {
			return nil
		}
		return c.Conn.Send(ctx, m)
	})},
	{"doubles a message", "Order", inSend(func(c *conn, ctx context.Context, m *transport.Message) error {
		if c.next() == 200 {
			_ = c.Conn.Send(ctx, m)
		}
		return c.Conn.Send(ctx, m)
	})},
	{"swaps two messages", "Order", func() *broken {
		return &broken{conn: func(c *conn) {
			var held *transport.Message
			c.recv = func(ctx context.Context) (*transport.Message, error) {
				if m := held; m != nil {
					held = nil
					return m, nil
				}
				m, err := c.Conn.Recv(ctx)
				if err != nil || c.next() != 50 {
					return m, err
				}
				held = m
				return c.Conn.Recv(ctx)
			}
		}}
	}},
	{"mixes bodies of senders", "ConcurrentSenders", func() *broken {
		return &broken{conn: func(c *conn) {
			var last []byte
			c.send = func(ctx context.Context, m *transport.Message) error {
				c.mu.Lock()
				defer c.mu.Unlock()
				mixed := *m
				if len(last) > 3000 {
					mixed.Body = append(slices.Clone(m.Body[:len(m.Body)/2]), last[len(last)/2:]...)
				}
				last = slices.Clone(m.Body)
				return c.Conn.Send(ctx, &mixed)
			}
		}}
	}},
	{"sends one way at a time", "BothWays", func() *broken {
		turn := make(chan struct{}, 1)
		return &broken{conn: func(c *conn) {
			c.send = func(ctx context.Context, m *transport.Message) error {
				if len(m.Body) < 8<<10 {
					return c.Conn.Send(ctx, m)
				}
				select {
				case turn <- struct{}{}: // and keeps it
				default:
					select {
					case <-ctx.Done():
					case <-time.After(tooLong):
					}
				}
				return c.Conn.Send(ctx, m)
			}
		}}
	}},
}

var sendDefects = []defect{
	{"ignores the ctx of Send", "SendContext", inSend(func(c *conn, _ context.Context, m *transport.Message) error {
		ctx, cancel := context.WithTimeout(context.Background(), tooLong)
		defer cancel()
		return c.Conn.Send(ctx, m)
	})},
	{"refuses at once when there is no room", "SendWaitsForRoom", inSend(func(c *conn, _ context.Context, m *transport.Message) error {
		return c.Conn.Send(ended, m)
	})},
	{"waits also when told not to", "SendEndedContext", inSend(func(c *conn, ctx context.Context, m *transport.Message) error {
		if ctx.Err() == nil {
			return c.Conn.Send(ctx, m)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		return c.Conn.Send(ctx, m)
	})},
	{"has no bound", "BoundedMemory", inOptions(func(o *transport.Options) { o.SendBuffer = 1 << 30 })},
	{"takes ten times the bound", "BoundedMemory", inOptions(func(o *transport.Options) { o.SendBuffer *= 4 })},
	{"cannot take more than its buffer", "LargerThanBuffer", inSend(func(c *conn, ctx context.Context, m *transport.Message) error {
		if len(m.Body) > 200<<10 {
			return &transport.OpError{Op: "send", Err: transport.ErrTooLarge}
		}
		return c.Conn.Send(ctx, m)
	})},
	{"does not say that nothing was sent", "SendTooLarge", inSend(func(c *conn, ctx context.Context, m *transport.Message) error {
		err := c.Conn.Send(ctx, m)
		if e, ok := errors.AsType[*transport.OpError](err); ok {
			e.MaybeSent = true
		}
		return err
	})},
	{"sends what is too large", "SendTooLarge", inOptions(func(o *transport.Options) { o.Limits.Message *= 2 })},
	{"closes over what is too large", "SendTooLarge", inSend(func(c *conn, ctx context.Context, m *transport.Message) error {
		err := c.Conn.Send(ctx, m)
		if errors.Is(err, transport.ErrTooLarge) {
			_ = c.nc.Close()
		}
		return err
	})},
	{"takes what is too large", "PeerTooLarge", inOptions(func(o *transport.Options) { o.Limits.Message = 1 << 20 })},
}

var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()
