package transport_test

import (
	"context"
	"testing"
	"time"

	"github.com/polyport/polyport/transport"
)

// discard is a net.Conn that keeps nothing, so that nothing but the Writer
// allocates.
type discard struct{ fakeConn }

func (*discard) Write(p []byte) (int, error) { return len(p), nil }

// spin waits on the processor, for the Writer to see a pause.
func spin(d time.Duration) {
	for start := time.Now(); time.Since(start) < d; {
		continue
	}
}

func TestWriterAllocatesNothing(t *testing.T) {
	enc := text("a message of usual length, which fits into the first buffer")
	tests := []struct {
		name string
		send func(context.Context, *transport.Writer) error
	}{
		{"inline", func(ctx context.Context, w *transport.Writer) error {
			spin(20 * time.Microsecond)
			return w.Append(ctx, 60, enc)
		}},
		{"flusher", func(ctx context.Context, w *transport.Writer) error { return w.Append(ctx, 60, enc) }},
		{"control", func(_ context.Context, w *transport.Writer) error { return w.Control(enc) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx := t.Context()
			w := transport.NewWriter(&discard{}, 1<<20, stall, nil)
			allocs := testing.AllocsPerRun(2000, func() {
				if err := tt.send(ctx, w); err != nil {
					t.Errorf("send = %v, want nil", err)
				}
			})
			if allocs >= 1 {
				t.Errorf("a message costs %v allocations, want 0", allocs)
			}
			if err := w.Flush(ctx); err != nil {
				t.Errorf("Flush = %v, want nil", err)
			}
		})
	}
}

func BenchmarkWriter(b *testing.B) {
	message := make([]byte, 100)
	enc := func(dst []byte) []byte { return append(dst, message...) }
	b.Run("one sender", func(b *testing.B) {
		b.ReportAllocs()
		w := transport.NewWriter(&discard{}, 1<<20, stall, nil)
		for b.Loop() {
			_ = w.Append(b.Context(), len(message), enc)
		}
	})
	b.Run("many senders", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(32)
		w := transport.NewWriter(&discard{}, 1<<20, stall, nil)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				_ = w.Append(b.Context(), len(message), enc)
			}
		})
	})
}
