package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/polyport/polyport/transport"
)

// holdsFor is how long Learn waits for a released message before it takes the
// broker for one that holds it.
const holdsFor = time.Second

// Learn finds out what the broker that Dial connects to does to messages, and
// sets the fields that declare it; those that it finds no cause for it clears. It
// needs a second or two and a queue of its own, which it leaves behind. An error
// says why what was dialed is no broker, as far as can be seen: nothing that was
// sent to a queue came out of it, say. It is for those who meet a broker for the
// first time. A test should declare what it expects, since what is learned may be
// a fault.
func (b *Broker) Learn(ctx context.Context) error {
	l := learner{broker: b, queue: queueName()}
	server, err := b.consume(ctx, l.queue, new(transport.DialOptions), transport.Subscription{Ack: transport.AckEach})
	if err != nil {
		return fmt.Errorf("cannot consume a queue: %w", err)
	}
	defer func() { _ = server.Close() }()
	client, err := b.Dial(ctx, l.queue, new(transport.DialOptions))
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	l.client, l.server = client, server
	b.Largest, b.Renames, b.HeaderSet, b.Adds, b.HoldsReleased = 0, false, false, nil, false
	for _, lesson := range []func(context.Context) error{l.fields, l.release, l.sizes} {
		if err := lesson(ctx); err != nil {
			return err
		}
	}
	return nil
}

// A learner sends messages through a broker to see what becomes of them.
type learner struct {
	broker         *Broker
	queue          string
	client, server transport.Conn
}

// pass sends a message from the client to the server.
func (l *learner) pass(ctx context.Context, m *transport.Message) (*transport.Message, error) {
	if err := l.client.Send(ctx, m); err != nil {
		return nil, err
	}
	got, err := l.server.Recv(ctx)
	if err != nil {
		return nil, fmt.Errorf("what was sent to a queue did not come out of it: %w", err)
	}
	return got, nil
}

// fields looks at addresses and headers.
func (l *learner) fields(ctx context.Context) error {
	m := &transport.Message{Body: []byte("learning"), Headers: []transport.Header{
		{Name: "conform-b", Value: "1"}, {Name: "conform-a", Value: "2"}, {Name: "conform-b", Value: "3"},
	}}
	if a, ok := transport.As[transport.ReplyAddresser](l.client); ok {
		addr, err := a.ReplyAddress(ctx)
		if err != nil {
			return err
		}
		m.ReplyTo = addr
	}
	got, err := l.pass(ctx, m)
	if err != nil {
		return err
	}
	l.broker.Renames = got.ReplyTo != m.ReplyTo
	var kept []transport.Header
	for _, h := range got.Headers {
		switch {
		case slices.ContainsFunc(m.Headers, func(o transport.Header) bool { return o.Name == h.Name }):
			kept = append(kept, h)
		case !slices.Contains(l.broker.Adds, h.Name):
			l.broker.Adds = append(l.broker.Adds, h.Name)
		}
	}
	l.broker.HeaderSet = len(kept) > 0 && !slices.Equal(kept, m.Headers)
	return got.Settle(transport.Accepted)
}

// release looks at what becomes of a message that was released.
func (l *learner) release(ctx context.Context) error {
	m, err := l.pass(ctx, &transport.Message{Body: []byte("released")})
	if err != nil {
		return err
	}
	if err := m.Settle(transport.Released); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, holdsFor)
	defer cancel()
	again, err := l.server.Recv(wait)
	switch {
	case err == nil:
		return again.Settle(transport.Accepted)
	case wait.Err() == nil || ctx.Err() != nil:
		return err
	}
	l.broker.HoldsReleased = true
	return nil
}

// sizes looks for the largest body that can be sent, if that is less than the
// limit.
func (l *learner) sizes(ctx context.Context) error {
	limit := l.client.Info().Limits.Message
	tried := []int{limit, limit - 1024} // less the frame around it
	for n := limit / 2; n > 1024; n /= 2 {
		tried = append(tried, n)
	}
	for _, n := range tried {
		m, err := l.pass(ctx, &transport.Message{Body: pattern(n)})
		switch {
		case errors.Is(err, transport.ErrTooLarge) && transport.NotSent(err):
			l.broker.Largest = n // too large as yet
		case err != nil:
			return fmt.Errorf("a body of %d bytes: %w", n, err)
		default:
			if l.broker.Largest > 0 {
				l.broker.Largest = n
			}
			return m.Settle(transport.Accepted)
		}
	}
	return errors.New("the broker takes no body of more than 1 KiB")
}
