package hostile

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// WebSocket returns openings of WebSocket.
func WebSocket() [][]byte {
	all := [][]byte{
		[]byte(webAsks("", "")[:40]), // and no more
		[]byte(strings.Replace(webAsks("", ""), "Version: 13", "Version: 8", 1)),
		[]byte(strings.Replace(webAsks("", ""), "dGhlIHNhbXBsZSBub25jZQ==", "short", 1)),
		[]byte(strings.Replace(webAsks("", ""), "Host: h\r\n", "", 1)),
		[]byte(strings.Replace(webAsks("", ""), "GET /", "GET /nowhere", 1)),
		[]byte(webAsks("", strings.Repeat("X-A: b\r\n", 1000))),
		[]byte(webAsks("", "X-A: "+strings.Repeat("b", 1<<18)+"\r\n")),
		[]byte(webAsks("", "Origin: http://elsewhere\r\n")),
		[]byte(webAsks("", "Transfer-Encoding: chunked\r\n") + "ffffffffffffffff\r\n"),
		[]byte(webAsks("", "Content-Length: 9223372036854775807\r\n")),
	}
	every := [][]byte{
		webLying(0x82, 1<<62), webLying(0x81, 1<<63), webLying(0x82, 8<<30), webLying(0x82, 4<<20), // no more comes
		webLying(0x02, 4<<20), webLying(0x82, 5),
		{0x82, 0xfe, 0, 5, 0, 0, 0, 0}, // a length of two bytes that needs one
		{0x81, 0x01, 'x'},              // not masked
		{0xf1, 0x80, 0, 0, 0, 0},
		{0x83, 0x80, 0, 0, 0, 0}, {0x8f, 0x80, 0, 0, 0, 0},
		{0x09, 0x80, 0, 0, 0, 0},
		{0x89, 0xfe, 0x01, 0x00, 0, 0, 0, 0}, // a ping of 256 bytes
		webFrame(0x80, "a continuation"),
		append(webFrame(0x01, "a"), webFrame(0x81, "b")...),
		webFrame(0x81, "\xff\xfe"),
		append(webFrame(0x01, "\xce"), webFrame(0x80, "x")...),
		webFrame(0x88, "\x03"), webFrame(0x88, "\x03\xed"), webFrame(0x88, "\x03\xe8\xff"), webFrame(0x88, "\x00\x00"),
		append(webFrame(0x88, ""), bytes.Repeat(webFrame(0x81, "after the end"), 1<<10)...),
		append(webFrame(0x01, ""), bytes.Repeat(webFrame(0x00, ""), 1<<15)...), // a message without end
		append(webFrame(0x02, "x"), bytes.Repeat(webFrame(0x00, strings.Repeat("x", 125)), 1<<9)...),
		append(bytes.Repeat(webFrame(0x89, strings.Repeat("p", 125)), 1<<9), 0xff), // each wants a pong
	}
	ours := [][]byte{
		webFrame(0x82, ""), webFrame(0x82, "\x00\x00"), webFrame(0x82, "\xff\xff\xff\xff"), webFrame(0x82, "\x00\x00\x00\x02\x05a"),
		webFrame(0x82, "\x00\x00\x00\x01\x00"),
		webFrame(0x82, "\x00\x00\x00\x0b\x02to\x00\x00\xff\xffhere"),
		webFrame(0x82, "\x00\x00\x00\x0e\x02to\x00\x00\x00\x07nowhere"),
		webFrame(0x82, "\x00\x00\x00\x09\x02id\x00\x00\x00\x02n-"),
		webFrame(0x82, "\x00\x01\x00\x01"+strings.Repeat("x", 1<<16+1)),
		webFrame(0x82, "\x00\x00\x1f\x40"+strings.Repeat("\x03X-a\x00\x00\x00\x00", 1000)),
	}
	for _, then := range every {
		all = append(all, append([]byte(webAsks("", "")), then...))
	}
	for _, then := range append(every, ours...) {
		all = append(all, append([]byte(webAsks("polyport", "Polyport-Heartbeat: 0\r\n")), then...))
	}
	return all
}

// webAsks is a request for a WebSocket, with further header lines.
func webAsks(protocol, lines string) string {
	if protocol != "" {
		lines += "Sec-WebSocket-Protocol: " + protocol + "\r\n"
	}
	return "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + lines + "\r\n"
}

// webFrame is a frame of a client, which masks it with zeros.
func webFrame(first byte, payload string) []byte {
	b := []byte{first, 0x80 | 127}
	switch n := len(payload); {
	case n <= 125:
		b[1] = 0x80 | byte(n)
	case n < 1<<16:
		b[1] = 0x80 | 126
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}

// webLying is the head of a frame whose payload does not come.
func webLying(first byte, n uint64) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{first, 0x80 | 127}, n), 1, 2, 3, 4)
}
