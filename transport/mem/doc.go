// Package mem is the reference wire and the network it needs no hardware for.
// Importing it registers the scheme mem with package transport.
//
// # In one process
//
// Whatever is written for transport.Dial and transport.Listen runs in memory
// by its URL alone: mem://name is a listener of that name in this process,
// mem:// a fresh one. [Pipe] is a pair of connected net.Conns that behave like
// TCP on one machine, and [Network] a set of names of their own, for tests that
// must not meet. All of it works in a bubble of testing/synctest, so that an
// hour of heart-beats takes a millisecond.
//
// # The wire
//
// [Transport] itself does not care what carries it: it speaks over any
// net.Conn. It is the smallest wire that has every ability of the contract, is
// what the conformance suite was built against, and is meant to be read by
// whoever writes the next one.
//
//   - [transport.Subscriber] and [transport.Crediter] at the end that dialed,
//     [transport.Publisher] at the other; all [transport.AckMode] values.
//   - [transport.Confirmer] and [transport.Flusher] at both ends.
//   - Every field of a [transport.Message] arrives as it was sent, the ID kinds
//     included; Subscription is the receiver's.
//
// # Frames
//
// A frame is a prefix of eight bytes, a head and a body. Numbers in the prefix
// are big-endian.
//
//	kind (1)  length of head (3)  length of body (4)  head  body
//
// A head is a row of fields. A number is a varint as in encoding/binary, a text
// its length as such a number and its bytes. Only a message has a body.
//
//	 1 hello        C→S  magic, oldest and newest version, software, user,
//	                     password, virtual host, beat, limits
//	 2 welcome      C←S  version, software, beat, limits, destinations
//	 3 refuse       both text for a person; the connection ends
//	 4 message      both flags, then a field for each flag that is set
//	 5 subscribe    C→S  id, destination, ack mode, credit, headers
//	 6 unsubscribe  C→S  id
//	 7 settle       C→S  number of a delivery, outcome, reason
//	 8 grant        C→S  id, number of messages
//	 9 confirm      both how many of the messages that asked were taken, in all
//	10 beat         both nothing
//	11 goodbye      both nothing; the connection ends
//
// Beat is an interval in milliseconds; what both ends agree on is
// [transport.Negotiate]'s. Limits are the four numbers of [transport.Limits]
// that a sender has to keep: bytes of a body, bytes of a head, headers,
// subscriptions. Knowing the peer's, Send refuses what the peer would, and
// nothing is lost. Kind and lengths are checked when they arrive and before
// memory is taken. What breaks the rules is answered by refuse, which says why.
//
// # Routes
//
// An answer finds its way by the connection, so a request needs no ReplyTo and
// [transport.Info].Addressed is false. A message from the end that dialed goes
// to a destination that the other end serves; the welcome names them, and
// another one is [transport.ErrNoRoute] from Send. A message to the end that
// dialed goes by the first subscription to its To and, if there is none, simply
// to the peer.
//
// # Settlement and credit
//
// A message by a subscription that acknowledges is unsettled until the
// receiver's Settle, or forever if it unsubscribes first; SendConfirmed reports
// that outcome. Other messages are confirmed when they come out of Recv. A
// sender waits, within its ctx, while [transport.Limits].Unsettled of its
// messages are unsettled or unconfirmed.
//
// A subscription with Credit lets as many messages be under way; Settle gives
// one back, in every ack mode, and Grant gives more. Without Credit there is no
// such bound, and a Grant changes nothing.
package mem
