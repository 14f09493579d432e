// Package interop holds the tests in which unmodified foreign programs talk to
// polyport. It is a module of its own, so that what they need is no concern of
// the library's users.
//
// # What runs
//
// stomp.py 8, the STOMP client of most Python programs, calls a JSON-RPC server
// in all three versions of the protocol.
//
// libzmq 4.3, by pyzmq, calls a JSON-RPC server and answers its client, publishes
// and subscribes, beats, is stopped and restarted, and stands between as a device.
//
// curl posts calls, batches and notifications over HTTP/1.0, HTTP/1.1 and HTTP/2.
//
// Python's xmlrpc.client calls a JSON-RPC server, and our client calls its
// xmlrpc.server, with values of every type.
//
// Python's websockets 10 and the WebSocket of Node 20 call a JSON-RPC server and are
// called back, and websockets answers its client; curl and Python hear events.
//
// Qpid Proton 0.37 and go-amqp 1.7 call a JSON-RPC server, send to it and listen
// to it, with no broker between; package amqp in this module has these tests.
//
// All of these, curl and Python's xmlrpc.client call one server at one port at the
// same time, with TLS and without; openssl s_client speaks STOMP as one would type it,
// and programs with and without a certificate meet a server that wants one.
//
// Programs of ours speak oVirt's contract as it was measured, with the faults of its
// Java and Python clients and of its host agent, and meet a server and a client that
// have the profile; docs/ovirt-facts.md has what came of it.
//
// RabbitMQ 3.10, RabbitMQ 4.0 and ActiveMQ 5.17 stand between two ends of the
// STOMP wire, which are held to the rules of package conformance, and between
// servers and callers, while they are killed and restarted. Package broker in
// this module gives them to a test. Over AMQP 1.0 it is both RabbitMQs and
// Qpid Proton's example broker; package amqp in this module has those rules.
//
// Programs of ours in testdata/odl speak the contract of OpenDaylight's JSON-RPC bus,
// and of its Python counterpart, as those do on the wire, faults included: over ZMQ,
// HTTP and WebSocket they call a JSON-RPC server, answer its client, publish and
// subscribe. docs/opendaylight-facts.md is made of the rows of these tests.
//
// # What is missing
//
// A test whose program is not installed is skipped and says what to install.
// With POLYPORT_REQUIRE_INTEROP=1 in the environment it fails.
package interop
