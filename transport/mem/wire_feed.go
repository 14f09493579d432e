package mem

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/polyport/polyport/transport"
)

// A feedClient is the end of a feed that dialed. It shows nothing of the connection
// but what makes sense there.
type feedClient struct{ c *clientConn }

func newFeedClient(c *clientConn) transport.Conn {
	c.info.Feed, c.to = true, ""
	return feedClient{c}
}

// Subscribe asks for the topics that begin with the destination.
func (f feedClient) Subscribe(ctx context.Context, s transport.Subscription) (string, error) {
	if s.Ack != transport.AckNone || s.Credit != 0 {
		why := transport.WithReason(transport.ErrUnsupported, "a feed has neither acknowledgements nor credit")
		return "", f.c.notSent("subscribe", why)
	}
	return f.c.Subscribe(ctx, s)
}

// Unsubscribe ends a subscription.
func (f feedClient) Unsubscribe(ctx context.Context, id string) error { return f.c.Unsubscribe(ctx, id) }

// Send fails. When all is over, that comes first.
func (f feedClient) Send(context.Context, *transport.Message) error {
	if err := f.c.ending(); err != nil {
		return err
	}
	why := transport.WithReason(transport.ErrUnsupported, "this end only listens; to send, dial without socket="+socketSub)
	return f.c.notSent("send", why)
}

// Recv returns the next message.
func (f feedClient) Recv(ctx context.Context) (*transport.Message, error) { return f.c.Recv(ctx) }

// Flush waits until what was sent is written.
func (f feedClient) Flush(ctx context.Context) error { return f.c.Flush(ctx) }

// Close says goodbye.
func (f feedClient) Close() error { return f.c.Close() }

// Info returns what was negotiated.
func (f feedClient) Info() *transport.Info { return f.c.Info() }

// A feedServer is the end of a feed that was dialed.
type feedServer struct{ c *serverConn }

func newFeedServer(c *serverConn) transport.Conn {
	c.info.Feed = true
	c.stream.OnEnd(func(error) { c.unheard() })
	return feedServer{c}
}

// Wants reports whether the peer has a subscription that topic begins with.
func (f feedServer) Wants(topic string) bool {
	_, wanted := f.c.wanted(topic)
	return wanted
}

// Publish sends m if the peer wants it, once.
func (f feedServer) Publish(ctx context.Context, m *transport.Message) error {
	own := *m
	own.Subject = m.To
	size, err := f.c.check(&own, m.To)
	switch {
	case err != nil:
		return f.c.notSent("send", err)
	case !f.Wants(m.To):
		return f.unwanted(m.To)
	}
	var sent, left bool
	err = f.c.stream.Write(ctx, "send", size, func(dst []byte) []byte {
		id, wanted := f.c.wanted(m.To)
		if sent, left = wanted, !wanted; left { // while this waited for room
			return dst
		}
		return appendMessage(dst, &own, routing{to: m.To, subscription: id})
	})
	if left && !sent {
		return f.unwanted(m.To)
	}
	return err
}

// unwanted says why nothing was sent: when all is over, that comes first.
func (f feedServer) unwanted(topic string) error {
	if err := f.c.ending(); err != nil {
		return err
	}
	return f.c.notSent("send", transport.WithReason(transport.ErrNoRoute, fmt.Sprintf("the peer has no subscription to %.60q", topic)))
}

// Send is Publish.
func (f feedServer) Send(ctx context.Context, m *transport.Message) error { return f.Publish(ctx, m) }

// Recv takes in subscriptions until the connection or ctx ends.
func (f feedServer) Recv(ctx context.Context) (*transport.Message, error) { return f.c.Recv(ctx) }

// Flush waits until what was sent is written.
func (f feedServer) Flush(ctx context.Context) error { return f.c.Flush(ctx) }

// Close says goodbye.
func (f feedServer) Close() error { return f.c.Close() }

// Info returns what was negotiated.
func (f feedServer) Info() *transport.Info { return f.c.Info() }

// wanted returns the first subscription to topics that begin as topic does.
func (c *serverConn) wanted(topic string) (id string, wanted bool) {
	c.subsMu.Lock()
	defer c.subsMu.Unlock()
	i := slices.IndexFunc(c.subs, func(s *subscription) bool { return strings.HasPrefix(topic, s.destination) })
	if i < 0 {
		return "", false
	}
	return c.subs[i].id, true
}

// unheard forgets all subscriptions: nobody is there.
func (c *serverConn) unheard() {
	c.subsMu.Lock()
	defer c.subsMu.Unlock()
	c.subs = nil
}
