package zmq

import (
	"encoding/binary"
	"time"

	"github.com/go-zeromq/zmq4"
)

// longestContext is the most bytes that a PING may want back ("Connection
// Heartbeating", https://rfc.zeromq.org/spec/37).
const longestContext = 16

// startBeat has PING sent when the peer was silent or this end was: who gets one
// answers.
func (c *conn) startBeat() {
	if c.beat <= 0 {
		return
	}
	// The time to live is in tenths of a second. It is what the peer may take for
	// the end of us, so it has the grace of a tenth.
	ttl := min(c.beat*11/10/(100*time.Millisecond), 1<<16-1)
	ping := appendCommand(nil, zmq4.CmdPing, binary.BigEndian.AppendUint16(nil, uint16(ttl)))
	c.stream.StartPing(c.beat, ping)
	c.beat = 0
}

// pong answers a PING. Who sends one will answer ours.
func (c *conn) pong(body []byte) error {
	if len(body) < 2 || len(body) > 2+longestContext {
		return malformed("a PING of %d bytes; it has 2 to %d", len(body), 2+longestContext)
	}
	c.startBeat()
	return c.stream.Control("receive", func(dst []byte) []byte { return appendCommand(dst, zmq4.CmdPong, body[2:]) })
}
