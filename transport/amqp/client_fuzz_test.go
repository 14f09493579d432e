package amqp_test

import (
	"testing"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp"
)

// FuzzMessage: no message makes the decoder panic, or take in more than the
// limits say.
func FuzzMessage(f *testing.F) {
	for _, seed := range []string{
		data("hello"), section(0x77, str("hello")), section(0x77, "\xa0\x05hello"),
		composite(0x70, "\x41", "\x50\x04", "\x52\x01", "\x42", "\x43") + data("x"),
		composite(0x73, "\x53\x07", "\xa0\x01u", str("to"), str("subject"), str("reply"), "\x98"+"0123456789abcdef", sym("text/plain"),
			"\x40", "\x83\x00\x00\x01\x00\x00\x00\x00\x00") + data("x"),
		section(0x74, dict(str("a"), str("b"), str("n"), "\x71\xff\xff\xff\xff")) + data("x"),
		section(0x78, dict("\xc0\x02\x01\x40", "\x40")),
		section(0x72, "\xf0\x00\x00\x00\x05\xff\xff\xff\xff\x40"),
		section(0x76, "\xd0\x00\x00\x00\x04\x00\x00\x00\x00"),
	} {
		f.Add([]byte(seed))
	}
	limits := transport.Limits{Message: 1 << 10, HeaderBytes: 1 << 10, Headers: 8}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := amqp.Decode(b, &limits)
		if err != nil {
			return
		}
		if len(m.Body) > limits.Message || len(m.Headers) > limits.Headers {
			t.Errorf("%d bytes and %d headers are over the limits", len(m.Body), len(m.Headers))
		}
	})
}
