package hostile

import (
	"bytes"
	"strings"
)

// HTTP returns openings of HTTP/1.1 and HTTP/2.
func HTTP() [][]byte {
	const post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	const get = "GET / HTTP/1.1\r\nHost: x\r\n"
	long := strings.Repeat("x", 1<<17)
	var all [][]byte
	for _, opening := range []string{
		"P", "POST", "POST /", post, // and no more
		post + "Content-Length: 9223372036854775807\r\n\r\n{",
		post + "Content-Length: 99999999999999999999\r\n\r\n",
		post + "Content-Length: -1\r\n\r\n",
		post + "Content-Length: 4194304\r\n\r\n{",                          // 4 MiB that do not come
		post + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",         // two lengths
		post + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", // and no chunk
		post + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
		post + "Transfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n{",
		post + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1\r\n{\r\n", 1<<14), // without end
		post + "Transfer-Encoding: chunked\r\n\r\n1;" + long,
		post + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("A: b\r\n", 1<<14),
		post + "Transfer-Encoding: gzip\r\n\r\n",
		post + "Expect: 100-continue\r\nContent-Length: 10\r\n\r\n",
		post + "A: " + long,
		post + strings.Repeat("A: b\r\n", 1<<14),
		post + "A : b\r\n\r\n", post + "A: \x00\r\n\r\n",
		"POST /" + long,
		"POST / HTTP/9.9\r\n\r\n", "POST / HTTP/1.1\r\n\r\n",
		strings.Repeat(get+"\r\n", 1<<7),
		get + "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
		get + "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n",
		get + "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
	} {
		all = append(all, []byte(opening))
	}
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	settings := frame(4, 0, 0, nil)
	for _, then := range [][]byte{
		nil,
		settings,                             // and no more
		frame(0, 0, 1, make([]byte, 100)),    // data of no stream
		{0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1}, // a frame of 16 MiB
		bytes.Repeat(frame(6, 0, 0, make([]byte, 8)), 1<<10),                                            // pings
		bytes.Repeat(settings, 1<<10),                                                                   // that want to be acknowledged
		bytes.Repeat(frame(3, 0, 1, []byte{0, 0, 0, 8}), 1<<10),                                         // resets
		append(frame(1, 0, 1, []byte{0x82}), bytes.Repeat(frame(9, 0, 1, make([]byte, 100)), 1<<10)...), // a head without end
		frame(1, 4, 1, bytes.Repeat([]byte{0x3f, 0xff, 0xff, 0xff, 0xff, 0x7f}, 10)),                    // a table of 4 GiB
		frame(8, 0, 0, []byte{0, 0, 0, 0}),                                                              // a window of nothing
	} {
		all = append(all, append([]byte(preface), append(bytes.Clone(settings), then...)...))
	}
	return all
}

// frame is a frame of HTTP/2: its type, flags, stream and payload.
func frame(kind, flags, stream byte, payload []byte) []byte {
	n := len(payload)
	return append([]byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags, 0, 0, 0, stream}, payload...)
}
