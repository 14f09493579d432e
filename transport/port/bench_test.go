package port_test

import (
	"io"
	"maps"
	"net"
	"slices"
	"testing"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
	"github.com/polyport/polyport/transport/port"
	"github.com/polyport/polyport/transport/stomp"
)

// BenchmarkDetect is what finding the wire costs a connection: asking the matchers,
// the deadline, and the stream that gives the first bytes back; the read itself is
// one that the wire need not do.
func BenchmarkDetect(b *testing.B) {
	d, err := port.NewDetector(new(port.Options))
	if err != nil {
		b.Fatal(err)
	}
	for _, o := range openings {
		if o.name != "CONNECT" && o.name != "greeting" && o.name != "SASL header" && o.name != "POST" {
			continue
		}
		b.Run(o.wire, func(b *testing.B) {
			near, far := tcpPipe(b)
			defer near.Close()
			defer far.Close()
			nc := &said{TCPConn: near.(*net.TCPConn), text: o.bytes}
			p := make([]byte, 512)
			b.ReportAllocs()
			for b.Loop() {
				stream, err := d.Detect(b.Context(), nc)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = stream.Read(p)
			}
		})
	}
}

// said is a connection on which the same is said again and again.
type said struct {
	*net.TCPConn
	text string
}

func (s *said) Read(p []byte) (int, error) { return copy(p, s.text), nil }

// BenchmarkAccept is a connection from dialing to the first answer, at a port and at
// a listener of one wire.
func BenchmarkAccept(b *testing.B) {
	const connect, connected = "CONNECT\naccept-version:1.2\nhost:x\n\n\x00", "CONNECTED\n"
	o := &transport.ListenOptions{}
	o.Linger = 1
	for _, c := range []struct {
		name   string
		listen func(net.Listener) (*transport.Listener, error)
	}{
		{"direct", func(ln net.Listener) (*transport.Listener, error) {
			return transport.NewListener(ln, stomp.Transport{}, o), nil
		}},
		{"port", func(ln net.Listener) (*transport.Listener, error) {
			return port.NewListener(ln, &port.Options{ListenOptions: *o})
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			var network mem.Network
			ln, err := network.Listen("bench")
			if err != nil {
				b.Fatal(err)
			}
			l, err := c.listen(ln)
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			answer := make([]byte, len(connected))
			b.ReportAllocs()
			for b.Loop() {
				nc, err := network.Dial(b.Context(), "bench")
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.WriteString(nc, connect)
				if _, err := io.ReadFull(nc, answer); err != nil {
					b.Fatal(err)
				}
				server, err := l.Accept(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				_ = nc.Close()
				_ = server.Close()
			}
		})
	}
}

// BenchmarkMessage is a message there and back, over TCP, by a connection that was
// handed over and by one that was not.
func BenchmarkMessage(b *testing.B) {
	for _, c := range []struct {
		name   string
		listen func() (*transport.Listener, error)
	}{
		{"direct", func() (*transport.Listener, error) {
			return transport.Listen(b.Context(), "stomp://127.0.0.1:0", nil)
		}},
		{"port", func() (*transport.Listener, error) { return port.Listen(b.Context(), "127.0.0.1:0", nil) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			l, err := c.listen()
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			client, err := transport.Dial(b.Context(), "stomp://"+l.Addr().String(), nil)
			if err != nil {
				b.Fatal(err)
			}
			defer client.Close()
			server, err := l.Accept(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			defer server.Close()
			go func() {
				for {
					m, err := server.Recv(b.Context())
					if err != nil || server.Send(b.Context(), &transport.Message{To: m.ReplyTo, Body: m.Body}) != nil {
						return
					}
				}
			}()
			ask := &transport.Message{Body: []byte(`{"jsonrpc":"2.0","id":1,"method":"Echo","params":["x"]}`)}
			if r, ok := transport.As[transport.ReplyAddresser](client); ok {
				if ask.ReplyTo, err = r.ReplyAddress(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := client.Send(b.Context(), ask); err != nil {
					b.Fatal(err)
				}
				if _, err := client.Recv(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMatch is all matchers together, as the port asks them.
func BenchmarkMatch(b *testing.B) {
	all := slices.Collect(maps.Values(matchers(b)))
	for _, o := range openings {
		b.Run(o.wire+"/"+o.name, func(b *testing.B) {
			prefix := []byte(o.bytes)
			for b.Loop() {
				for _, m := range all {
					m.Match(prefix)
				}
			}
		})
	}
}
