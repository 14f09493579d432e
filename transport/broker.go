package transport

// A Broker stands behind the destinations that a server's connections have no
// service for. What peers send there, and what they ask for by the means of
// their wires (a SUBSCRIBE of STOMP, an attach of AMQP 1.0), goes past Recv
// straight to the broker. [ListenOptions].Broker is where wires find it; wires
// without such means ignore it. It is safe for concurrent use.
type Broker interface {
	// Join tells of a connection whose handshake is over. info is that of the
	// connection. It is called once for each, before anything else of it.
	Join(info *Info) BrokerSession
}

// A BrokerSession is one connection as the broker sees it: it may only do what
// its user may. It is safe for concurrent use, and none of its methods waits
// for a peer.
type BrokerSession interface {
	// Send hands over a message that the peer has sent to m.To, in the words of
	// the wire ("/queue/calc", "/topic/news", "calc"). The broker owns m from then
	// on, its bytes and headers included, and never changes them; m's settlement
	// is done's.
	//
	// done is called exactly once, perhaps before Send returns and perhaps much
	// later, when there is room at last: with nil when the message is the
	// broker's, with an error that wraps [ErrNoRoute], [ErrRefused] (not allowed),
	// [ErrBusy] (no room in time), [ErrTooLarge] or [ErrInvalid] when it will never
	// be. done must not block. What one session sends to one destination comes there
	// in that order.
	//
	// A wire has a bounded number of messages without their done under way, and
	// then takes no more from the peer ([Limits].Unsettled).
	Send(m *Message, done func(error))
	// Attach begins a subscription. s.Destination is in the words of the wire; the
	// empty one asks for an address of the broker's choice, for this connection
	// alone, as one whose name is temporary in the words of the wire does. out is
	// how messages leave; it may be called before Attach has returned. The error
	// wraps one of those of Send, and is for the peer.
	Attach(s Subscription, out Outlet) (Consumer, error)
	// Leave says that the connection has ended. All its consumers are detached by
	// it, its private addresses are gone, and no Outlet of it is called any more
	// once Leave has returned, save that a call which the broker was about to make
	// may still come: Leave waits for none, so that it may be called from within one.
	Leave()
}

// A Consumer is a subscription as the broker sees it. It is safe for concurrent
// use, and none of its methods waits for a peer. It may call the [Outlet] from
// within each of them.
type Consumer interface {
	// Address is what others send to in order to reach this consumer, if it was
	// attached to a private destination: it is unique in the broker, and a wire puts
	// it in the place of the peer's own name in the ReplyTo of what the peer sends.
	// Else it is the destination in the broker's words.
	Address() string
	// Ready says that the outlet may have room again after Deliver returned false.
	// More calls than necessary do no harm.
	Ready()
	// Settled says what became of a message that Deliver took, if the subscription
	// acknowledges: exactly once for each, unless Detach comes first.
	Settled(token uint64, o Outcome)
	// Detach ends the subscription: what was not settled counts as given back
	// ([Released], but with one more attempt). Further calls do nothing.
	Detach()
}

// An Outlet is a subscription as its wire sees it: what the broker hands
// messages to. It is safe for concurrent use. The broker holds no lock of its own
// that Consumer's methods take while it calls one of these, and a wire holds none
// that these take while it calls a Consumer.
type Outlet interface {
	// Deliver sends m to the peer by this subscription, or returns false at once if
	// there is no room now: no credit, as many unsettled as there may be, a full
	// send buffer. The wire then calls Ready when that has changed. m is shared with other
	// outlets and must not be changed; it may not be kept after Deliver has returned.
	// m.To is the destination as the broker writes it, m.Attempt how often it was
	// delivered before without success.
	//
	// If the subscription acknowledges, token comes back by Settled, and never from
	// within Deliver. If not, or if the wire has settled it by sending it, the
	// message is done with when Deliver returns true. On a connection that has ended
	// Deliver returns false, and Ready is not called.
	Deliver(m *Message, token uint64) bool
	// End ends the subscription from this side, and tells the peer why, in the way
	// of the wire; on a wire that has none it ends the connection. It does not block
	// and does not call Detach.
	End(why error)
}

// A Reacher is a [BrokerSession] that says beforehand whether somebody will hear a
// message, for wires and profiles in which it is an error to send to nobody, as in
// [OVirt].
type Reacher interface {
	// Reaches reports whether what is sent to that topic now has a subscriber. It is
	// true for all that is no topic, and for names that Send would refuse. It is cheap
	// and waits for nothing.
	Reaches(to string) bool
}

// A Permitter is a [BrokerSession] that says beforehand whether a peer may send to
// a destination, for wires on which sending begins with asking, as that of AMQP 1.0
// does.
type Permitter interface {
	// MaySend returns nil, or why Send to that destination would be refused now. The
	// error wraps [ErrRefused] or [ErrInvalid], and is for the peer. Nil is no
	// promise.
	MaySend(to string) error
}
