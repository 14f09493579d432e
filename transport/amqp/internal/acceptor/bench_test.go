package acceptor_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp/internal/acceptor"
	"github.com/polyport/polyport/transport/amqp/internal/codec"
	"github.com/polyport/polyport/transport/amqp/internal/frames"
)

// BenchmarkEcho sends requests of a peer that writes prepared frames to a server
// that echoes them, 64 in flight: what the acceptor costs, and no client. With a
// broker, which has no part in it, it must cost the same.
func BenchmarkEcho(b *testing.B) {
	for _, mode := range []struct {
		name    string
		settled bool
		o       *transport.ListenOptions
	}{
		{"settled", true, nil},
		{"unsettled", false, nil},
		{"settled with a broker", true, withBroker(&fakeBroker{})},
		{"unsettled with a broker", false, withBroker(&fakeBroker{})},
	} {
		b.Run(mode.name, func(b *testing.B) { benchmarkEcho(b, mode.settled, mode.o) })
	}
}

func benchmarkEcho(b *testing.B, settled bool, o *transport.ListenOptions) {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		c, err := acceptor.Serve(context.Background(), nc, o)
		if err != nil {
			b.Error(err)
			return
		}
		c.(transport.Gatherer).Gather()
		for {
			m, err := c.Recv(context.Background())
			if err != nil {
				_ = c.Close()
				return
			}
			out := &transport.Message{To: m.ReplyTo, CorrelationID: m.ID, ContentType: m.ContentType, Body: m.Body}
			if err := c.Send(context.Background(), out); err != nil {
				b.Error(err)
			}
			_ = m.Settle(transport.Accepted)
		}
	}()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	credit := performative(0, frames.CodeFlow, u32(0), u32(1<<30), u32(0), u32(1<<30), u32(1), u32(0), u32(1<<30))
	_, _ = io.WriteString(nc, sending()+receive(1, "in", "a", frames.SendSettled)+credit)
	m, at := codec.BeginList(nil)
	m = append(append(append(m, codec.AppendUlong(nil, 77)...), null...), null...)
	m = append(append(append(m, null...), str("a")...), null...)
	m = codec.EndList(codec.AppendSymbol(m, "application/json"), at, 7)
	message := section(0x73, m) + data(strings.Repeat("x", 64))
	b.ReportAllocs()
	b.ResetTimer()
	const window = 64
	places := make(chan struct{}, window)
	go func() {
		var buf []byte
		for i := range b.N {
			places <- struct{}{}
			buf = append(buf, transfer(0, uint32(i), settled, false, message)...)
			if len(places) == window || i == b.N-1 || len(buf) > 32<<10 {
				_, _ = nc.Write(buf)
				buf = buf[:0]
			}
		}
	}()
	buf, have := make([]byte, 256<<10), 0
	for got := 0; got < b.N; {
		n, err := nc.Read(buf[have:])
		if err != nil {
			b.Fatal(err)
		}
		have += n
		rest := buf[:have]
		for len(rest) >= 8 {
			size := int(binary.BigEndian.Uint32(rest))
			if string(rest[:4]) == "AMQP" {
				size = 8
			}
			if len(rest) < size {
				break
			}
			if size > 11 && rest[10] == frames.CodeTransfer {
				got++
				<-places
			}
			rest = rest[size:]
		}
		have = copy(buf, rest)
	}
	b.StopTimer()
	_ = nc.Close()
	_ = ln.Close()
	<-over
}

// BenchmarkHub sends messages of a peer that writes prepared frames through a
// queue of the hub to another peer, which has credit for all, 512 under way: what
// server and broker cost, and no client.
func BenchmarkHub(b *testing.B) {
	for _, settled := range []bool{true, false} {
		b.Run(fmt.Sprintf("settled %t", settled), func(b *testing.B) { benchmarkHub(b, settled) })
	}
}

func benchmarkHub(b *testing.B, settled bool) {
	b.Helper()
	h := broker.New(nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var served sync.WaitGroup
	dial := func(said string) net.Conn {
		served.Go(func() {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			c, err := acceptor.Serve(context.Background(), nc, &transport.ListenOptions{Broker: h})
			if err == nil {
				_, _ = c.Recv(context.Background())
				_ = c.Close()
			}
		})
		nc, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.WriteString(nc, said)
		return nc
	}
	mode := uint8(frames.SendUnsettled)
	if settled {
		mode = frames.SendSettled
	}
	credit := performative(0, frames.CodeFlow, u32(0), u32(1<<30), u32(0), u32(1<<30), u32(0), u32(0), u32(1<<30))
	to := dial(begin() + receive(0, "in", "/queue/bench", mode) + credit)
	from := dial(begin() + attach(0, "out", "/queue/bench"))
	go func() { _, _ = io.Copy(io.Discard, from) }()
	for h.Stats().Consumers == 0 {
		time.Sleep(time.Millisecond)
	}
	message := data(strings.Repeat("x", 64))
	b.ReportAllocs()
	b.ResetTimer()
	const window = 512
	places := make(chan struct{}, window)
	go func() {
		var buf []byte
		for i := range b.N {
			places <- struct{}{}
			buf = append(buf, transfer(0, uint32(i), settled, false, message)...)
			if len(places) == window || i == b.N-1 || i%64 == 63 {
				_, _ = from.Write(buf)
				buf = buf[:0]
			}
		}
	}()
	buf, have := make([]byte, 256<<10), 0
	for got := uint32(0); got < uint32(b.N); {
		n, err := to.Read(buf[have:])
		if err != nil {
			b.Fatal(err)
		}
		have += n
		rest, before := buf[:have], got
		for len(rest) >= 8 {
			size := int(binary.BigEndian.Uint32(rest))
			if string(rest[:4]) == "AMQP" {
				size = 8
			}
			if len(rest) < size {
				break
			}
			if size > 11 && rest[10] == frames.CodeTransfer {
				got++
				<-places
			}
			rest = rest[size:]
		}
		have = copy(buf, rest)
		if got > before && !settled {
			d := frames.Disposition{Receiver: true, First: before, Last: got - 1, Settled: true, Outcome: frames.Accepted}
			_, _ = to.Write(d.Append(nil, 0))
		}
	}
	b.StopTimer()
	_, _ = to.Close(), from.Close()
	_ = ln.Close()
	served.Wait()
	_ = h.Close()
}
