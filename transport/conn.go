package transport

import (
	"context"
	"crypto/tls"
	"net"
	"net/url"
	"time"
)

// A Transport speaks one wire protocol over a byte stream that it is given. It
// never dials, listens, does TLS, retries or reconnects: [Dial], [Listen] and
// [Redial] do. Both methods shake the protocol's hands and return a Conn that
// owns nc; on error they leave nc for the caller to close. The caller makes
// nc's reads and writes time out when ctx ends, so a handshake need not watch
// ctx itself. A nil o means the defaults. Transports are safe for concurrent
// use.
type Transport interface {
	// Client opens a conversation as the side that dialed u. The user part of u
	// holds the credentials and its path the destination.
	Client(ctx context.Context, nc net.Conn, u *url.URL, o *DialOptions) (Conn, error)
	// Server accepts a conversation that the other side opens.
	Server(ctx context.Context, nc net.Conn, o *ListenOptions) (Conn, error)
}

// A Conn moves whole messages in both directions.
//
// Any number of goroutines may Send; one receives. Messages sent by one
// goroutine arrive in the order sent. Close may be called from anywhere, any
// number of times, and makes a blocked Send or Recv return an error that wraps
// [ErrClosed].
type Conn interface {
	// Send puts m into a bounded send buffer and returns. If there is no room
	// it waits; ctx bounds that wait and nothing else, so giving up never harms
	// the connection, and a ctx that has already ended means: send if there is
	// room now. A nil error says that the message is on its way, not that it
	// arrived. On an error, [NotSent] tells whether part of it may have left.
	Send(ctx context.Context, m *Message) error

	// Recv waits for the next message. When ctx ends first it returns ctx's
	// error, nothing is lost, and the connection remains usable. After any
	// other error the connection is at its end, save for [ErrReconnecting],
	// which a [Redial] connection returns once for each loss.
	Recv(ctx context.Context) (*Message, error)

	// Close hands over what Send accepted, says goodbye as the protocol has it,
	// and closes; all within the linger time of [Options]. A connection that
	// has already failed is closed at once. The error is that of the close, or
	// nil.
	Close() error

	// Info returns what was negotiated. The result must not be changed; it is
	// the same for the connection's life, or on a [Redial] connection until the
	// next reconnect; but see [Info].Profile.
	Info() *Info
}

// Info says what a connection is and what its ends agreed on.
type Info struct {
	// Scheme is the wire, as in a URL: "stomp", "mem".
	Scheme string
	// Version is the protocol version agreed on, "1.2", or "".
	Version string
	// Peer is the name that the other side's software gave itself, or "".
	Peer string
	// User is the authenticated name of the peer (on a server's connection), or
	// the name that the client logged in by; "" means nobody.
	User string
	// Local and Remote are the ends of the byte stream.
	Local, Remote net.Addr
	// TLS is the state of the TLS session, or nil without TLS.
	TLS *tls.ConnectionState
	// Beat is the interval at which this end promised signs of life, PeerBeat
	// that of the peer; zero means none.
	Beat, PeerBeat time.Duration
	// Limits are the ones that this end holds the peer to.
	Limits Limits
	// Addressed says that an answer goes to the ReplyTo of its request, so that
	// a request without one cannot be answered. False means that answers find
	// their way by the connection itself.
	Addressed bool
	// Lockstep says that the ends take turns, as those of ZMQ REQ/REP and of plain
	// HTTP do. The end that dialed asks. Each of its messages is answered by
	// exactly one, with an empty body if there is nothing to say, as to a
	// notification. Until that has come out of its Recv, its Send fails with
	// [ErrBusy] at once, whatever ctx says. The other end answers: its Send fails
	// with [ErrUnsupported] or [ErrNoRoute] unless a message that came out of its
	// Recv waits for an answer. None of these errors sends anything or does harm.
	// An end that breaks the rule all the same has its peer end the connection
	// with [ErrProtocol].
	Lockstep bool
	// Feed says that the connection carries nothing but what the end that was
	// dialed publishes, as between ZMQ's PUB and SUB. The end that dialed is a
	// [Subscriber] and no more: its Send fails with [ErrUnsupported], which sends
	// nothing and does no harm. The other is an [Audience]: its Send behaves as
	// Publish, and its Recv returns nothing but the end of the connection. Somebody
	// has to call it: subscriptions may be taken in there.
	//
	// A subscription's Destination is a prefix of topics, compared byte by byte;
	// the empty one is that of every topic. There are no acknowledgements, credit
	// and headers: Subscribe refuses them with [ErrUnsupported]. A message comes
	// with To and Subject set to its topic, and Subscription to the one that has
	// longest been there of those that match. Where the peer's events have no topic
	// that the wire knows, as in the profile [OpenDaylight], Subject is empty and
	// Subscription the one that has longest been there.
	Feed bool
	// Audience says, of the end that was dialed, that its peer may subscribe to what
	// this end publishes by the wire's own means, besides calling: the Conn is an
	// [Audience], which takes subscriptions in its Recv. Its Wants is false, and its
	// Publish returns [ErrNoRoute], as long as the peer has not subscribed.
	Audience bool
	// Profile is the older system that this end takes its peer for, or "". A server's
	// connection may find it out by what the peer sends: then Info returns another
	// Info from there on.
	Profile Profile
	// Headers says that messages arrive with the Headers that they were sent
	// with; on a wire on which they are a map, as on AMQP 1.0, in any order, and of
	// those with the same name the first. False means that the wire has no place
	// for them.
	Headers bool
}

