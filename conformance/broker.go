package conformance

import (
	"cmp"
	"context"
	"crypto/rand"
	"slices"
	"strconv"
	"strings"

	"github.com/polyport/polyport/transport"
)

// A Broker is a middleman at which the ends of a rule meet, and what it does to
// messages on their way. Each field that is set takes something from what rules
// ask for, so set those that the broker needs and no others.
//
// The following needs no field, for it is so with every broker. Each end knows
// of its own connection only: that of the other may have other limits and other
// signs of life, and its end is not noticed. What the broker has taken is
// confirmed, sent to a queue that nobody consumes it is kept, and who may
// connect, and as whom, is the broker's own affair.
type Broker struct {
	// Dial connects to the broker. The queue is the connection's destination:
	// where messages without a To go, and what an empty Destination of a
	// Subscription means. A queue comes to be by its use, keeps what is sent to
	// it until somebody consumes it, and may be left behind empty. Names are
	// letters, digits and dots, and never used twice.
	Dial func(ctx context.Context, queue string, o *transport.DialOptions) (transport.Conn, error)
	// Topic makes a destination of which each subscription gets all messages
	// that are sent while it lasts. Nil means "/topic/" before the name.
	Topic func(name string) string

	// Largest is the largest body that the broker takes, where that is less than
	// Limits.Message allows. Send must refuse a larger one with ErrTooLarge. Zero
	// means that there is no such limit.
	Largest int
	// Renames says that a To or ReplyTo comes out under another name than went
	// in. What is sent to a ReplyTo under its new name must still arrive.
	Renames bool
	// HeaderSet says that headers are kept as a set: they arrive in any order
	// and, of those with the same name, only the first.
	HeaderSet bool
	// Adds are the names of headers that the broker adds to those of a message.
	Adds []string
	// HoldsReleased says that a message that was Released or Failed is not given
	// out again before the connection of the one who did so ends. Without it the
	// message is given out again at once.
	HoldsReleased bool
}

// queueName returns a name that nothing else has.
func queueName() string { return "conformance." + rand.Text() }

// harness returns h for rules whose ends meet at b.
func (b *Broker) harness(h *Harness) *Harness {
	own := *h
	own.Transport, own.Stream, own.RawDial, own.Pair = nil, nil, nil, nil
	if b.Dial != nil {
		own.Pair = b.pair
	}
	return &own
}

// pair makes a consumer of a queue, which is the server, and a client that
// sends there.
func (b *Broker) pair(t TB, o PairOptions) (client, server transport.Conn, err error) {
	queue := queueName()
	server, err = b.consume(t.Context(), queue, &transport.DialOptions{Options: o.Listen.Options}, transport.Subscription{})
	if err != nil {
		return nil, nil, err
	}
	client, err = b.Dial(t.Context(), queue, o.Dial)
	if err != nil {
		_ = server.Close()
		return nil, nil, err
	}
	return client, server, nil
}

// consume connects a consumer.
func (b *Broker) consume(ctx context.Context, queue string, o *transport.DialOptions, s transport.Subscription) (transport.Conn, error) {
	c, err := b.Dial(ctx, queue, o)
	if err != nil {
		return nil, err
	}
	by, ok := transport.As[transport.Subscriber](c)
	if !ok {
		err = transport.WithReason(transport.ErrUnsupported, "a client of a broker must be a Subscriber to be its consumer")
	} else {
		_, err = by.Subscribe(ctx, s)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// topic is a destination of subscriptions, spelled so that every wire with
// destinations knows it, and at a broker, where others are, of this rule alone.
func (r *rig) topic(n int) string {
	name := "conformance." + strconv.Itoa(n)
	if r.h.Broker == nil {
		return "/topic/" + name
	}
	name += "." + r.name
	if r.h.Broker.Topic == nil {
		return "/topic/" + name
	}
	return r.h.Broker.Topic(name)
}

// differences says which fields of got are not those of want, but for what a
// broker has declared to be its doing.
func (r *rig) differences(got, want *transport.Message) []string {
	own, wanted := *got, *want
	var adds []string
	set := r.h.HeaderSet
	if b := r.h.Broker; b != nil {
		if b.Renames {
			own.To, own.ReplyTo = wanted.To, wanted.ReplyTo
			if got.To == "" || (got.ReplyTo == "") != (want.ReplyTo == "") {
				own.To, own.ReplyTo = got.To, got.ReplyTo // lost, not renamed
			}
		}
		adds, set = b.Adds, set || b.HeaderSet
	}
	wanted.ContentType = cmp.Or(want.ContentType, r.h.ContentType)
	own.Headers = comparableHeaders(got.Headers, want.Headers, adds, set)
	wanted.Headers = comparableHeaders(want.Headers, want.Headers, adds, set)
	return differences(&own, &wanted)
}

// comparableHeaders returns those that are left to be compared with what was
// sent: without what a broker adds, and, of a set, in an order that does not
// matter.
func comparableHeaders(all, sent []transport.Header, adds []string, set bool) (left []transport.Header) {
	for _, h := range all {
		named := func(o transport.Header) bool { return o.Name == h.Name }
		switch {
		case slices.Contains(adds, h.Name) && !slices.ContainsFunc(sent, named):
			continue
		case set && slices.ContainsFunc(left, named):
			continue
		}
		left = append(left, h)
	}
	if set {
		slices.SortFunc(left, func(x, y transport.Header) int { return strings.Compare(x.Name, y.Name) })
	}
	return left
}
