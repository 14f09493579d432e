package zmq_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
)

// greet is the greeting of a peer with a mechanism.
func greet(minor byte, mechanism string) []byte {
	g := make([]byte, 64)
	g[0], g[9], g[10], g[11] = 0xff, 0x7f, 3, minor
	copy(g[12:32], mechanism)
	return g
}

// frame is a frame with a short or a long head.
func frame(flags byte, body string) []byte {
	if len(body) > 255 {
		return append(binary.BigEndian.AppendUint64([]byte{flags | 2}, uint64(len(body))), body...)
	}
	return append([]byte{flags, byte(len(body))}, body...)
}

// lying is the head of a long frame whose body does not come.
func lying(flags byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{flags | 2}, n)
}

// command is a command frame.
func command(name, body string) []byte {
	return frame(4, string([]byte{byte(len(name))})+name+body)
}

// property is one of a handshake's.
func property(name, value string) string {
	n := binary.BigEndian.AppendUint32(nil, uint32(len(value)))
	return string([]byte{byte(len(name))}) + name + string(n) + value
}

// ready is the READY of a socket.
func ready(socket string) []byte { return command("READY", property("Socket-Type", socket)) }

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// hostile are openings that begin well.
func hostile() [][]byte {
	hello := greet(0, "NULL")
	all := [][]byte{
		hello[:10], hello[:63], hello, // and no more
		{0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 1, 0, 0}, // ZMTP 2.0
		greet(0, "CURVE"),
		join(greet(0, "PLAIN"), command("HELLO", "\xff")),
		join(greet(0, "PLAIN"), command("HELLO", "\x01a\x01bc")),
		join(hello, []byte{4, 0}),
		join(hello, []byte{4, 1, 0x53}), // a READY body shorter than it says
		join(hello, command("READY", "\x01S")),
		join(hello, command("READY", "\x53")),
		join(hello, command("READY", "\x01a\xff\xff\xff\xffx")),
		join(hello, command("READY", property("X-Polyport", "beat=%zz"))),
		join(hello, command("READY", property("X-Polyport", "beat=-1"))),
		join(hello, command("READY", property("X-Polyport", strings.Repeat("destination=x&", 1000)))),
		join(hello, lying(4, 1<<62)), join(hello, lying(4, 8<<30)), join(hello, lying(4, 1<<20)),
		join(hello, frame(0, "a message")),
		join(hello, ready("PUSH")), join(hello, ready("")),
		join(hello, command("NONSENSE", "")),
		join(hello, command("ERROR", "\xffx")),
	}
	every := [][]byte{
		lying(0, 1<<62), lying(0, 8<<30), lying(0, 1<<63), lying(0, 1<<20), // no more comes
		lying(1, 1<<62), lying(1, 8<<30), lying(4, 1<<62), lying(4, 8<<30),
		{0x08, 0},
		{0xff, 0},
		{5, 5, 4, 'P', 'I', 'N', 'G'},
		{4, 0},
		{4, 1, 9},
		bytes.Repeat([]byte{1, 0}, 1<<16), // a message without end
		bytes.Repeat(frame(1, strings.Repeat("x", 255)), 1<<10),
		join(frame(1, ""), command("PING", "\x00\x0a")),
		command("PING", "\x00"), command("PING", "\x00\x0a"+strings.Repeat("x", 17)),
		command("ERROR", ""),
		command("SUBSCRIBE", strings.Repeat("x", 1<<17)),
		bytes.Repeat(command("SUBSCRIBE", "x"), 1<<12),
	}
	asking := [][]byte{
		message("\x01polyport\x01\x05ab"), message("\x01polyport\x01\x00"),
		message("\x01polyport\x01" + property("to", "nowhere")),
		message("\x01polyport\x01" + property("reply-to", "\x00zmq:\x01\xff")),
		message("\x01polyport\x01" + property("correlation-id", "n99999999999999999999")),
		message("\x01polyport\x01" + property("expires", "\x80")),
		message("\x01polyport\x01" + strings.Repeat(property("X-a", "b"), 1000)),
		message("\x01polyport\x01" + strings.Repeat(property("a", "b"), 1000)),
	}
	listening := [][]byte{
		bytes.Repeat(frame(0, "\x01x"), 1<<12),
		frame(0, "\x01"+strings.Repeat("x", 1<<17)),
	}
	for _, w := range []struct {
		socket string
		then   [][]byte
	}{{"DEALER", asking}, {"REQ", asking}, {"SUB", listening}} {
		for _, then := range slices.Concat(every, w.then) {
			all = append(all, join(hello, readyAs(w.socket, oursAsClient), then))
		}
	}
	return all
}

// message is an empty one after a frame of properties.
func message(properties string) []byte { return join(frame(1, properties), frame(0, "{}")) }
