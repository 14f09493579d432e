// Package http carries messages by HTTP/1.1 and HTTP/2: JSON-RPC by POST, XML-RPC,
// WebSocket and Server-Sent Events. Importing it registers the schemes http, https,
// ws and wss with package transport.
//
// # Which conversation a request belongs to
//
// All of them come by one port, and one byte stream may carry several. [Transport]
// is a [transport.Multiplexer]: its Host looks at each request.
//
//   - POST of JSON goes by a lane, see below. POST of XML is XML-RPC, translated to
//     JSON-RPC and back, and goes by the same lane.
//   - GET with Upgrade: websocket makes a full-duplex connection of the byte stream.
//   - GET with Accept: text/event-stream is a feed: see [transport.Info].Feed.
//   - GET of /health says that the server is there.
//
// Paths are / and /rpc, for the first of [transport.ListenOptions].Destinations, and
// the name of each.
//
// # Lanes
//
// A lane is a connection in lock-step ([transport.Info].Lockstep). Each request is a
// message that comes out of Recv, and Send answers it; an empty answer is 204. A
// user has one lane on a connection of HTTP/1.1, and on one of HTTP/2 as many as
// there are requests at once. A peer that gives up a request has its lane closed,
// and closing a lane of HTTP/1.1 ends the connection. There is no handshake before
// the first request: [transport.Host].Serve returns when its head is there.
//
// # What a message is in HTTP
//
// The body is the body, ContentType the field Content-Type, the destination the path,
// Subject the field Polyport-Subject. Headers are fields. Their names must be in lower
// case, for HTTP does not tell cases apart, and none of those that HTTP gives a meaning
// to, credentials above all. What else a message can say is not said.
//
// # Who is let in
//
// Users show name and password by Basic (RFC 7617), or a certificate. A peer is asked
// again when it shows something else. Pages of other origins are let in if
// [Options].Origins has theirs.
//
// # The end that dials
//
// http and https go in lock-step over HTTP/1.1. A status that is no success is an error
// with the server's words. ?format=xmlrpc calls a server of XML-RPC, ?format=sse
// listens to events; ws and wss are WebSocket.
//
// # OpenDaylight
//
// In the profile [transport.OpenDaylight] requests need no Host, bodies have 256 KiB
// at most, and a WebSocket without a sub-protocol is in lock-step, with a text frame
// of 64 KiB at most for each message, or a feed by ?socket=sub.
package http
