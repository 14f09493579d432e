package conformance

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/faultconn"
	"github.com/polyport/polyport/transport/mem"
)

// slowRules are about peers that are there and do not get on.
var slowRules = []Rule{
	{
		Name:  "WriteStall",
		Text:  "A write that makes no progress for WriteStall ends the connection with ErrStalled.",
		needs: needsBubble,
		check: checkWriteStall,
	},
	{
		Name:  "SlowReader",
		Text:  "A peer that reads slowly is not one that does not read.",
		needs: needsBubble,
		check: checkSlowReader,
	},
	{
		Name: "SlowFrame",
		Text: "A frame that takes longer than FrameTimeout from its first byte to its last ends the connection with " +
			"ErrSlow.",
		needs: needsBubble,
		check: checkSlowFrame,
	},
	{
		Name:  "BusyReceiverMidFrame",
		Text:  "Time during which nobody receives does not count for FrameTimeout.",
		needs: needsBubble,
		check: checkBusyReceiverMidFrame,
	},
	{
		Name:  "SlowHandshake",
		Text:  "A peer that connects and does not shake hands is gone after HandshakeTimeout, and holds up nobody.",
		needs: needsBubble,
		check: checkSlowHandshake,
	},
}

func checkWriteStall(r *rig) {
	const stall = 30 * time.Second
	for i := range 2 {
		o := r.beating(-1, -1)
		o.Dial.WriteStall, o.Listen.WriteStall = stall, stall
		o.Dial.SendBuffer, o.Listen.SendBuffer = smallBuffer, smallBuffer
		o.Dial.Linger, o.Listen.Linger = linger, linger
		o.Client, o.Server = mem.PipeSize(smallPipe)
		w := r.ways(r.pair(o))[i]
		in := r.inbox(w.from)
		start := time.Now()
		r.fill(w)
		select {
		case <-in.over:
		case <-r.within(10 * stall).Done():
			r.Fatalf("%s: writes made no progress for %v, and the connection is still there", w.name, 10*stall)
		}
		took := time.Since(start)
		if !errors.Is(in.err, transport.ErrStalled) {
			r.Errorf("%s: Recv when writes made no progress: err = %v, want ErrStalled", w.name, in.err)
		}
		if took < stall || took > stall*5/4+2*time.Second { // fill itself waits for a second
			r.Errorf("%s: writes made no progress, and the connection ended after %v, want %v", w.name, took, stall)
		}
		if err := w.from.Send(r.soon(), w.numbered(0)); !transport.NotSent(err) {
			r.Errorf("%s: Send after ErrStalled: err = %v, want one that is NotSent", w.name, err)
		}
	}
}

func checkSlowReader(r *rig) {
	o := r.beating(-1, -1)
	o.Dial.WriteStall = 10 * time.Second
	o.Dial.SendBuffer = smallBuffer
	o.Listen.FrameTimeout = time.Hour
	a, b := mem.PipeSize(smallPipe)
	s, err := faultconn.Parse("read byte 0 bandwidth 10000")
	if err != nil {
		r.Fatalf("%v", err)
	}
	o.Client, o.Server = a, faultconn.Wrap(b, s)
	client, server := r.pair(o)
	in := r.inbox(server)
	body := pattern(600_000) // a minute's worth, and more than streams hold
	r.send(client, &transport.Message{Body: body})
	select {
	case m := <-in.msgs:
		if diff := sameBody(m.Body, body); diff != "" {
			r.Errorf("%s", diff)
		}
	case <-in.over:
		r.Errorf("a peer that reads slowly was given up: %v", in.err)
	case <-r.within(10 * time.Minute).Done():
		r.Errorf("a message to a peer that reads slowly has not come")
	}
}

// halfFrame connects two ends and lets all but the last bytes of a frame
// through to one of them. more lets the rest through.
func (r *rig) halfFrame(i int, o PairOptions) (w way, more func()) {
	r.Helper()
	a, b := mem.Pipe()
	gates := [2]*gate{newGate(a), newGate(b)}
	o.Client, o.Server = gates[0], gates[1]
	client, server := r.pair(o)
	w = r.ways(client, server)[i]
	r.quiet()
	gates[i].hold(40)
	r.send(w.from, &transport.Message{To: w.dest, Body: pattern(200)})
	r.quiet()
	return w, gates[i].open
}

