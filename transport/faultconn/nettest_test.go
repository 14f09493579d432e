package faultconn_test

import (
	"net"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/polyport/polyport/transport/faultconn"
	"github.com/polyport/polyport/transport/mem"
)

// With faults that change only how bytes travel, a Conn is still a net.Conn in
// all that the Go project tests one for.
func TestConn(t *testing.T) {
	t.Parallel()
	both := func(rule string) string { return "read " + rule + "; write " + rule }
	tests := []struct {
		name, schedule string
		pipe           func(*testing.T) (net.Conn, net.Conn)
	}{
		{"none", "", memPipe},
		{"none over TCP", "", tcpPipe},
		{"none over net.Pipe", "", netPipe},
		{"slice", both("byte 0+50000 slice"), memPipe},
		{"slice over TCP", both("byte 0+50000 slice"), tcpPipe},
		{"latency", both("byte 0 latency 100us"), memPipe},
		{"latency over TCP", both("byte 0 latency 100us"), tcpPipe},
		{"jitter", both("byte 0 jitter 200us"), memPipe},
		{"coalesce", both("byte 0 coalesce 100us"), memPipe},
		{"bandwidth", both("byte 0 bandwidth 100000000"), memPipe},
		{"stall", both("byte 0 stall 1ms"), memPipe},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			schedule := parse(t, test.schedule)
			nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
				a, b := test.pipe(t)
				fa, fb := faultconn.Wrap(a, schedule), faultconn.Wrap(b, schedule)
				return fa, fb, func() { fa.Close(); fb.Close() }, nil
			})
		})
	}
}

func memPipe(*testing.T) (net.Conn, net.Conn) { return mem.Pipe() }
func netPipe(*testing.T) (net.Conn, net.Conn) { return net.Pipe() }

func tcpPipe(t *testing.T) (net.Conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}
