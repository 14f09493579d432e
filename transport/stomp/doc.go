// Package stomp is the STOMP wire, versions 1.0, 1.1 and 1.2, both ends: a
// client for polyport servers and brokers, and a server that unmodified STOMP
// clients can call. Importing it registers the schemes stomp and stomps (STOMP
// over TLS) with package transport.
//
// # Destinations
//
// The path of a URL is the destination: stomp://host/queue/calc sends to
// /queue/calc, and a URL without a path to /queue/rpc. A server takes SEND
// frames for the queues that it was told to serve, as /queue/NAME or plain
// NAME, and refuses others. The query parameter version limits the versions
// offered: stomp://host?version=1.2.
//
// # Answers
//
// A request names the destination of its answer in the header reply-to. It must
// be one that the asker has subscribed on the same connection, or any name that
// begins with /temp-queue/, which needs no SUBSCRIBE: its messages carry that
// name as their subscription, as RabbitMQ does it. The answer comes as a
// MESSAGE with the request's correlation-id, or its message-id in that place.
// Answers never go to another connection, whatever names are claimed, but by a
// broker.
//
// # A broker behind the server
//
// With [transport.ListenOptions].Broker a client may send to and subscribe to
// whatever is not served. The RECEIPT of a SEND comes when the broker has the
// message, and so perhaps after those of later ones; that of DISCONNECT when it
// has all. What the broker refuses is an ERROR with the reason, and the end of the
// connection. The headers of a SUBSCRIBE that are not known here are the broker's;
// selector is refused. NACK leaves a message to be tried again, or not if it has
// the header requeue:false. A MESSAGE that was delivered before has the headers
// redelivered:true and x-delivery-count, as RabbitMQ has them.
//
// A reply-to below /temp-queue/ is replaced by an address that others can answer
// to; the answers come by the client's own name. Any other is passed on as it is.
//
// # Acknowledgement
//
// All three ack modes are supported towards subscribers; credit is the header
// prefetch-count (as RabbitMQ has it; activemq.prefetchSize is the same), at most [transport.Limits].Unsettled.
// RECEIPT is sent for every frame that asks, once the frame has been taken.
// Transactions are refused with an ERROR that says so.
//
// # Errors
//
// A frame that breaks the rules is answered with one ERROR frame that says what
// was wrong and what was expected, and the connection is closed, as the
// specification has it. Lengths are checked before memory is taken.
//
// # Clients of oVirt
//
// With the profile [transport.OVirt], or on a listener that serves one of oVirt's
// queues (see [OVirtDestinations]) when a client shows by what it does that it is one
// of those, the server does as vdsm, oVirt's host agent: SUBSCRIBE and SEND need no
// CONNECT before, an ERROR ends nothing as long as frames can be told apart, answers
// go to every subscription of the reply-to, frames leave one at a time, and line ends
// follow. docs/ovirt.md has the table, ADR 0032 the reasons.
//
// # Calling oVirt
//
// A client that is dialed with ?profile=ovirt talks to oVirt's host agent, vdsm, as
// that has it: it sends version 1.2 alone, to /jms.topic.vdsm_requests without the
// slash if the URL has no path, subscribes a random queue for its answers, asks for no
// receipts, is no [transport.Confirmer], and outlives an ERROR, which it logs.
// docs/ovirt.md has all of it.
//
// # Differences from the specification
//
// A line may end in CR LF in every version, not only in 1.2. The header host
// may be missing. Header values of version 1.0 lose leading blanks. An
// undefined escape is an error in 1.1 too. Values that a version cannot
// express, such as a line feed in 1.0, are refused by Send.
//
// References are to the STOMP protocol specification, version 1.2, unless said
// otherwise (https://stomp.github.io).
package stomp
