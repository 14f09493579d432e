package mem_test

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/polyport/polyport/transport/mem"
)

// The same work over this package's pipe and the standard library's.
var pipes = []struct {
	name string
	make func() (net.Conn, net.Conn)
}{
	{"mem", mem.Pipe},
	{"net", net.Pipe},
}

// BenchmarkPingPong sends 64 bytes there and back, an operation a round trip.
func BenchmarkPingPong(b *testing.B) {
	for _, p := range pipes {
		b.Run(p.name, func(b *testing.B) {
			near, far := p.make()
			var echo sync.WaitGroup
			echo.Go(func() {
				buf := make([]byte, 64)
				for {
					if _, err := io.ReadFull(far, buf); err != nil {
						return
					}
					far.Write(buf)
				}
			})
			buf := make([]byte, 64)
			b.ReportAllocs()
			for b.Loop() {
				near.Write(buf)
				io.ReadFull(near, buf)
			}
			near.Close()
			echo.Wait()
		})
	}
}

// BenchmarkStream sends one way, 64 KiB an operation, to a reader of 32 KiB.
func BenchmarkStream(b *testing.B) {
	for _, p := range pipes {
		b.Run(p.name, func(b *testing.B) {
			near, far := p.make()
			var drain sync.WaitGroup
			drain.Go(func() { io.CopyBuffer(onlyWriter{io.Discard}, far, make([]byte, 32<<10)) })
			buf := make([]byte, 64<<10)
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				near.Write(buf)
			}
			near.Close()
			drain.Wait()
		})
	}
}

// BenchmarkSmallWrites sends one way, 64 bytes an operation.
func BenchmarkSmallWrites(b *testing.B) {
	for _, p := range pipes {
		b.Run(p.name, func(b *testing.B) {
			near, far := p.make()
			var drain sync.WaitGroup
			drain.Go(func() { io.CopyBuffer(onlyWriter{io.Discard}, far, make([]byte, 4<<10)) })
			buf := make([]byte, 64)
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				near.Write(buf)
			}
			near.Close()
			drain.Wait()
		})
	}
}

// BenchmarkOpenClose makes a pair and closes it.
func BenchmarkOpenClose(b *testing.B) {
	for _, p := range pipes {
		b.Run(p.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				near, far := p.make()
				near.Close()
				far.Close()
			}
		})
	}
}

// onlyWriter hides io.Discard's own way of copying.
type onlyWriter struct{ io.Writer }
