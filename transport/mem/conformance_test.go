package mem_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/transport/mem"
)

func TestConformance(t *testing.T) {
	h := conformance.Harness{Transport: mem.Transport{}, URL: "mem://conformance", Hostile: hostile()}
	t.Run("pipe", func(t *testing.T) { conformance.Run(t, h) })
	h.Stream = conformance.TCP
	t.Run("tcp", func(t *testing.T) { conformance.Run(t, h) })
}

// TestLockstepConformance: the same suite, with both ends in lock-step.
func TestLockstepConformance(t *testing.T) {
	h := conformance.Harness{Transport: mem.Transport{}, URL: "mem://conformance?socket=req", Hostile: hostile()}
	t.Run("pipe", func(t *testing.T) { conformance.Run(t, h) })
	h.Stream = conformance.TCP
	t.Run("tcp", func(t *testing.T) { conformance.Run(t, h) })
}

// TestFeedConformance: the same suite, with a client that only listens.
func TestFeedConformance(t *testing.T) {
	h := conformance.Harness{Transport: mem.Transport{}, URL: "mem://conformance?socket=sub", Hostile: hostile()}
	t.Run("pipe", func(t *testing.T) { conformance.Run(t, h) })
	h.Stream = conformance.TCP
	t.Run("tcp", func(t *testing.T) { conformance.Run(t, h) })
}

// hostile are openings that begin well.
func hostile() [][]byte {
	hello := mem.AppendHello(nil, 1)
	all := [][]byte{
		hello[:1], hello[:len(hello)-1], // and no more
		{1, 0xff, 0xff, 0xff, 0, 0, 0, 0},                                // a head of 16 MiB
		{1, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0},                          // a hello with a body of 4 GiB
		frame(1, mem.Text("polyport/mem"), strings.Repeat("\xff", 3000)), // numbers without end
	}
	for _, then := range [][]byte{
		{4, 0, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff},                            // a body of 2 GiB
		{4, 0xff, 0xff, 0xff, 0, 0, 0, 0},                                     // a head of 16 MiB
		{4, 0, 0, 1, 0, 0x10, 0, 0, 0},                                        // a body of 1 MiB that does not come
		frame(4, mem.Number(1<<12), mem.Number(1<<40)),                        // a tera of headers
		frame(4, mem.Number(1<<4), mem.Number(1<<62), "x"),                    // a text longer than anything
		frame(5, mem.Text("s"), mem.Text("d"), "\x02\x00", mem.Number(1<<63)), // as headers, of a subscription
		frame(7, mem.Number(1<<63), "\x00\x00"),                               // a settlement of what was not sent
		frame(8, mem.Text("s"), mem.Number(1<<63)),                            // a grant without end
	} {
		all = append(all, append(slices.Clip(hello), then...), append(mem.AppendSubHello(nil), then...))
	}
	return all
}
