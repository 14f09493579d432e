package zmq

import (
	"encoding/binary"

	"github.com/go-zeromq/zmq4"

	"github.com/polyport/polyport/transport"
)

// The flags of a frame ("Framing"). The other bits are zero.
const (
	hasMore   = 1 << iota // another frame of the same message follows
	isLong                // the length has eight bytes, not one
	isCommand             // no part of a message
)

// longestHead is the most bytes before a frame's body.
const longestHead = 9

// A frameReader cuts a byte stream into messages and commands, and takes no
// more memory than its limits allow. After an interrupted read it goes on where
// it was.
type frameReader struct {
	stream *transport.Stream
	limits transport.Limits
	// parts are the bodies of the frames of a message but the last, one after the
	// other, and ends where each ends. They are used again for the next message.
	parts []byte
	ends  []int

	inBody  bool // the head of the last frame is read
	length  int  // of its body
	message *transport.Message
	body    []byte
}

// A command is one that was read. Its body is valid until the next read.
type command struct {
	name string
	body []byte
}

// next returns the next message, with nothing but its body set, or the next
// command if the message is nil.
func (r *frameReader) next() (m *transport.Message, cmd command, err error) {
	for !r.inBody {
		flags, head, size, err := r.head()
		switch {
		case err != nil:
			return nil, cmd, err
		case flags&isCommand != 0:
			cmd, err = r.command(flags, head, size)
			return nil, cmd, err
		case flags&hasMore != 0:
			err = r.part(head, size)
		default:
			err = r.begin(head, size)
		}
		if err != nil {
			return nil, cmd, err
		}
	}
	in := r.stream.Reader
	if len(in.Buffered()) < r.length-len(r.body) {
		r.stream.MidFrame()
	}
	if r.body, err = in.ReadInto(r.body, r.length); err != nil {
		return nil, cmd, err
	}
	m = r.message
	m.Body = r.body[:r.length:r.length]
	r.inBody, r.message, r.body = false, nil, nil
	r.stream.FrameDone()
	return m, cmd, nil
}

// head reads what is before a frame's body, and leaves it in the buffer.
func (r *frameReader) head() (flags byte, head int, size uint64, err error) {
	for {
		buf := r.stream.Reader.Buffered()
		if len(buf) > 0 {
			flags, head = buf[0], 2
			if flags&isLong != 0 {
				head = longestHead
			}
			switch {
			case flags&^(hasMore|isLong|isCommand) != 0:
				return 0, 0, 0, malformed("a frame has the flags %#02x, of which only the last three bits have a meaning", flags)
			case len(buf) >= head && flags&isLong == 0:
				return flags, head, uint64(buf[1]), nil
			case len(buf) >= head:
				return flags, head, binary.BigEndian.Uint64(buf[1:]), nil
			}
		}
		if len(buf) > 0 || len(r.ends) > 0 {
			r.stream.MidFrame()
		}
		if err := r.stream.Reader.Fill(); err != nil {
			return 0, 0, 0, err
		}
	}
}

// whole waits for a frame of n bytes to be in the buffer, and returns it.
func (r *frameReader) whole(n int) ([]byte, error) {
	for len(r.stream.Reader.Buffered()) < n {
		r.stream.MidFrame()
		if err := r.stream.Reader.Fill(); err != nil {
			return nil, err
		}
	}
	return r.stream.Reader.Buffered()[:n], nil
}

// part takes in a frame that is not the last of its message.
func (r *frameReader) part(head int, size uint64) error {
	switch left := r.limits.HeaderBytes - len(r.parts); {
	case size > uint64(max(0, left)):
		return tooLarge("the frames before the last of a message are over the limit of %d bytes", r.limits.HeaderBytes)
	case len(r.ends) >= r.limits.Headers:
		return tooLarge("a message has more than %d frames", r.limits.Headers+1)
	}
	n := head + int(size)
	buf, err := r.whole(n)
	if err != nil {
		return err
	}
	r.parts = append(r.parts, buf[head:]...)
	r.ends = append(r.ends, len(r.parts))
	r.stream.Reader.Discard(n)
	return nil
}

// begin makes room for the last frame of a message.
func (r *frameReader) begin(head int, size uint64) error {
	if size > uint64(r.limits.Message) {
		return tooLarge("a frame has %d bytes; the limit for a message is %d", size, r.limits.Message)
	}
	r.stream.Reader.Discard(head)
	r.inBody, r.length = true, int(size)
	r.message, r.body = transport.NewMessage(r.length)
	return nil
}

// command reads a command.
func (r *frameReader) command(flags byte, head int, size uint64) (c command, err error) {
	switch {
	case flags&hasMore != 0:
		return c, malformed("a command with more to follow")
	case len(r.ends) > 0:
		return c, malformed("a command between the frames of a message")
	case size > uint64(r.limits.HeaderBytes):
		return c, tooLarge("a command has %d bytes; the limit is %d", size, r.limits.HeaderBytes)
	}
	n := head + int(size)
	buf, err := r.whole(n)
	if err != nil {
		return c, err
	}
	body := buf[head:]
	if len(body) == 0 || int(body[0]) >= len(body) {
		return c, malformed("a command is shorter than its name")
	}
	c = command{name: commandName(body[1 : 1+body[0]]), body: body[1+body[0]:]}
	r.stream.Reader.Discard(n) // which leaves the bytes where they are
	r.stream.FrameDone()
	return c, nil
}

// commandName returns the library's constant for a name, without taking memory.
func commandName(name []byte) string {
	for _, known := range [...]string{zmq4.CmdPing, zmq4.CmdPong, zmq4.CmdSubscribe, zmq4.CmdCancel, zmq4.CmdError} {
		if string(name) == known {
			return known
		}
	}
	return ""
}

// taken forgets the frames before the last of a message.
func (r *frameReader) taken() { r.parts, r.ends = r.parts[:0], r.ends[:0] }

// appendFrame appends a frame.
func appendFrame[B string | []byte](dst []byte, flags byte, body B) []byte {
	return append(appendHead(dst, flags, len(body)), body...)
}

// appendHead appends what is before a body of n bytes.
func appendHead(dst []byte, flags byte, n int) []byte {
	if n <= 255 {
		return append(dst, flags, byte(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, flags|isLong), uint64(n))
}

// appendCommand appends a command.
func appendCommand(dst []byte, name string, body []byte) []byte {
	dst = appendHead(dst, isCommand, 1+len(name)+len(body))
	dst = append(append(dst, byte(len(name))), name...)
	return append(dst, body...)
}