func checkSlowFrame(r *rig) {
	const timeout = time.Minute
	for i := range 2 {
		o := r.beating(-1, -1)
		o.Dial.FrameTimeout, o.Listen.FrameTimeout = timeout, timeout
		o.Dial.Linger, o.Listen.Linger = linger, linger
		w, _ := r.halfFrame(i, o)
		start := time.Now()
		in := r.inbox(w.to)
		select {
		case <-in.over:
		case <-r.within(10 * timeout).Done():
			r.Fatalf("%s: half a frame has been there for %v, and the connection is still there", w.name, 10*timeout)
		}
		if !errors.Is(in.err, transport.ErrSlow) {
			r.Errorf("%s: Recv of half a frame: err = %v, want ErrSlow", w.name, in.err)
		}
		if took := time.Since(start); took != timeout {
			r.Errorf("%s: half a frame was given up after %v, want %v", w.name, took, timeout)
		}
	}
}

func checkBusyReceiverMidFrame(r *rig) {
	const timeout = time.Minute
	for i := range 2 {
		o := r.beating(-1, -1)
		o.Dial.FrameTimeout, o.Listen.FrameTimeout = timeout, timeout
		w, more := r.halfFrame(i, o)
		if _, err := w.to.Recv(r.within(time.Second)); !errors.Is(err, context.DeadlineExceeded) {
			r.Fatalf("%s: Recv of half a frame: %v", w.name, err)
		}
		more() // in time; the receiver is busy elsewhere
		r.sleep(10 * timeout)
		m, err := w.to.Recv(r.soon())
		if err != nil {
			r.Fatalf("%s: Recv of a frame that came in two parts, long ago: %v", w.name, err)
		}
		if diff := sameBody(m.Body, pattern(200)); diff != "" {
			r.Errorf("%s: %s", w.name, diff)
		}
	}
}

func checkSlowHandshake(r *rig) {
	const timeout = 5 * time.Second
	var network mem.Network
	ln, err := network.Listen("handshake")
	if err != nil {
		r.Fatalf("%v", err)
	}
	o := r.h.options(nil)
	o.Listen.HandshakeTimeout = timeout
	l := transport.NewListener(ln, r.h.Transport, o.Listen)
	r.Cleanup(func() { _ = l.Close() })
	var silent []net.Conn
	for _, opening := range []int{0, 1, 5} {
		nc, err := network.Dial(r.Context(), "handshake")
		if err != nil {
			r.Fatalf("%v", err)
		}
		r.Cleanup(func() { _ = nc.Close() })
		_, _ = nc.Write(r.opening()[:opening])
		silent = append(silent, nc)
	}
	r.greets(l, &network, o)
	start := time.Now()
	for _, nc := range silent {
		_ = nc.SetReadDeadline(start.Add(2 * timeout))
		if _, err := io.Copy(io.Discard, nc); errors.Is(err, os.ErrDeadlineExceeded) {
			r.Errorf("a peer that does not shake hands is still connected after %v, the limit is %v", 2*timeout, timeout)
		}
	}
}

// opening returns the first bytes that a client sends.
func (r *rig) opening() []byte {
	r.Helper()
	o := r.h.options(shortLinger)
	a, b := mem.Pipe()
	t := &tap{Conn: a}
	o.Client, o.Server = t, b
	client, server := r.pair(o)
	r.closeAll(client, server)
	written, _ := t.state()
	return written
}

// greets checks that a listener lets a client in at once.
func (r *rig) greets(l *transport.Listener, network *mem.Network, o PairOptions) {
	r.Helper()
	start := time.Now()
	nc, err := network.Dial(r.Context(), "handshake")
	if err != nil {
		r.Fatalf("%v", err)
	}
	o.Client = nc
	client, err := r.h.client(r.soon(), o)
	if err != nil {
		r.Fatalf("a client beside those that do not shake hands was not let in: %v", err)
	}
	server, err := l.Accept(r.soon())
	if err != nil {
		r.Fatalf("Accept: %v", err)
	}
	r.Cleanup(func() { r.closeAll(client, server) })
	r.works(r.ways(client, server)[0])
	if took := time.Since(start); took > time.Second {
		r.Errorf("beside peers that do not shake hands a client was let in after %v", took)
	}
}

// A gate is a net.Conn that can hold back the end of what is written.
type gate struct {
	net.Conn
	keep int // bytes to hold back; -1 when open
	held []byte
}

func newGate(nc net.Conn) *gate { return &gate{Conn: nc, keep: -1} }

// hold keeps the last n bytes of the next Write from the peer.
func (g *gate) hold(n int) { g.keep = n }

// open passes them on.
func (g *gate) open() {
	_ = g.Conn.SetWriteDeadline(time.Time{}) // the wire's last may have passed
	_, _ = g.Conn.Write(g.held)
}

func (g *gate) Write(p []byte) (int, error) {
	if g.keep < 0 {
		return g.Conn.Write(p)
	}
	n := max(0, len(p)-g.keep)
	g.held, g.keep = append(g.held, p[n:]...), -1
	if _, err := g.Conn.Write(p[:n]); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (g *gate) CloseWrite() error {
	if h, ok := g.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return nil
}
