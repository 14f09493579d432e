package conformance_test

import (
	"context"
	"errors"
	"strings"

	"github.com/polyport/polyport/transport"
)

// onFeed is the reference wire as a feed, with ends that are broken.
func onFeed(client, server func(*conn)) func() *broken {
	return func() *broken { return &broken{query: "socket=sub", client: client, server: server} }
}

// An audience replaces what the publishing end of a feed can do.
type audience struct {
	transport.Conn
	publish func(context.Context, *transport.Message) error
	wants   func(string) bool
}

func (a audience) Unwrap() transport.Conn                                  { return a.Conn }
func (a audience) Publish(ctx context.Context, m *transport.Message) error { return a.publish(ctx, m) }
func (a audience) Wants(topic string) bool                                 { return a.wants(topic) }

// feedServer is a feed whose publishing end is changed by f.
func feedServer(f func(a *audience, inner transport.Audience)) func() *broken {
	return onFeed(nil, func(c *conn) {
		inner, _ := transport.As[transport.Audience](c.Conn)
		a := &audience{Conn: c.Conn, publish: inner.Publish, wants: inner.Wants}
		f(a, inner)
		c.own, c.send = a, a.publish
	})
}

// feedClient is a feed whose listening end is changed by f.
func feedClient(f func(s *subscriber)) func() *broken {
	return onFeed(func(c *conn) {
		inner, _ := transport.As[transport.Subscriber](c.Conn)
		s := subscriber{Conn: c.Conn, inner: inner}
		f(&s)
		c.own = s
	}, nil)
}

// feedHears changes each message that the listening end receives.
func feedHears(f func(m *transport.Message)) func() *broken {
	return onFeed(func(c *conn) {
		c.recv = func(ctx context.Context) (*transport.Message, error) {
			m, err := c.Conn.Recv(ctx)
			if err == nil {
				f(m)
			}
			return m, err
		}
	}, nil)
}

