package stomp

import (
	"strconv"
	"strings"

	"github.com/go-stomp/stomp/v3/frame"

	"github.com/polyport/polyport/transport"
)

// broker is the software at the other end of a client's connection, as far as
// it matters: each fills the gaps of the specification in its own way. The zero
// value goes by the specification alone. docs/brokers.md has the table.
type broker struct {
	kind brokerKind
	// maxFrame is how many bytes a frame may have, or 0. A longer one makes the
	// broker cut the connection without a word.
	maxFrame int
	// maxField is how many bytes a text may have that AMQP 0-9-1 calls a short
	// string, or 0. A longer one makes the broker end the connection.
	maxField int
}

type brokerKind uint8

const (
	byTheBook brokerKind = iota
	rabbitMQ
	activeMQ
	polyport
)

// rabbitFrame is the default of RabbitMQ's setting stomp.max_frame_size, which
// came with version 4.
const rabbitFrame = 4 << 20

// shortString is the length of AMQP's short strings. Version 3 of RabbitMQ takes
// longer ones from STOMP clients; in version 4 the connection dies of them.
const shortString = 255

// brokerOf goes by the header server of CONNECTED. Who allows larger messages
// than the default knows that the broker does, too.
func brokerOf(server string, l transport.Limits) (b broker) {
	name, release, _ := strings.Cut(server, "/")
	switch name {
	case "RabbitMQ":
		b.kind = rabbitMQ
		major, _, _ := strings.Cut(release, ".")
		if n, err := strconv.Atoi(major); err == nil && n >= 4 {
			b.maxField = shortString
			if l.Message <= rabbitFrame {
				b.maxFrame = rabbitFrame
			}
		}
	case "ActiveMQ":
		b.kind = activeMQ
	case software:
		b.kind = polyport
	}
	return b
}

// check reports why m, in a frame of about size bytes, would be the end of the
// connection. peer is the broker's name.
func (b broker) check(peer string, m *transport.Message, size int) error {
	if b.maxFrame > 0 && size > b.maxFrame {
		return tooLarge("a frame of about %d bytes makes %s cut the connection, whose limit is %d "+
			"unless stomp.max_frame_size says otherwise there and Limits.Message here", size, peer, b.maxFrame)
	}
	if b.maxField == 0 {
		return nil
	}
	for _, f := range [...]struct{ name, value string }{
		{replyTo, m.ReplyTo},
		{frame.ContentType, m.ContentType},
		{correlationID, speakable(m.CorrelationID)},
		{amqpMessageID, speakable(m.ID)},
	} {
		if len(f.value) > b.maxField {
			return invalid("%s ends the connection over a %s of %d bytes, the most is %d", peer, f.name, len(f.value), b.maxField)
		}
	}
	for _, h := range m.Headers {
		switch h.Name {
		case "type", "app-id", "content-encoding": // short strings of AMQP, too
			if len(h.Value) > b.maxField {
				return invalid("%s ends the connection over a %s of %d bytes, the most is %d", peer, h.Name, len(h.Value), b.maxField)
			}
		}
		if len(h.Name) > b.maxField {
			return invalid("%s ends the connection over a header name of %d bytes, the most is %d", peer, len(h.Name), b.maxField)
		}
	}
	return nil
}

// listensUnasked reports whether naming a temporary queue in reply-to is all
// that is needed to get the answers. RabbitMQ refuses SUBSCRIBE there.
func (b broker) listensUnasked() bool { return b.kind == rabbitMQ }

// survivesErrors reports whether the connection goes on after an ERROR, which
// the specification does not allow ("ERROR").
func (b broker) survivesErrors() bool { return b.kind == activeMQ }

// nack turns the ACK in f into what says o, or returns nil if only silence does:
// what is not acknowledged comes back when the connection ends.
func (b broker) nack(f *frame.Frame, o transport.Outcome) *frame.Frame {
	switch {
	case b.kind == activeMQ && !o.IsRejected():
		return nil // NACK is for the dead-letter queue there
	case b.kind == rabbitMQ, b.kind == polyport:
		f.Header.Add("requeue", strconv.FormatBool(!o.IsRejected()))
	}
	f.Command = frame.NACK
	return f
}
