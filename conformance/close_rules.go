package conformance

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

// closeRules are about Close, by either side.
var closeRules = []Rule{
	{
		Name:  "CloseUnblocksRecv",
		Text:  "Close makes a blocked Recv return an error that wraps ErrClosed.",
		check: checkCloseUnblocksRecv,
	},
	{
		Name:  "CloseUnblocksSend",
		Text:  "Close makes a blocked Send return an error that wraps ErrClosed.",
		needs: needsStream,
		check: checkCloseUnblocksSend,
	},
	{
		Name:  "CloseAgain",
		Text:  "Close may be called from anywhere, any number of times.",
		check: checkCloseAgain,
	},
	{
		Name:  "CloseHandsOver",
		Text:  "Close hands over what Send accepted.",
		check: checkCloseHandsOver,
	},
	{
		Name:  "CloseWithinLinger",
		Text:  "Close takes no longer than the linger time, whatever the peer does.",
		needs: needsBubble,
		check: checkCloseWithinLinger,
	},
	{
		Name:  "CloseEndsStream",
		Text:  "A Conn owns its byte stream: Close closes it.",
		needs: needsStream,
		check: checkCloseEndsStream,
	},
	{
		Name:  "AfterClose",
		Text:  "After Close, Send and Recv return ErrClosed, and nothing is sent.",
		check: checkAfterClose,
	},
	{
		Name:   "PeerClosed",
		Text:   "When the peer has closed, Recv returns what was sent before and then ErrClosed, at once.",
		direct: "the connection goes on when the other end has closed its own",
		check:  checkPeerClosed,
	},
	{
		Name:   "SendToClosedPeer",
		Text:   "When the peer has closed, Send comes to return ErrClosed.",
		direct: "what is sent to one who has gone is kept or dropped",
		check:  checkSendToClosedPeer,
	},
}

// linger is for rules that would wait for it in real time.
const linger = 100 * time.Millisecond

func shortLinger(o *transport.Options) { o.Linger = linger }

// wantClosed checks an error that Close, by either side, is the reason for.
func (r *rig) wantClosed(what string, err error) {
	r.Helper()
	if !errors.Is(err, transport.ErrClosed) {
		r.Errorf("%s: err = %v, want one that wraps %q", what, err, transport.ErrClosed)
	}
}

// close closes c, which must work in time.
func (r *rig) close(c transport.Conn) {
	r.Helper()
	if !finishes(r.soon(), func() {
		if err := c.Close(); err != nil {
			r.Errorf("Close: %v", err)
		}
	}) {
		r.Fatalf("Close has not returned after %v", r.patience())
	}
}

func checkCloseUnblocksRecv(r *rig) {
	for i := range 2 {
		client, server := r.connect(shortLinger)
		c := [2]transport.Conn{server, client}[i]
		in := r.inbox(c)
		r.quiet()
		r.close(c)
		r.wantClosed("Recv when Close was called", r.wantOver(in))
	}
}

func checkCloseUnblocksSend(r *rig) {
	for i := range 2 {
		o := r.h.options(func(o *transport.Options) { o.SendBuffer, o.Linger = smallBuffer, linger })
		o.Client, o.Server = mem.PipeSize(smallPipe)
		w := r.ways(r.pair(o))[i]
		n := r.fill(w)
		const blocked = 3
		sent := make(chan error, blocked)
		for range blocked {
			r.Go(func() { sent <- w.from.Send(context.Background(), w.numbered(n)) })
		}
		r.quiet()
		r.close(w.from)
		for range blocked {
			select {
			case err := <-sent:
				r.wantErr(w.name+": Send that waited for room when Close was called", err, transport.ErrClosed)
			case <-r.soon().Done():
				r.Fatalf("%s: Close did not unblock Send", w.name)
			}
		}
	}
}

func checkCloseAgain(r *rig) {
	for i := range 2 {
		client, server := r.connect(shortLinger)
		w := r.ways(client, server)[i]
		in, peer := r.inbox(w.to), r.inbox(w.from)
		var busy sync.WaitGroup
		for range 4 {
			busy.Go(func() { r.closeEarly(w) })
		}
		if !finishes(r.soon(), busy.Wait) {
			r.Fatalf("%s: Send or Close does not return while others Close", w.name)
		}
		r.close(w.from)
		r.close(w.to)
		r.close(w.to)
		r.wantClosed("Recv", r.wantOver(in))
		r.wantClosed("Recv", r.wantOver(peer))
	}
}

// closeEarly closes while it, and others, send.
func (r *rig) closeEarly(w way) {
	for range 20 {
		if err := w.text(context.Background(), "x"); err != nil {
			r.wantErr("Send while others Close", err, transport.ErrClosed)
			break
		}
	}
	if err := w.from.Close(); err != nil {
		r.Errorf("Close while others Close: %v", err)
	}
}

