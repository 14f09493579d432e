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
}

type brokerKind uint8

const (
	byTheBook brokerKind = iota
	rabbitMQ
	activeMQ
)

// rabbitFrame is the default of RabbitMQ's setting stomp.max_frame_size, which
// came with version 4.
const rabbitFrame = 4 << 20

// brokerOf goes by the header server of CONNECTED. Who allows larger messages
// than the default knows that the broker does, too.
func brokerOf(server string, l transport.Limits) (b broker) {
	name, release, _ := strings.Cut(server, "/")
	switch name {
	case "RabbitMQ":
		b.kind = rabbitMQ
		major, _, _ := strings.Cut(release, ".")
		if n, err := strconv.Atoi(major); err == nil && n >= 4 && l.Message <= rabbitFrame {
			b.maxFrame = rabbitFrame
		}
	case "ActiveMQ":
		b.kind = activeMQ
	}
	return b
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
	case b.kind == rabbitMQ:
		f.Header.Add("requeue", strconv.FormatBool(!o.IsRejected()))
	}
	f.Command = frame.NACK
	return f
}
