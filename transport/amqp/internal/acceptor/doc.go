// Package acceptor is the server end of AMQP 1.0: it takes connections that
// peers open, with their sessions and links, and is a transport.Conn to the
// application. Package amqp says what it does; this page says how.
//
// # Who acts
//
// There is no goroutine for a connection while somebody is in Recv: that
// goroutine reads a frame, acts on it, and returns when one has completed a
// message. While nobody is there a pump takes its place (recv.go), for links are
// attached and credit is granted by the same stream that messages come by.
//
// # What is locked
//
// One mutex, conn.mu, protects sessions, links and deliveries. What is written
// is made by functions that run under the lock of the stream's writer and then
// take mu, so that ids are given and credit is counted in the order of the wire.
// Hence nobody writes while holding mu: what has to be said of a session or link
// is noted there (session.dirtied) and said by conn.flush, at the latest when the
// goroutine that reads has to wait for the peer.
//
// # Where things are
//
//	serve.go, sasl.go      from the first byte to the open frames
//	read.go, recv.go       frames out of bytes; who receives
//	conn.go, session.go    what belongs to all; windows
//	link.go                attach, detach, what may be attached to
//	inlet.go, settle.go    deliveries that come, their credit and outcomes
//	outlet.go, confirm.go  deliveries that go, what the peer makes of them
//	broker.go, consumer.go what the broker behind the server takes and gives
//	message_*.go           messages and their sections
//
// # The broker
//
// It is called with no lock held, the writer's neither: what has to be told is
// gathered under mu and told after. It calls Deliver from any goroutine, which
// either appends a transfer or notes the link among the hungry (no room at the
// peer) or crowded (none in the send buffer). Whatever makes room sets
// conn.stirred, and conn.feed then calls Ready for those that can go on.
package acceptor