func checkCloseHandsOver(r *rig) {
	for i := range 2 {
		client, server := r.connect(nil)
		w := r.ways(client, server)[i]
		in := r.inbox(w.to)
		r.sendMany(w)
		r.close(w.from)
		r.handedOver(w, in)
	}
	if r.h.Transport == nil {
		return
	}
	for i := range 2 { // once more with a stream that holds the least part of it
		o := r.h.options(nil)
		o.Client, o.Server = mem.PipeSize(smallPipe)
		w := r.ways(r.pair(o))[i]
		r.sendMany(w)
		r.Go(func() { _ = w.from.Close() })
		r.quiet()
		r.handedOver(w, r.inbox(w.to))
	}
}

func (r *rig) sendMany(w way) {
	r.Helper()
	for n := range many {
		r.send(w.from, &transport.Message{To: w.dest, Body: fmt.Append(nil, n)})
	}
}

// handedOver checks that all of sendMany arrives, and then the end.
func (r *rig) handedOver(w way, in *inbox) {
	r.Helper()
	for n := range many {
		m, err := r.nextOrOver(in)
		if err != nil {
			r.Fatalf("%s: %d of %d messages sent before Close have come, then Recv: %v", w.name, n, many, err)
		}
		if string(m.Body) != strconv.Itoa(n) {
			r.Fatalf("%s: message %d of %d before Close is %s", w.name, n, many, brief(m.Body))
		}
	}
	if r.h.Broker == nil {
		r.wantClosed(w.name+": Recv after the last message", r.wantOver(in))
	}
}

func checkCloseWithinLinger(r *rig) {
	for i := range 2 {
		for _, receiving := range []bool{false, true} {
			_, _, ways := r.narrow()
			w := ways[i]
			r.fill(w)
			if receiving {
				r.inbox(w.from)
				r.quiet()
			}
			r.closesInTime(w.from, w.name+", to a peer that does not read")
		}
	}
	// Whoever receives may have something to say to a peer that does not read.
	client, server, ways := r.narrow()
	r.inbox(server)
	if by, ok := transport.As[transport.Confirmer](client); ok {
		for i := range 1000 {
			if by.SendConfirmed(r.within(full), ways[0].numbered(i), func(error) {}) != nil {
				break
			}
		}
		r.closesInTime(server, "to a peer that does not read its confirmations")
	}
}

// closesInTime checks how long Close takes.
func (r *rig) closesInTime(c transport.Conn, what string) {
	r.Helper()
	const most, grace = time.Second, 10 * time.Millisecond
	start := time.Now()
	r.close(c)
	if took := time.Since(start); took > most+grace {
		r.Errorf("%s: Close took %v, want at most the linger time, %v", what, took, most)
	}
}

func checkCloseEndsStream(r *rig) {
	for i := range 2 {
		o := r.h.options(shortLinger)
		a, b := mem.Pipe()
		taps := [2]*tap{{Conn: a}, {Conn: b}}
		o.Client, o.Server = taps[0], taps[1]
		client, server := r.pair(o)
		conns := [2]transport.Conn{client, server}
		in := r.inbox(conns[1-i])
		r.close(conns[i])
		if _, closed := taps[i].state(); !closed {
			r.Errorf("Close of the %s's end has not closed its byte stream", [2]string{"client", "server"}[i])
		}
		_ = r.wantOver(in)
	}
}

func checkAfterClose(r *rig) {
	for i := range 2 {
		client, server := r.connect(shortLinger)
		w := r.ways(client, server)[i]
		in := r.inbox(w.to)
		r.close(w.from)
		r.wantErr(w.name+": Send after Close", w.text(r.soon(), "too late"), transport.ErrClosed)
		_, err := r.recvIn(context.Background(), w.from)
		r.wantClosed("Recv after Close", err)
		if r.h.Broker == nil {
			_ = r.wantOver(in)
		} else {
			r.quiet()
		}
		r.none(in, "though it was sent after Close")
	}
}

func checkPeerClosed(r *rig) {
	for i := range 2 {
		client, server := r.connect(nil)
		w := r.ways(client, server)[i]
		r.send(w.from, &transport.Message{To: w.dest, Body: []byte("the last words")})
		r.Go(func() { _ = w.from.Close() })
		r.wantText(w.to, "the last words")
		start := time.Now()
		_, err := r.recvIn(context.Background(), w.to)
		r.wantClosed(w.name+": Recv when the peer has closed", err)
		if took := time.Since(start); took > time.Second {
			r.Errorf("%s: Recv took %v to see that the peer has closed", w.name, took)
		}
		_, err = r.recvIn(context.Background(), w.to)
		r.wantClosed(w.name+": Recv once more when the peer has closed", err)
		r.wantErr(w.name+": Send when Recv has seen that the peer has closed",
			w.to.Send(r.soon(), &transport.Message{To: w.back}), transport.ErrClosed)
	}
}

func checkSendToClosedPeer(r *rig) {
	for i := range 2 {
		client, server := r.connect(shortLinger)
		w := r.ways(client, server)[i]
		r.close(w.to)
		until := r.soon()
		for until.Err() == nil {
			err := w.from.Send(until, &transport.Message{To: w.dest, Body: pattern(chunk)})
			if err != nil {
				r.wantClosed(w.name+": Send to a peer that has closed", err)
				return
			}
			r.sleep(time.Millisecond)
		}
		r.Fatalf("%s: Send to a peer that has closed goes on and on", w.name)
	}
}
