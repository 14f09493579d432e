// Package mem is the reference wire, and a network in memory to run it, or any
// other wire, on. Importing it registers the scheme mem with package transport.
//
// # In one process
//
// Whatever is written for transport.Dial and transport.Listen runs in memory
// by its URL alone: mem://name is a listener of that name in this process, and
// mem://name/destination what a client dials to send elsewhere than to the
// default destination. Listening at mem:// takes a fresh name, which the
// listener's Addr tells. [Pipe] returns a pair of connected net.Conns that
// behave like TCP on one machine, and a [Network] is a set of names of its own,
// for tests that must not meet. All of it works in a bubble of testing/synctest,
// so that an hour of heart-beats takes a millisecond.
//
// # The wire
//
// [Transport] itself does not care what carries it: it speaks over any
// net.Conn. It is a small wire with every ability of the contract but
// [transport.ReplyAddresser], which it has no use for (see Routes). The
// conformance suite was built against it, and it is meant to be read by whoever
// writes the next one.
//
//   - [transport.Subscriber] and [transport.Crediter] at the end that dialed,
//     [transport.Publisher] at the other; all [transport.AckMode] values.
//   - [transport.Confirmer] and [transport.Flusher] at both ends.
//   - Every field of a [transport.Message] arrives as it was sent, the ID kinds
//     included, but for two: an empty To becomes the destination that was
//     dialed, and Subscription is set by the wire, at the end that subscribed.
//
// # Frames
//
// A frame is a prefix of eight bytes, a head and a body. Numbers in the prefix
// are big-endian.
//
//	kind (1)  length of head (3)  length of body (4)  head  body
//
// A head is a row of fields. A number is an unsigned varint as in
// encoding/binary, a text its length as such a number and its bytes. Only a
// message has a body. C→S is from the end that dialed, C←S from the other.
//
//	 1 hello        C→S  magic, oldest and newest version, software, user,
//	                     password, virtual host, beat, limits, socket
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
// [transport.Negotiate]'s. Socket is empty, "req" or "sub". Limits are the four numbers of [transport.Limits]
// that a sender has to keep: bytes of a body, bytes of a head, headers,
// subscriptions. As each end knows the other's, Send refuses what is over the
// limits of either, and the connection goes on. Kind and lengths are checked
// when they arrive and before memory is taken. What breaks the rules is answered
// by refuse, which says why and is the last frame.
//
// # Routes
//
// An answer finds its way by the connection, so a request needs no ReplyTo and
// [transport.Info].Addressed is false. A message from the end that dialed goes
// to one of the destinations that the other end serves; the welcome names them,
// and Send to any other is [transport.ErrNoRoute]. A message to the end that
// dialed goes by the first subscription whose destination is its To and, if
// there is none, as it is: Recv returns it with no Subscription.
//
// # A broker
//
// With [transport.ListenOptions].Broker the welcome lists an empty destination
// after those served, which stands for all others; messages there are the broker's,
// and are confirmed when it has them and those before, also the ones that were for
// Recv. So are all subscriptions, but to what is served. What the broker refuses
// ends the connection. Answers are sent as ever.
//
// # Lock-step
//
// A client that dials mem://name?socket=req makes the connection one in lock-step:
// [transport.Info].Lockstep is true at both ends, which keep what is said there.
// They have no ability but [transport.Flusher]. It is for trying out, without a
// socket, what is meant for wires that know nothing else. A server can refuse
// ([Transport].Duplex). Any other socket is [transport.ErrInvalid].
//
// # Feeds
//
// A client that dials mem://name?socket=sub only listens: [transport.Info].Feed is
// true at both ends, which keep what is said there. The end that dialed has the
// ability [transport.Subscriber], the other [transport.Audience], both
// [transport.Flusher], and no other. The destination of a URL means nothing there.
// The server takes in subscriptions while its Recv is called.
//
// # Profiles
//
// Of a [transport.Profile] the wire knows no more than to show it in
// [transport.Info]: it is for trying out what is built on wires that do.
//
// # Settlement and credit
//
// A message by a subscription that acknowledges is unsettled until the receiver
// settles it, and SendConfirmed reports that outcome; if the receiver
// unsubscribes first, it reports [transport.ErrNoRoute]. Other messages that were
// sent with SendConfirmed are confirmed when they come out of the peer's Recv.
// While [transport.Limits].Unsettled messages of an end, by its own limits, are
// unsettled or unconfirmed, it sends no more of either sort, and a sender waits
// within its ctx.
//
// A subscription with Credit lets as many messages be under way. Settle gives
// back what it settles, in every ack mode; with [transport.AckNone] that is all
// it does. Grant gives more. Without Credit there is no such bound, and a Grant
// changes nothing.
package mem