// A Subscription asks the peer for the messages of one destination.
type Subscription struct {
	// ID tells subscriptions of one connection apart. Empty lets Subscribe
	// choose.
	ID string
	// Destination is the queue, topic or reply address, in the wire's own
	// words. Empty means the one that the connection was dialed for; on a feed
	// it is a prefix of topics, and empty means all (see [Info].Feed).
	Destination string
	// Ack says how received messages are to be acknowledged.
	Ack AckMode
	// Credit is how many messages the peer may have under way unsettled. Zero
	// leaves it to the wire.
	Credit int
	// Headers are passed on as they are, for what only one broker understands.
	Headers []Header
}

// AckMode is how messages of a subscription are acknowledged.
type AckMode uint8

const (
	// AckNone: a message counts as done with when it was sent.
	AckNone AckMode = iota
	// AckEach: each message is settled by itself.
	AckEach
	// AckUpTo: settling a message settles all before it as well.
	AckUpTo
)

// Subscriber is implemented by a Conn that can ask its peer for messages. They
// come out of Recv with their Subscription set.
type Subscriber interface {
	// Subscribe sends the request and returns the subscription's ID. It does
	// not wait for the peer's consent: a refusal ends the connection or comes
	// as the wire has it. A repeated ID is an error and changes nothing.
	Subscribe(ctx context.Context, s Subscription) (id string, err error)
	// Unsubscribe ends it. Messages under way may still arrive.
	Unsubscribe(ctx context.Context, id string) error
}

// Publisher is implemented by a Conn whose peer can have several subscriptions.
type Publisher interface {
	// Publish sends m once for every subscription of the peer whose destination
	// is m.To, where Send chooses one. Without any it returns [ErrNoRoute]. On a
	// feed (see [Info].Feed) it sends m once, however many subscriptions match.
	Publish(ctx context.Context, m *Message) error
}

// Audience is a [Publisher] that knows what its peer wants to hear by the wire's
// own means, as ZMQ's PUB does.
type Audience interface {
	Publisher
	// Wants reports whether Publish of a message with that To would reach the
	// peer. It changes as the peer subscribes and unsubscribes. It is cheap, waits
	// for nothing, and is safe for concurrent use. Once the connection has ended
	// it is false.
	Wants(topic string) bool
}

// Confirmer is implemented by a Conn whose peer can confirm what it took.
type Confirmer interface {
	// SendConfirmed is Send, and calls done exactly once if it returns nil:
	// with nil when the peer has confirmed the message, with an error when it
	// refused or the connection ended first. done runs on the goroutine that
	// finds out: any that uses the connection, the caller of SendConfirmed
	// included, or one of the connection's own, such as a timer's. So it may run
	// before SendConfirmed returns, and must not block. Sends are pipelined:
	// none waits for another's confirmation.
	SendConfirmed(ctx context.Context, m *Message, done func(error)) error
}

// Crediter is implemented by a Conn on which the receiver grants the sender
// room for so many messages, as AMQP 1.0 links do (section 2.6.7).
type Crediter interface {
	// Grant lets the peer send n more messages by the subscription.
	Grant(ctx context.Context, subscription string, n int) error
}

// ReplyAddresser is implemented by a Conn whose wire needs a ReplyTo in each
// request that wants an answer.
type ReplyAddresser interface {
	// ReplyAddress returns the address by which answers reach this connection's
	// Recv. The first call may have to arrange it with the peer; after a
	// reconnect it may be another one.
	ReplyAddress(ctx context.Context) (string, error)
}

// Flusher is implemented by a Conn that can say when its send buffer is empty.
type Flusher interface {
	// Flush waits until all that was accepted by Send before the call has been
	// handed to the operating system, or ctx ends.
	Flush(ctx context.Context) error
}

// Ender is implemented by a Conn that knows of its end before Recv can tell, as an
// HTTP/1 client does when the server has said, with an answer, that it is the last.
type Ender interface {
	// Ended reports whether nothing more can be sent. It becomes true before that
	// answer comes out of Recv, and stays so.
	Ended() bool
}

// Gatherer is implemented by a Conn that can hold back what is sent while
// messages that it has received still wait for Recv, so that the answers to
// messages that came together leave together.
type Gatherer interface {
	// Gather has the connection do so from now on. It is for a user who calls
	// Recv again soon: what is held back leaves when Recv has to wait for the
	// peer.
	Gather()
	// Release lets what is held back now leave, for one who will not call Recv.
	Release()
}

// As finds the first Conn that is a T in c or in what c wraps, which it shows
// by a method Unwrap() Conn.
func As[T any](c Conn) (T, bool) {
	for c != nil {
		if t, ok := c.(T); ok {
			return t, true
		}
		u, ok := c.(interface{ Unwrap() Conn })
		if !ok {
			break
		}
		c = u.Unwrap()
	}
	var zero T
	return zero, false
}
