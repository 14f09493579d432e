package conformance_test

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"testing"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
	"github.com/polyport/polyport/transport/stomp"
)

// benchPair connects two ends of a wire and returns how the server reaches the
// client.
func benchPair(b *testing.B, t transport.Transport, stream func() (client, server net.Conn)) (client, server transport.Conn, m *transport.Message) {
	b.Helper()
	near, far := stream()
	accepted := make(chan transport.Conn)
	go func() {
		c, err := t.Server(context.Background(), far, nil)
		if err != nil {
			b.Error(err)
		}
		accepted <- c
	}()
	client, err := t.Client(context.Background(), near, &url.URL{Scheme: "x", Host: "bench"}, nil)
	server = <-accepted
	if err != nil || server == nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		go func() { _ = server.Close() }()
		_ = client.Close()
	})
	m = &transport.Message{ContentType: "application/json", CorrelationID: transport.TextID("12345")}
	if a, ok := transport.As[transport.ReplyAddresser](client); ok {
		if m.ReplyTo, err = a.ReplyAddress(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	return client, server, m
}

func echo(server transport.Conn) {
	for {
		m, err := server.Recv(context.Background())
		if err != nil {
			return
		}
		m.To, m.ReplyTo = m.ReplyTo, ""
		if server.Send(context.Background(), m) != nil {
			return
		}
	}
}

type wireBench func(b *testing.B, t transport.Transport, stream func() (client, server net.Conn), size int)

func eachWire(b *testing.B, f wireBench) {
	b.Helper()
	for _, w := range []struct {
		name string
		t    transport.Transport
	}{{"mem", mem.Transport{}}, {"stomp", stomp.Transport{}}} {
		for _, s := range []struct {
			name string
			make func() (client, server net.Conn)
		}{{"pipe", mem.Pipe}, {"tcp", func() (client, server net.Conn) { return conformance.TCP(b) }}} {
			for _, size := range []int{100, 10_000} {
				b.Run(fmt.Sprintf("%s/%s/%d", w.name, s.name, size), func(b *testing.B) { f(b, w.t, s.make, size) })
			}
		}
	}
}

// BenchmarkEcho measures a request and its answer, one at a time.
func BenchmarkEcho(b *testing.B) {
	eachWire(b, func(b *testing.B, t transport.Transport, stream func() (client, server net.Conn), size int) {
		b.Helper()
		client, server, m := benchPair(b, t, stream)
		go echo(server)
		m.Body = make([]byte, size)
		ctx := context.Background()
		b.ReportAllocs()
		for b.Loop() {
			if err := client.Send(ctx, m); err != nil {
				b.Fatal(err)
			}
			if _, err := client.Recv(ctx); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkEchoes measures requests with 64 under way.
func BenchmarkEchoes(b *testing.B) {
	eachWire(b, func(b *testing.B, t transport.Transport, stream func() (client, server net.Conn), size int) {
		b.Helper()
		client, server, m := benchPair(b, t, stream)
		go echo(server)
		m.Body = make([]byte, size)
		ctx := context.Background()
		window := make(chan struct{}, 64)
		b.ReportAllocs()
		b.ResetTimer()
		go func() {
			for range b.N {
				window <- struct{}{}
				if client.Send(ctx, m) != nil {
					return
				}
			}
		}()
		for range b.N {
			if _, err := client.Recv(ctx); err != nil {
				b.Fatal(err)
			}
			<-window
		}
	})
}
