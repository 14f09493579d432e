package zmq_test

import (
	"bytes"
	"encoding/binary"
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
