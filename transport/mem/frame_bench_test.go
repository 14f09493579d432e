package mem_test

import (
	"testing"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

func BenchmarkMessageFrame(b *testing.B) {
	m := &transport.Message{
		To: "rpc", ReplyTo: "answers", ContentType: "application/json", CorrelationID: transport.TextID("12345"),
		Headers: []transport.Header{{Name: "traceparent", Value: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}},
		Body:    make([]byte, 100),
	}
	wire := mem.AppendMessage(nil, m, 0, false)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			wire = mem.AppendMessage(wire[:0], m, 0, false)
		}
	})
	b.Run("parse", func(b *testing.B) {
		f := mem.Frame{Kind: 4, Head: string(wire[8 : 8+mem.HeadOf(wire)]), Body: m.Body}
		b.ReportAllocs()
		for b.Loop() {
			if _, _, _, err := f.Parse(10); err != nil {
				b.Fatal(err)
			}
		}
	})
}
