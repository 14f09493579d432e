package conformance_test

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/polyport/polyport/transport"
)

var confirmDefects = []defect{
	{"confirms twice", "Confirm", inConfirm(func(_ *conn, inner transport.Confirmer, ctx context.Context, m *transport.Message, done func(error)) error {
		return inner.SendConfirmed(ctx, m, func(err error) { done(err); done(err) })
	})},
	{"never confirms", "Confirm", inConfirm(func(c *conn, _ transport.Confirmer, ctx context.Context, m *transport.Message, _ func(error)) error {
		return c.Conn.Send(ctx, m)
	})},
	{"confirms what was only sent", "ConfirmMeansTaken", inConfirm(func(c *conn, _ transport.Confirmer, ctx context.Context, m *transport.Message, done func(error)) error {
		err := c.Conn.Send(ctx, m)
		if err == nil {
			done(nil)
		}
		return err
	})},
	{"says nothing when the connection is lost", "ConfirmLost", inConfirm(func(_ *conn, inner transport.Confirmer, ctx context.Context, m *transport.Message, done func(error)) error {
		return inner.SendConfirmed(ctx, m, func(err error) {
			if err == nil {
				done(nil)
			}
		})
	})},
	{"says not sent when the connection is lost", "ConfirmLost", inConfirm(func(_ *conn, inner transport.Confirmer, ctx context.Context, m *transport.Message, done func(error)) error {
		return inner.SendConfirmed(ctx, m, func(err error) {
			if err != nil {
				err = &transport.OpError{Op: "send", Err: transport.ErrClosed}
			}
			done(err)
		})
	})},
	{"fails and reports", "ConfirmClosed", inConfirm(func(_ *conn, inner transport.Confirmer, ctx context.Context, m *transport.Message, done func(error)) error {
		err := inner.SendConfirmed(ctx, m, done)
		if err != nil {
			done(err)
		}
		return err
	})},
	{"has no limit of what is unconfirmed", "ConfirmWaits", inOptions(func(o *transport.Options) { o.Limits.Unsettled = 100 })},
	{"confirms what was refused", "ConfirmRefused", inConfirm(func(_ *conn, inner transport.Confirmer, ctx context.Context, m *transport.Message, done func(error)) error {
		return inner.SendConfirmed(ctx, m, func(error) { done(nil) })
	})},
	{"waits for the confirmation", "ConfirmMeansTaken", inConfirm(func(_ *conn, inner transport.Confirmer, ctx context.Context, m *transport.Message, done func(error)) error {
		confirmed := make(chan struct{})
		err := inner.SendConfirmed(ctx, m, func(err error) {
			done(err)
			close(confirmed)
		})
		if err == nil {
			select {
			case <-confirmed:
			case <-time.After(tooLong):
			}
		}
		return err
	})},
	{"waits for room to confirm", "ConfirmBothWays", inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		m, err := c.Conn.Recv(ctx)
		if err == nil && len(m.Body) == 1<<10 {
			ctx, cancel := context.WithTimeout(ctx, tooLong)
			defer cancel()
			_ = c.Conn.Send(ctx, &transport.Message{Body: make([]byte, 1000)})
		}
		return m, err
	})},
	{"never lets go of what it gathers", "Gather", func() *broken {
		return &broken{conn: func(c *conn) {
			h := hoarder{Conn: c.Conn, gathers: new(atomic.Bool)}
			send := c.send
			c.send = func(ctx context.Context, m *transport.Message) error {
				if h.gathers.Load() {
					return nil
				}
				return send(ctx, m)
			}
			c.own = h
		}}
	}},
	{"flushes nothing", "Flush", func() *broken {
		return &broken{conn: func(c *conn) {
			c.own = flusher{Conn: c.Conn, flush: func(context.Context) error { return nil }}
		}}
	}},
	{"flushes for ever", "FlushContext", func() *broken {
		return &broken{conn: func(c *conn) {
			inner, _ := transport.As[transport.Flusher](c.Conn)
			c.own = flusher{Conn: c.Conn, flush: func(context.Context) error {
				ctx, cancel := context.WithTimeout(context.Background(), tooLong)
				defer cancel()
				if inner.Flush(ctx) != nil {
					return transport.ErrBusy
				}
				return nil
			}}
		}}
	}},
}
