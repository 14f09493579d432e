// Package amqp is the AMQP 1.0 wire. Importing it registers the schemes amqp and
// amqps (AMQP over TLS) with package transport.
//
// # The server end
//
// It is an acceptor of its own: programs that use go-amqp, Qpid Proton, rhea or
// any other client of AMQP 1.0 call a server of this package directly, with no
// broker between. What they have to do is what they do with a broker:
//
//	sender, to the address "rpc"             requests go here
//	receiver, from a dynamic address         answers come here
//	request: reply-to, message-id, body      one data section
//	answer:  correlation-id, body
//
// # The client end
//
// It is go-amqp's client behind a guard that looks at every frame. Messages that
// nobody receives wait here up to Options.SendBuffer bytes, then the connection
// is read no further: credit bounds their number alone. An operation that needs
// the peer's answer, such as Subscribe, is waited for all the same.
//
// # Addresses
//
// A server takes messages for the queues that it was told to serve. A target
// address is the queue's name, alone or below /queue/ or /queues/, as RabbitMQ
// writes it. A sender may also attach to the anonymous terminus, a target
// without address, and name the queue in the property to of each message.
// Another address is refused with amqp:not-found.
//
// A receiver may attach to any source address, or ask for a dynamic one. What
// the application sends to that address comes to this receiver, on this
// connection, and nowhere else: so reply-to may be any address from which the
// same connection receives. Several receivers may share an address, then
// Publish sends to each of them: that is how events are sent.
//
// # A broker behind the server
//
// With ListenOptions.Broker other addresses are the broker's, in links and in the
// property to: queues and topics, named by their prefix or by a capability of
// source or target. The broker's word on a message is its outcome, and renews the
// credit. A receiver is a subscription of the broker; a dynamic source is an
// address of its choice, by which everybody reaches this connection. The peer's
// outcomes are told to the broker, its credit, window and limits kept. The answer
// to a request goes straight to the link that reply-to names, if it is one of the
// same connection, and else by the broker.
//
// # Settlement
//
// A sender chooses. A request sent settled is done with when it was sent: at
// most once. One sent unsettled is accepted after its answer was handed over,
// released when the connection is closed before, and rejected, with the reason,
// when it can never be processed: at least once, if the sender sends again what
// was not accepted. delivery-count comes out as Message.Attempt.
//
// A receiver chooses, too: unsettled, settled, or mixed, and then answers come
// settled unless the application wants them confirmed.
// The receiver settlement mode second is refused.
//
// # Credit
//
// A sender has credit for as many messages as Limits.Unsettled allows, shared
// between the senders of a connection. It is renewed by the application's
// Settle, and by nothing else: a server that is busy withholds credit, and the
// sender waits. Towards a receiver the credit and the session window are kept,
// and what it does not grant makes Send wait.
//
// # Messages
//
// Message fields are the properties of the same names; Headers are the
// application properties: of those that repeat a name the first is sent, as a
// string. What comes in another simple type is rendered as text. IDs keep their
// kind. The body is one data section; several, or a value that is a string or
// binary, are taken, too. Annotations are walked over, and their keys have to be
// what the specification says: others have ended programs that received them.
//
// # Logging in
//
// SASL ANONYMOUS, PLAIN, and EXTERNAL where the peer has shown a certificate that
// was verified; all of them are judged by the Authenticator of the options. Where
// it lets in one who shows nothing, or there is none, SASL can be left out.
//
// # Signs of life
//
// Each end tells the other how much silence it bears: half of what it really
// does (section 2.4.5). Empty frames are sent before that is over.
//
// # Errors
//
// What a peer does wrong is answered where it was done: a link is detached, a
// session ended, a connection closed with the error condition that the
// specification has for it, and a sentence for people. Frames over 1 MiB,
// messages over the limits, more links than Limits.Subscriptions in a direction,
// handles and channels over what was announced are refused. Lengths and counts
// are checked before memory is taken.
//
// References are to the OASIS standard AMQP 1.0 of 2012, part 2 for transport, 3
// for messaging and 5 for security: section 2.7.5 is in part 2.
package amqp
