package broker_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/transport"
)

func TestParseDestination(t *testing.T) {
	for _, c := range []struct {
		text, want string
		kind       broker.Kind
	}{
		{"/queue/calc", "/queue/calc", broker.Queue},
		{"/queues/calc", "/queue/calc", broker.Queue},
		{"/amq/queue/calc", "/queue/calc", broker.Queue},
		{"queue://calc", "/queue/calc", broker.Queue},
		{"/queue/a/b c.#", "/queue/a/b c.#", broker.Queue},
		{"/topic/news.sport", "/topic/news.sport", broker.Topic},
		{"/topics/news", "/topic/news", broker.Topic},
		{"topic://news", "/topic/news", broker.Topic},
		{"/exchange/amq.topic/news.#", "/topic/news.#", broker.Topic},
		{"/topic/news.>", "/topic/news.#", broker.Topic},
		{"/topic/>", "/topic/#", broker.Topic},
		{"/temp-queue/mine", "/temp-queue/mine", broker.Temporary},
		{"/reply-queue/X1", "/reply-queue/X1", broker.Reply},
		{"calc", "calc", broker.Any},
		{"rpc/calc", "rpc/calc", broker.Any},
		{"grüße", "grüße", broker.Any},
	} {
		d, err := broker.ParseDestination(c.text)
		if err != nil || d.Kind != c.kind || d.String() != c.want {
			t.Errorf("%q is %v %q, %v; want %v %q", c.text, d.Kind, d, err, c.kind, c.want)
		}
	}
}

func TestParseDestinationRefuses(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       error
	}{
		{"nothing", "", transport.ErrInvalid},
		{"no name", "/queue/", transport.ErrInvalid},
		{"unknown kind", "/fish/x", transport.ErrNoRoute},
		{"unknown exchange", "/exchange/other/x", transport.ErrNoRoute},
		{"unknown scheme", "fish://x", transport.ErrNoRoute},
		{"too long", "/queue/" + strings.Repeat("x", 256), transport.ErrInvalid},
		{"not UTF-8", "/queue/\xff", transport.ErrInvalid},
		{"control character", "/queue/a\nb", transport.ErrInvalid},
		{"C1 control character", "/queue/a\u0085b", transport.ErrInvalid},
		{"empty word", "/topic/a..b", transport.ErrInvalid},
		{"dot at the end", "/topic/a.", transport.ErrInvalid},
		{"half wild", "/topic/a*.b", transport.ErrInvalid},
		{"white space", "/topic/a b", transport.ErrInvalid},
	} {
		if d, err := broker.ParseDestination(c.text); !errors.Is(err, c.want) {
			t.Errorf("%s: %q is %v, %v; want %v", c.name, c.text, d, err, c.want)
		}
	}
}

// What the broker writes it reads as the same thing.
func FuzzParseDestination(f *testing.F) {
	for _, s := range []string{"/queue/x", "/topic/a.*.#", "topic://>", "x", "/temp-queue/1", "/reply-queue/Z", "\xff", "/exchange/amq.topic/#"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := broker.ParseDestination(text)
		if err != nil {
			if transport.Reason(err) == "" {
				t.Errorf("%q: an error without a reason: %v", text, err)
			}
			return
		}
		again, err := broker.ParseDestination(d.String())
		if err != nil || again != d {
			t.Errorf("%q is %#v, and %q is %#v, %v", text, d, d.String(), again, err)
		}
	})
}
