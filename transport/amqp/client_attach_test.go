package amqp_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/polyport/polyport/transport"
)

// TestAttachRefused: who attaches while the server ends the connection is told the
// server's reason, at whatever moment that comes.
func TestAttachRefused(t *testing.T) {
	reason := composite(0x1d, "\xa3\x18amqp:unauthorized-access", str("a client certificate is required"))
	for _, tt := range []struct {
		name string
		say  func(*fake)
	}{
		{"before the session", func(f *fake) { f.expect("begin") }},
		{"before the link", func(f *fake) {
			f.expect("begin")
			f.write(frame(0, 0, performative(0x11, "\x60\x00\x00", "\x43", "\x70\x00\x00\xff\xff", "\x70\x00\x00\xff\xff")))
			f.expect("attach")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, f := dialFake(t, nil)
			go func() {
				tt.say(f)
				f.write(frame(0, 0, performative(0x18, reason)))
				_ = f.nc.Close()
			}()
			_, err := c.(transport.Subscriber).Subscribe(t.Context(), transport.Subscription{Destination: "calc"})
			if !errors.Is(err, transport.ErrRefused) || !strings.Contains(err.Error(), "certificate is required") {
				t.Errorf("Subscribe = %v, want the server's reason", err)
			}
		})
	}
}
