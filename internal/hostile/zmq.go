package hostile

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
)

// ZMQ returns openings of ZMTP.
func ZMQ() [][]byte {
	hello := zmqGreet("NULL")
	all := [][]byte{
		hello[:10], hello[:63], hello, // and no more
		{0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 1, 0, 0}, // ZMTP 2.0
		zmqGreet("CURVE"),
		zmqJoin(zmqGreet("PLAIN"), zmqCommand("HELLO", "\xff")),
		zmqJoin(zmqGreet("PLAIN"), zmqCommand("HELLO", "\x01a\x01bc")),
		zmqJoin(hello, []byte{4, 0}),
		zmqJoin(hello, []byte{4, 1, 0x53}), // a READY body shorter than it says
		zmqJoin(hello, zmqCommand("READY", "\x01S")),
		zmqJoin(hello, zmqCommand("READY", "\x53")),
		zmqJoin(hello, zmqCommand("READY", "\x01a\xff\xff\xff\xffx")),
		zmqJoin(hello, zmqCommand("READY", zmqProperty("X-Polyport", "beat=%zz"))),
		zmqJoin(hello, zmqCommand("READY", zmqProperty("X-Polyport", "beat=-1"))),
		zmqJoin(hello, zmqCommand("READY", zmqProperty("X-Polyport", strings.Repeat("destination=x&", 1000)))),
		zmqJoin(hello, zmqLying(4, 1<<62)), zmqJoin(hello, zmqLying(4, 8<<30)), zmqJoin(hello, zmqLying(4, 1<<20)),
		zmqJoin(hello, zmqFrame(0, "a message")),
		zmqJoin(hello, zmqReady("PUSH", "")), zmqJoin(hello, zmqReady("", "")),
		zmqJoin(hello, zmqCommand("NONSENSE", "")),
		zmqJoin(hello, zmqCommand("ERROR", "\xffx")),
	}
	every := [][]byte{
		zmqLying(0, 1<<62), zmqLying(0, 8<<30), zmqLying(0, 1<<63), zmqLying(0, 1<<20), // no more comes
		zmqLying(1, 1<<62), zmqLying(1, 8<<30), zmqLying(4, 1<<62), zmqLying(4, 8<<30),
		{0x08, 0},
		{0xff, 0},
		{5, 5, 4, 'P', 'I', 'N', 'G'},
		{4, 0},
		{4, 1, 9},
		bytes.Repeat([]byte{1, 0}, 1<<16), // a message without end
		bytes.Repeat(zmqFrame(1, strings.Repeat("x", 255)), 1<<10),
		zmqJoin(zmqFrame(1, ""), zmqCommand("PING", "\x00\x0a")),
		zmqCommand("PING", "\x00"), zmqCommand("PING", "\x00\x0a"+strings.Repeat("x", 17)),
		zmqCommand("ERROR", ""),
		zmqCommand("SUBSCRIBE", strings.Repeat("x", 1<<17)),
		bytes.Repeat(zmqCommand("SUBSCRIBE", "x"), 1<<12),
	}
	asking := [][]byte{
		zmqMessage("\x01polyport\x01\x05ab"), zmqMessage("\x01polyport\x01\x00"),
		zmqMessage("\x01polyport\x01" + zmqProperty("to", "nowhere")),
		zmqMessage("\x01polyport\x01" + zmqProperty("reply-to", "\x00zmq:\x01\xff")),
		zmqMessage("\x01polyport\x01" + zmqProperty("correlation-id", "n99999999999999999999")),
		zmqMessage("\x01polyport\x01" + zmqProperty("expires", "\x80")),
		zmqMessage("\x01polyport\x01" + strings.Repeat(zmqProperty("X-a", "b"), 1000)),
		zmqMessage("\x01polyport\x01" + strings.Repeat(zmqProperty("a", "b"), 1000)),
	}
	listening := [][]byte{
		bytes.Repeat(zmqFrame(0, "\x01x"), 1<<12),
		zmqFrame(0, "\x01"+strings.Repeat("x", 1<<17)),
	}
	for _, w := range []struct {
		socket string
		then   [][]byte
	}{{"DEALER", asking}, {"REQ", asking}, {"SUB", listening}} {
		for _, then := range slices.Concat(every, w.then) {
			all = append(all, zmqJoin(hello, zmqReady(w.socket, zmqOurs), then))
		}
	}
	return all
}

// zmqGreet is the greeting of a peer with a mechanism.
func zmqGreet(mechanism string) []byte {
	g := make([]byte, 64)
	g[0], g[9], g[10], g[11] = 0xff, 0x7f, 3, 0
	copy(g[12:32], mechanism)
	return g
}

// zmqFrame is a frame with a short or a long head.
func zmqFrame(flags byte, body string) []byte {
	if len(body) > 255 {
		return append(binary.BigEndian.AppendUint64([]byte{flags | 2}, uint64(len(body))), body...)
	}
	return append([]byte{flags, byte(len(body))}, body...)
}

// zmqLying is the head of a long frame whose body does not come.
func zmqLying(flags byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{flags | 2}, n)
}

// zmqCommand is a command frame.
func zmqCommand(name, body string) []byte {
	return zmqFrame(4, string([]byte{byte(len(name))})+name+body)
}

// zmqProperty is one of a handshake's.
func zmqProperty(name, value string) string {
	n := binary.BigEndian.AppendUint32(nil, uint32(len(value)))
	return string([]byte{byte(len(name))}) + name + string(n) + value
}

// zmqOurs is what an end of ours says of itself.
const zmqOurs = "beat=0&header-bytes=65536&headers=128&message=4194304&software=test&subscriptions=1024"

// zmqReady is the READY of a socket, and of an end of ours unless ours is empty.
func zmqReady(socket, ours string) []byte {
	said := zmqProperty("Socket-Type", socket)
	if ours != "" {
		said += zmqProperty("X-Polyport", ours)
	}
	return zmqCommand("READY", said)
}

func zmqJoin(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// zmqMessage is an empty one after a frame of properties.
func zmqMessage(properties string) []byte { return zmqJoin(zmqFrame(1, properties), zmqFrame(0, "{}")) }
