package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/stomp"
)

var routeDefects = []defect{
	{"has another reply address each time", "ReplyAddress", func() *broken {
		return &broken{wire: stomp.Transport{}, client: func(c *conn) {
			c.own = addresser{Conn: c.Conn, address: func(context.Context) (string, error) {
				return fmt.Sprint("/temp-queue/", c.next()), nil
			}}
		}}
	}},
	{"has no reply address", "ReplyAddress", func() *broken {
		return &broken{wire: stomp.Transport{}, client: func(c *conn) {
			c.own = addresser{Conn: c.Conn, address: func(context.Context) (string, error) { return "", nil }}
		}}
	}},
	{"loses what nobody waits for", "NoRoute", func() *broken {
		return &broken{wire: stomp.Transport{}, server: func(c *conn) {
			c.send = func(ctx context.Context, m *transport.Message) error {
				if err := c.Conn.Send(ctx, m); !errors.Is(err, transport.ErrNoRoute) {
					return err
				}
				return nil
			}
		}}
	}},
	{"shares reply routes", "AnswersStayApart", func() *broken {
		var mu sync.Mutex
		var last transport.Conn
		return &broken{server: func(c *conn) {
			mu.Lock()
			defer mu.Unlock()
			last = c.Conn
			c.send = func(ctx context.Context, m *transport.Message) error {
				mu.Lock()
				defer mu.Unlock()
				return last.Send(ctx, m)
			}
		}}
	}},
	{"loses the subscription's name", "Subscribe", inMessage(func(m *transport.Message) { m.Subscription = "" })},
	{"gives names twice", "SubscribeNames", inSubscribe(func(inner transport.Subscriber) subscriber {
		return subscriber{subscribe: func(ctx context.Context, s transport.Subscription) (string, error) {
			if s.ID == "" {
				s.ID = "2"
			}
			return inner.Subscribe(ctx, s)
		}}
	})},
	{"replaces a subscription", "SubscribeTwice", inSubscribe(func(inner transport.Subscriber) subscriber {
		return subscriber{subscribe: func(ctx context.Context, s transport.Subscription) (string, error) {
			_ = inner.Unsubscribe(ctx, s.ID)
			return inner.Subscribe(ctx, s)
		}}
	})},
	{"has no limit of subscriptions", "SubscribeLimit", inOptions(func(o *transport.Options) { o.Limits.Subscriptions = 100 })},
	{"does not unsubscribe", "Unsubscribe", inSubscribe(func(transport.Subscriber) subscriber {
		return subscriber{unsubscribe: func(context.Context, string) error { return nil }}
	})},
	{"publishes to one", "Publish", inPublish(func(c *conn, _ transport.Publisher, ctx context.Context, m *transport.Message) error {
		return c.Conn.Send(ctx, m)
	})},
	{"publishes to nobody", "PublishNoRoute", inPublish(func(_ *conn, inner transport.Publisher, ctx context.Context, m *transport.Message) error {
		if err := inner.Publish(ctx, m); !errors.Is(err, transport.ErrNoRoute) {
			return err
		}
		return nil
	})},
	{"waits for itself", "PublishOverLimit", inPublish(func(_ *conn, inner transport.Publisher, ctx context.Context, m *transport.Message) error {
		err := inner.Publish(ctx, m)
		if errors.Is(err, transport.ErrBusy) {
			<-ctx.Done()
		}
		return err
	})},
	{"publishes one after the other", "PublishTogether", func() *broken {
		return &broken{server: func(c *conn) {
			inner, _ := transport.As[transport.Publisher](c.Conn)
			both := make(chan struct{}, 4) // of which each needs two
			c.own = publisher{Conn: c.Conn, publish: func(ctx context.Context, m *transport.Message) error {
				for range 2 {
					select {
					case both <- struct{}{}:
						defer func() { <-both }()
					case <-ctx.Done():
						return ctx.Err()
					}
					wait(time.Millisecond)
				}
				return inner.Publish(ctx, m)
			}}
		}}
	}},
	{"publishes half and denies it", "PublishNotSent", inPublish(func(c *conn, inner transport.Publisher, ctx context.Context, m *transport.Message) error {
		err := inner.Publish(ctx, m)
		if errors.Is(err, transport.ErrBusy) {
			_ = c.Conn.Send(ctx, m)
		}
		return err
	})},
}
