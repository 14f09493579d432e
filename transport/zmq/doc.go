// Package zmq is the ZeroMQ wire, ZMTP 3.0, both ends: a client for polyport
// servers and for sockets of libzmq, and a server that unmodified ZeroMQ programs
// can call. Importing it registers the schemes zmq and zmqs (ZMTP over TLS) with
// package transport.
//
// # Sockets
//
// A client chooses its socket by the URL, and a server's port takes what comes
// and answers with the socket that goes with it:
//
//	zmq://host:5555                DEALER to ROUTER: either end speaks at any time
//	zmq://host:5555?socket=req     REQ to REP: lock-step, see [transport.Info].Lockstep
//	zmq://host:5555?socket=sub     SUB to PUB: events only, see [transport.Info].Feed
//
// An XSUB is served as a SUB is, by an XPUB. A client's DEALER also meets a REP or
// a DEALER, its REQ a ROUTER, and its SUB an XPUB.
//
// # Messages
//
// The last frame of a message is its body. Most peers send no other, but all of
// these are understood:
//
//	body
//	"" body                       as REQ sends it, and who keeps to its rules
//	route … "" body               from behind proxies: an envelope
//	[envelope] properties body    from ends of ours
//	topic [properties] body       to a SUB
//
// An answer goes to the connection by which its question came, whatever identity
// anybody claims, after the envelope of the question, which [transport.Message]
// has as its ReplyTo. Towards a REP, and a ROUTER that is none of ours, each
// message of a client goes after an empty frame.
//
// # Properties
//
// What a message says besides its body stands in a frame of properties, which
// begins with the ten bytes "\x01polyport\x01". Each property is the length of its
// name in one byte, the name, the length of its value in four bytes, the highest
// first, and the value: the encoding that ZMTP has for the metadata of its
// handshake. They are to, reply-to, subject, content-type, id, correlation-id,
// expires, durable and, with X- before its name, each header. The value of an id
// begins with its kind: t and text, n and digits, u and 16 bytes, b and any bytes.
// Ends send them to peers that have shown, by the property X-Polyport of their
// handshake, that they know them. To others a message has no fields but its body:
// [transport.Info].Headers is false.
//
// # Destinations
//
// Sockets have none. A client of ours says to which one of the server's it sends
// (the path of its URL), and is told before which there are; what other peers
// send is for the first.
//
// # Heart-beats
//
// PING and PONG, as in ZMTP 3.1: between ends of ours, with peers that speak 3.1,
// and with those that have sent a PING themselves, as libzmq does when its option
// ZMQ_HEARTBEAT_IVL is set. A PING is sent when either end was silent for two
// thirds of the interval. Towards other peers, which might take one for an error,
// there are none.
//
// # Users
//
// A client whose URL has a user goes by the mechanism PLAIN, others by NULL. A
// server takes either, and asks its Authenticator about both; PLAIN is to be used
// with TLS below (zmqs). libzmq has no TLS of its own, so its programs need a proxy
// for that. The mechanism CURVE is not spoken: zmq4 has not got it, and what it
// leaves open to others, its Security interface, gets to encrypt a frame only when
// the length of the frame has already been written.
//
// # OpenDaylight
//
// In the profile [transport.OpenDaylight] a client is a REQ, or a SUB by
// ?socket=sub, and a server takes each REQ and SUB that is none of ours for one of
// OpenDaylight's: Socket-Type is all that the handshake says, each message leaves
// by one write, there are no heart-beats, and publications begin with an empty
// frame in place of their topic. Questions that come too early wait for their turn.
//
// # What is whose
//
// The handshake is that of zmq4.Open, on a connection that hands it nothing that
// was not checked before, with mechanisms of this package. Frames are read and
// written here after that: bounded, with one system call for many, and parsed
// once. zmq4's sockets are not used.
//
// # Differences
//
// There are no acknowledgements: what was sent and not answered is unknown, and
// every message is delivered at most once. A server judges the credentials of
// PLAIN together with the command after them. A peer that breaks the rules is cut
// off; ZMTP has no word to tell it why, but in the handshake, where it is told.
//
// References are to ZMTP 3.0 (https://rfc.zeromq.org/spec/23) unless said
// otherwise.
package zmq
