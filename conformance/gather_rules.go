package conformance

import (
	"context"

	"github.com/polyport/polyport/transport"
)

// gatherRules are about the ability Gatherer.
var gatherRules = []Rule{
	{
		Name: "Gather",
		Text: "What a Conn holds back after Gather leaves, in order, when Recv has to wait for the peer, and when " +
			"Release or Flush is called or Close.",
		check: checkGather,
	},
}

func checkGather(r *rig) {
	for _, leave := range []struct {
		name string
		do   func(c transport.Conn)
	}{
		{"Release", func(c transport.Conn) {
			g, _ := transport.As[transport.Gatherer](c)
			g.Release()
		}},
		{"Recv waits", func(c transport.Conn) {
			ctx, cancel := context.WithCancel(r.Context())
			waiting := make(chan struct{})
			r.Go(func() {
				defer close(waiting)
				_, _ = c.Recv(ctx)
			})
			r.Cleanup(func() { cancel(); <-waiting })
		}},
		{"Flush", func(c transport.Conn) {
			if f, ok := transport.As[transport.Flusher](c); ok {
				_ = f.Flush(r.soon())
			} else {
				_ = c.Close()
			}
		}},
		{"Close", func(c transport.Conn) { r.Go(func() { _ = c.Close() }) }},
	} {
		for i := range 2 {
			ways := r.ways(r.pair(r.h.options(nil)))
			out, in := ways[i], ways[1-i]
			ability[transport.Gatherer](r, out.from, [2]string{"client", "server"}[i], "Gatherer").Gather()
			answers := r.inbox(out.to)
			for range 3 {
				r.send(in.from, &transport.Message{To: in.dest, Body: []byte("request")})
			}
			for n := range 3 {
				if _, err := out.from.Recv(r.soon()); err != nil {
					r.Fatalf("%s, %s: Recv: %v", out.name, leave.name, err)
				}
				r.send(out.from, &transport.Message{To: out.dest, Body: []byte{byte('0' + n)}})
			}
			leave.do(out.from)
			for n := range 3 {
				if m := r.next(answers); string(m.Body) != string(byte('0'+n)) {
					r.Fatalf("%s, %s: got %q as answer %d", out.name, leave.name, m.Body, n)
				}
			}
		}
	}
}
