package hostile

import "strings"

// STOMP returns openings of STOMP.
func STOMP() [][]byte {
	const connect = "CONNECT\naccept-version:1.2\nhost:x\nheart-beat:0,0\n\n\x00"
	all := [][]byte{
		[]byte("CONNECT\naccept-version:1.2\n"), // and no more
		[]byte("CONNECT\ncontent-length:4294967295\n\n"),
		[]byte("CONNECT\nheart-beat:-1,1e9\n\n\x00"),
		[]byte("CONNECT\n" + strings.Repeat("a:b\n", 100_000) + "\n\x00"),
		[]byte("SEND\ndestination:/queue/rpc\n\nnot connected\x00"),
	}
	for _, then := range []string{
		"SEND\ndestination:/queue/rpc\ncontent-length:4294967295\n\n",
		"SEND\ndestination:/queue/rpc\ncontent-length:9223372036854775807\n\nx",
		"SEND\ndestination:/queue/rpc\ncontent-length:-1\n\nx\x00",
		"SEND\ndestination:/queue/rpc\ncontent-length:3\n\nlonger\x00",
		"SEND\ndestination:/queue/rpc\n" + strings.Repeat("a:b\n", 100_000) + "\n\x00",
		"SEND\ndestination:" + strings.Repeat("x", 1<<20) + "\n\n\x00",
		"SEND\n\nnowhere\x00",
		"SEND\ndestination:/queue/rpc\nundefined:\\t\n\n\x00",
		"SEND\ndestination:/queue/rpc\nhalf a frame:",
		"SUBSCRIBE\nid:1\ndestination:/topic/x\nack:sometimes\n\n\x00",
		"ACK\nid:17\n\n\x00",
		"BEGIN\ntransaction:1\n\n\x00",
	} {
		all = append(all, []byte(connect+then))
	}
	return all
}
