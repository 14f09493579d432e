package conformance

import (
	"bytes"
	"context"
	"errors"
	"net"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

// lossRules are about connections that end without a goodbye.
var lossRules = []Rule{
	{
		Name:   "PeerReset",
		Text:   "A peer that vanished with a reset ends a blocked Recv, and Send, at once.",
		direct: "the connection goes on when the other end has lost its own",
		check:  checkPeerReset,
	},
	{
		Name: "CutMidFrame",
		Text: "A connection that is cut in the middle of a frame ends Recv with an error; a part is never a " +
			"message.",
		needs: needsStream,
		check: checkCutMidFrame,
	},
	{
		Name: "BrokenRules",
		Text: "A peer that breaks the wire's rules ends the connection, and Recv says so with ErrProtocol or " +
			"ErrTooLarge.",
		needs: needsStream,
		check: checkBrokenRules,
	},
}

func checkPeerReset(r *rig) {
	if r.h.Transport == nil {
		r.skipf("the rule resets the byte stream, and the harness has no Transport")
	}
	for i := range 2 {
		o := r.h.options(nil)
		o.Client, o.Server = r.h.stream(r)
		streams := [2]net.Conn{o.Server, o.Client}
		client, server := r.pair(o)
		w := r.ways(client, server)[1-i] // from the end that will vanish
		in := r.inbox(w.to)
		r.quiet()
		start := time.Now()
		reset(streams[i])
		err := r.wantOver(in)
		if took := time.Since(start); took > time.Second {
			r.Errorf("%s: Recv took %v to see that the peer was gone", w.name, took)
		}
		if errors.Is(err, context.DeadlineExceeded) {
			r.Errorf("%s: Recv when the peer was gone: %v", w.name, err)
		}
		err = w.to.Send(r.soon(), &transport.Message{To: w.back})
		r.wantErr(w.name+": Send when Recv has seen that the peer is gone", err, transport.ErrClosed)
	}
}

func checkCutMidFrame(r *rig) {
	o := r.h.options(nil)
	a, b := mem.Pipe()
	sent := &tap{Conn: a}
	o.Client, o.Server = sent, b
	client, server := r.pair(o)
	r.works(way{name: "client to server", from: client, to: server})
	r.quiet() // until the tap has noted what has come
	before, _ := sent.state()
	r.send(client, &transport.Message{Subject: "cut", Body: pattern(100)})
	r.recv(server)
	r.quiet()
	after, _ := sent.state()
	frame := after[len(before):]
	for _, n := range []int{1, len(frame) / 3, len(frame) / 2, len(frame) - 60, len(frame) - 1} {
		r.cutAfter(before, frame[:n])
	}
}

// cutAfter plays a client's bytes to a server, then part of a frame, then the
// end.
func (r *rig) cutAfter(before, part []byte) {
	r.Helper()
	a, b := mem.Pipe()
	defer func() { _ = a.Close() }()
	o := r.h.options(shortLinger)
	received := make(chan int, 1)
	r.Go(func() {
		n := 0
		defer func() { received <- n }()
		server, err := shake(r.Context(), b, func() (transport.Conn, error) {
			return r.h.Transport.Server(r.Context(), b, o.Listen)
		})
		if err != nil {
			return
		}
		defer func() { _ = server.Close() }()
		for ; ; n++ {
			if _, err := server.Recv(r.Context()); err != nil {
				return
			}
		}
	})
	r.Go(func() {
		_, _ = a.Write(before)
		_, _ = a.Write(part)
		_ = a.(interface{ CloseWrite() error }).CloseWrite()
		_, _ = a.Read(make([]byte, 64<<10))
	})
	select {
	case n := <-received:
		if n > 1 {
			r.Errorf("%d bytes of a frame became a message", len(part))
		}
	case <-r.soon().Done():
		r.Fatalf("a connection cut after %d bytes of a frame did not end", len(part))
	}
}

func checkBrokenRules(r *rig) {
	for i := range 2 {
		for _, junk := range [][]byte{bytes.Repeat([]byte{0xff}, 100), []byte("what is this?\n\n\x00")} {
			o := r.h.options(shortLinger)
			a, b := mem.Pipe()
			o.Client, o.Server = a, b
			client, server := r.pair(o)
			w := r.ways(client, server)[i]
			in := r.inbox(w.to)
			r.inbox(w.from)
			nc := [2]net.Conn{a, b}[i]
			_ = nc.SetWriteDeadline(time.Time{}) // the wire has left one
			if _, err := nc.Write(junk); err != nil {
				r.Fatalf("%v", err)
			}
			err := r.wantOver(in)
			if !errors.Is(err, transport.ErrProtocol) && !errors.Is(err, transport.ErrTooLarge) {
				r.Errorf("%s: Recv of %.20q: err = %v, want ErrProtocol or ErrTooLarge", w.name, junk, err)
			}
		}
	}
}
