package conformance

import (
	"context"
	"strconv"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

// sendRules are about what Send does when the peer does not keep up.
var sendRules = []Rule{
	{
		Name:  "SendWaitsForRoom",
		Text:  "If there is no room Send waits, and goes on when the peer reads; nothing is lost.",
		needs: needsStream,
		check: checkSendWaitsForRoom,
	},
	{
		Name: "SendContext",
		Text: "Send's ctx bounds the wait for room and nothing else: the message is not sent and the connection " +
			"remains usable.",
		needs: needsStream,
		check: checkSendContext,
	},
	{
		Name:  "SendEndedContext",
		Text:  "A ctx that has already ended means: send if there is room now.",
		needs: needsStream,
		check: checkSendEndedContext,
	},
	{
		Name:  "BoundedMemory",
		Text:  "Messages for a peer that does not read take up SendBuffer and no more.",
		needs: needsStream,
		check: checkBoundedMemory,
	},
	{
		Name:  "LargerThanBuffer",
		Text:  "A message larger than SendBuffer is taken when nothing else waits.",
		check: checkLargerThanBuffer,
	},
}

const (
	smallBuffer = 16 << 10 // for a SendBuffer that is soon full
	smallPipe   = 4 << 10  // for a byte stream that is soon full
	chunk       = 1 << 10  // a body to fill them with
	// full is how long a Send waits until its buffer counts as full.
	full = 100 * time.Millisecond
)

// narrow connects two ends of which neither takes in much that is not read.
func (r *rig) narrow() (client, server transport.Conn, ways []way) {
	r.Helper()
	o := r.h.options(func(o *transport.Options) { o.SendBuffer = smallBuffer })
	o.Client, o.Server = mem.PipeSize(smallPipe)
	client, server = r.pair(o)
	return client, server, r.ways(client, server)
}

// numbered is a message that fills a buffer and can be told from others.
func (w way) numbered(i int) *transport.Message {
	return &transport.Message{To: w.dest, Subject: strconv.Itoa(i), Body: pattern(chunk)}
}

// fill sends until there is no room, and returns how many messages were taken.
func (r *rig) fill(w way) int {
	r.Helper()
	for i := range 10 * (smallBuffer + smallPipe) / chunk {
		err := w.from.Send(r.within(full), w.numbered(i))
		if err != nil {
			r.wantErr(w.name+": Send without room", err, transport.ErrBusy)
			return i
		}
	}
	r.Fatalf("%s: the peer does not read, and yet Send has taken ten times what SendBuffer and stream hold", w.name)
	return 0
}

// drain receives the messages 0 to n-1 that fill has sent.
func (r *rig) drain(w way, in *inbox, n int) {
	r.Helper()
	for i := range n {
		m := r.next(in)
		if m.Subject != strconv.Itoa(i) {
			r.Fatalf("%s: got message %q, want %d of %d", w.name, m.Subject, i, n)
		}
		if diff := sameBody(m.Body, pattern(chunk)); diff != "" {
			r.Fatalf("%s: message %d: %s", w.name, i, diff)
		}
	}
}

func checkSendWaitsForRoom(r *rig) {
	for i := range 2 {
		_, _, ways := r.narrow()
		w := ways[i]
		n := r.fill(w)
		sent := make(chan error, 1)
		r.Go(func() { sent <- w.from.Send(context.Background(), w.numbered(n)) })
		r.quiet()
		select {
		case err := <-sent:
			r.Fatalf("%s: Send without room returned at once: %v", w.name, err)
		default:
		}
		in := r.inbox(w.to)
		r.drain(w, in, n+1)
		if err := <-sent; err != nil {
			r.Errorf("%s: Send that waited for room: %v", w.name, err)
		}
		r.nothingElse(w, in)
	}
}

func checkSendContext(r *rig) {
	for i := range 2 {
		_, _, ways := r.narrow()
		w := ways[i]
		n := r.fill(w)
		for name, ctx := range map[string]context.Context{"deadline": r.within(50 * time.Millisecond), "cancel": r.cancelled()} {
			done := make(chan error, 1)
			r.Go(func() { done <- w.from.Send(ctx, w.numbered(-1)) })
			select {
			case err := <-done:
				r.wantErr(w.name+": Send whose ctx ended by "+name, err, transport.ErrBusy)
				r.wantErr(w.name+": Send whose ctx ended by "+name, err, ctx.Err())
			case <-r.soon().Done():
				r.Fatalf("%s: Send did not return when its ctx ended by %s", w.name, name)
			}
		}
		in := r.inbox(w.to)
		r.drain(w, in, n)
		r.nothingElse(w, in) // neither the refused messages nor part of them
	}
}

// cancelled returns a context that is cancelled a little later.
func (r *rig) cancelled() context.Context {
	ctx, cancel := context.WithCancel(r.Context())
	r.Go(func() {
		r.sleep(50 * time.Millisecond)
		cancel()
	})
	return ctx
}

func checkSendEndedContext(r *rig) {
	for i := range 2 {
		_, _, ways := r.narrow()
		w := ways[i]
		if err := w.text(ended(), "with room"); err != nil {
			r.Errorf("%s: Send with an ended ctx and room: %v", w.name, err)
		}
		r.wantText(w.to, "with room")
		n := r.fill(w)
		start := time.Now()
		err := w.from.Send(ended(), w.numbered(-1))
		r.wantErr(w.name+": Send with an ended ctx and without room", err, transport.ErrBusy)
		if took := time.Since(start); took > time.Second {
			r.Errorf("%s: Send with an ended ctx waited for %v", w.name, took)
		}
		in := r.inbox(w.to)
		r.drain(w, in, n)
		r.nothingElse(w, in)
	}
}

func checkBoundedMemory(r *rig) {
	// Besides SendBuffer and the stream a writer may hold what it is writing.
	const bound = 2*smallBuffer + 2*smallPipe
	for i := range 2 {
		_, _, ways := r.narrow()
		w := ways[i]
		if n := r.fill(w); n*chunk > bound || n*chunk < smallBuffer/2 {
			r.Errorf("%s: for a peer that does not read Send has taken %d bytes, want about SendBuffer, %d", w.name, n*chunk, smallBuffer)
		}
	}
}

func checkLargerThanBuffer(r *rig) {
	client, server := r.connect(func(o *transport.Options) { o.SendBuffer = smallPipe })
	for _, w := range r.ways(client, server) {
		in := r.inbox(w.to)
		body := pattern(300 << 10)
		for range 3 {
			r.send(w.from, &transport.Message{To: w.dest, Body: body})
		}
		for range 3 {
			if diff := sameBody(r.next(in).Body, body); diff != "" {
				r.Errorf("%s: %s", w.name, diff)
			}
		}
	}
}