var feedDefects = []defect{
	{"does not know at the server that it is a feed", "FeedEnds", onFeed(nil, func(c *conn) {
		c.info = func() *transport.Info {
			i := *c.Conn.Info()
			i.Feed = false
			return &i
		}
	})},
	{"lets the server subscribe", "FeedEnds", onFeed(nil, func(c *conn) { c.own = subscriber{Conn: c.Conn} })},
	{"compares whole topics", "FeedPrefix", feedServer(func(a *audience, inner transport.Audience) {
		a.publish = func(ctx context.Context, m *transport.Message) error {
			if m.To == "a.b.c" {
				return &transport.OpError{Op: "send", Err: transport.ErrNoRoute}
			}
			return inner.Publish(ctx, m)
		}
	})},
	{"keeps the sender's Subject", "FeedPrefix", feedHears(func(m *transport.Message) { m.Subject = "another" })},
	{"compares words", "FeedPrefix", feedClient(func(s *subscriber) {
		s.subscribe = func(ctx context.Context, sub transport.Subscription) (string, error) {
			sub.Destination = strings.TrimSuffix(sub.Destination, ".")
			return s.inner.Subscribe(ctx, sub)
		}
	})},
	{"takes an empty prefix for the URL's destination", "FeedAll", feedClient(func(s *subscriber) {
		s.subscribe = func(ctx context.Context, sub transport.Subscription) (string, error) {
			if sub.Destination == "" {
				sub.Destination = transport.DefaultDestination
			}
			return s.inner.Subscribe(ctx, sub)
		}
	})},
	{"sends once for each subscription", "FeedOnce", feedServer(func(a *audience, inner transport.Audience) {
		a.publish = func(ctx context.Context, m *transport.Message) error {
			if m.To == "a.b.c" {
				_ = inner.Publish(ctx, m)
			}
			return inner.Publish(ctx, m)
		}
	})},
	{"names the subscription that was last", "FeedOnce", feedHears(func(m *transport.Message) {
		if m.To == "a.b.c" {
			m.Subscription = "3"
		}
	})},
	{"has Send reach nobody", "FeedOnce", onFeed(nil, func(c *conn) {
		c.send = func(context.Context, *transport.Message) error {
			return &transport.OpError{Op: "send", Err: transport.ErrUnsupported}
		}
	})},
	{"unsubscribes from the prefix", "FeedUnsubscribe", feedClient(func(s *subscriber) {
		s.unsubscribe = func(ctx context.Context, id string) error {
			if id == "stays" {
				_ = s.inner.Unsubscribe(ctx, "same")
			}
			return s.inner.Unsubscribe(ctx, id)
		}
	})},
	{"keeps what was unsubscribed", "FeedUnsubscribe", feedClient(func(s *subscriber) {
		s.unsubscribe = func(ctx context.Context, id string) error {
			if id == "goes" {
				return nil
			}
			return s.inner.Unsubscribe(ctx, id)
		}
	})},
	{"throws away what nobody wants", "FeedNoRoute", feedServer(func(a *audience, inner transport.Audience) {
		a.publish = func(ctx context.Context, m *transport.Message) error {
			if err := inner.Publish(ctx, m); !errors.Is(err, transport.ErrNoRoute) {
				return err
			}
			return nil
		}
	})},
	{"takes everything for wanted", "FeedWants", feedServer(func(a *audience, _ transport.Audience) {
		a.wants = func(string) bool { return true }
	})},
	{"remembers who has left", "FeedWants", feedServer(func(a *audience, inner transport.Audience) {
		all := false
		a.wants = func(topic string) bool {
			all = all || inner.Wants("everything at all")
			return all || inner.Wants(topic)
		}
	})},
	{"throws away what the client sends", "FeedSilent", onFeed(func(c *conn) {
		otherError(c, func(*conn, context.Context, error) error { return nil })
	}, nil)},
	{"ends when the client sends", "FeedSilent", onFeed(func(c *conn) {
		otherError(c, func(c *conn, _ context.Context, err error) error {
			_ = c.Conn.Close()
			return err
		})
	}, nil)},
	{"forgets acknowledgements", "FeedPlain", feedClient(func(s *subscriber) {
		s.subscribe = func(ctx context.Context, sub transport.Subscription) (string, error) {
			sub.Ack = transport.AckNone
			return s.inner.Subscribe(ctx, sub)
		}
	})},
	{"forgets credit", "FeedPlain", feedClient(func(s *subscriber) {
		s.subscribe = func(ctx context.Context, sub transport.Subscription) (string, error) {
			sub.Credit = 0
			return s.inner.Subscribe(ctx, sub)
		}
	})},
	{"takes any number of subscriptions", "FeedLimits", func() *broken {
		b := onFeed(nil, nil)()
		b.options = func(o *transport.Options) { o.Limits.Subscriptions = 100 }
		return b
	}},
	{"takes prefixes of any length", "FeedLimits", func() *broken {
		b := onFeed(nil, nil)()
		b.options = func(o *transport.Options) { o.Limits.HeaderBytes = 64 << 10 }
		return b
	}},
	{"waits for ever for a slow subscriber", "FeedSlow", feedServer(func(a *audience, inner transport.Audience) {
		a.publish = func(_ context.Context, m *transport.Message) error {
			ctx, cancel := context.WithTimeout(context.Background(), tooLong)
			defer cancel()
			return inner.Publish(ctx, m)
		}
	})},
	{"drops for a slow subscriber in silence", "FeedSlow", feedServer(func(a *audience, inner transport.Audience) {
		a.publish = func(ctx context.Context, m *transport.Message) error {
			if err := inner.Publish(ctx, m); !errors.Is(err, transport.ErrBusy) {
				return err
			}
			return nil
		}
	})},
	{"closes at once", "FeedCloses", onFeed(nil, func(c *conn) {
		c.close = func() error {
			_ = c.nc.Close()
			return c.Conn.Close()
		}
	})},
	{"renews no subscriptions", "FeedRedial", func() *broken {
		known := false
		return feedClient(func(s *subscriber) {
			s.subscribe = func(ctx context.Context, sub transport.Subscription) (string, error) {
				if sub.ID == "stays" && known {
					return sub.ID, nil
				}
				known = known || sub.ID == "stays"
				return s.inner.Subscribe(ctx, sub)
			}
		})()
	}},
}
