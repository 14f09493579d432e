// Package transport is the contract between polyport and a wire: what a message
// is, what a connection promises, which limits hold and how errors tell a lost
// call from one that never left.
//
// A wire (STOMP, AMQP 1.0, ZeroMQ, …) implements [Transport]: it turns a byte
// stream that the core brings into a [Conn] of whole messages. Everything that
// is the same for all wires is here and written once: dialing and listening by
// URL ([Dial], [Listen]), TLS, the time and number limits of handshakes, the
// coalescing [Writer], the bounded [Reader], heart-beats ([Stream]) and
// reconnecting ([Redial]).
//
// # Importing wires
//
// A wire registers its URL schemes when its package is imported, so a program
// names the wires it speaks by importing them:
//
//	import _ "github.com/polyport/polyport/transport/stomp"
//
// # Three outcomes
//
// A Send either fails and proves that nothing was sent, or fails and cannot
// tell, or succeeds, which means that the bytes are on their way, not that they
// arrived. [NotSent] tells the first from the second. The rpc package builds
// the three outcomes of a call on it: answered, not sent, unknown.
//
// # Abilities
//
// What only some wires can do is an optional interface: [Subscriber],
// [Publisher], [Confirmer], [Crediter], [ReplyAddresser], [Flusher], [Ender]. Find one
// with [As], which looks through wrappers as errors.As does. A Conn that lacks
// an ability does not implement its interface, or returns [ErrUnsupported].
//
// # Ownership of bytes
//
// Send copies what it needs before it returns; the caller may reuse the Message
// and its Body at once. A Message returned by Recv, with its Body and strings,
// belongs to the receiver for good.
//
// # Writing a wire
//
// Implement the two methods of [Transport] on top of [NewStream], call
// [Register] in an init function, and run the conformance suite. Package
// transport/mem is the smallest complete example.
package transport
