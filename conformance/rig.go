package conformance

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/transport"
)

// A rig is the test of one rule, with the tools that rules share.
type rig struct {
	TB
	h       *Harness
	name    string // that nothing else has
	rule    string // the name of the rule
	virtual bool   // in a bubble
	skipped string
	group   sync.WaitGroup // the goroutines of the rule
	others  goroutines     // those that were there before
}

func newRig(t TB, h *Harness, virtual bool) *rig {
	return &rig{TB: t, h: h, name: rand.Text(), virtual: virtual}
}

// run tests the rule and, when all is closed again, whether anything is left.
func (r *rig) run(rule Rule) {
	r.Helper()
	r.rule = rule.Name
	r.others = countGoroutines(r.virtual)
	r.Cleanup(r.checkLeft)
	rule.check(r)
}

// checkLeft fails the rule if it leaves goroutines behind.
func (r *rig) checkLeft() {
	ctx, cancel := context.WithTimeout(context.Background(), r.patience())
	defer cancel()
	if !finishes(ctx, r.group.Wait) {
		r.Errorf("after everything was closed a Send or Recv has not returned")
	}
	if left := r.others.left(ctx); left != "" {
		r.Errorf("goroutines are left after everything was closed:\n%s", left)
		if r.virtual { // a bubble cannot end before they do
			ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
			defer cancel()
			r.others.left(ctx)
		}
	}
}

// finishes reports whether f returns before ctx ends.
func finishes(ctx context.Context, f func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

// skipf ends the rule because it does not apply.
func (r *rig) skipf(format string, args ...any) {
	why := fmt.Sprintf(format, args...)
	if !r.virtual {
		r.Skip(why)
	}
	r.skipped = why // for the test outside the bubble
	r.SkipNow()
}

// Go runs f on a goroutine that ends with the rule. f must not call Fatalf.
func (r *rig) Go(f func()) { r.group.Go(f) }

// within returns a context that ends after d.
func (r *rig) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(r.Context(), d)
	r.Cleanup(cancel)
	return ctx
}

// patience is how long the rule waits for what must happen.
func (r *rig) patience() time.Duration { return r.h.patience() }

// soon is the context of what a sound wire does at once.
func (r *rig) soon() context.Context { return r.within(r.patience()) }

// sleep waits for d.
func (r *rig) sleep(d time.Duration) { <-r.within(d).Done() }

// quiet waits until nothing moves any more: what has not happened by then
// waits for the rule to do something.
func (r *rig) quiet() {
	if r.virtual {
		synctest.Wait()
		return
	}
	r.sleep(50 * time.Millisecond)
}

// ended returns a context that has ended.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// pair connects two ends, which are closed when the rule is over.
func (r *rig) pair(o PairOptions) (client, server transport.Conn) {
	r.Helper()
	client, server, err := r.h.pair(r, o)
	if err != nil {
		r.Fatalf("cannot connect: %v", err)
	}
	r.Cleanup(func() { r.closeAll(client, server) })
	r.keepStep(client)
	r.keepFeed(client)
	return client, server
}

// connect is pair with the harness's options changed by change.
func (r *rig) connect(change func(*transport.Options)) (client, server transport.Conn) {
	r.Helper()
	return r.pair(r.h.options(change))
}

// closeAll closes connections at the same time, since each waits for its peer.
func (r *rig) closeAll(conns ...transport.Conn) {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), r.patience())
	defer cancel()
	var closed sync.WaitGroup
	for _, c := range conns {
		closed.Go(func() { _ = c.Close() })
	}
	if !finishes(ctx, closed.Wait) {
		r.Errorf("Close has not returned after %v", r.patience())
	}
}

// A way is one direction of a pair.
type way struct {
	name     string // "client to server"
	from, to transport.Conn
	dest     string // the To of messages that way
	back     string // the To of messages the other way
}

// ways returns both directions of a pair, or the only one of a feed.
func (r *rig) ways(client, server transport.Conn) []way {
	r.Helper()
	if client.Info().Feed {
		return []way{r.listening(client, server)}
	}
	dest := r.route(client, server)
	return []way{
		{name: "client to server", from: client, to: server, back: dest},
		{name: "server to client", from: server, to: client, dest: dest},
	}
}

// route returns the To by which the server's messages reach the client, as a
// server learns it: from the ReplyTo of a request.
func (r *rig) route(client, server transport.Conn) string {
	r.Helper()
	m := &transport.Message{Body: []byte("where are you?"), ReplyTo: r.replyAddress(client)}
	r.send(client, m)
	to := r.recv(server).ReplyTo
	if client.Info().Lockstep { // or nothing else could be sent
		r.send(server, &transport.Message{To: to})
		r.recv(client)
	}
	return to
}

// replyAddress returns a ReplyTo that works for messages of c.
func (r *rig) replyAddress(c transport.Conn) string {
	r.Helper()
	a, ok := transport.As[transport.ReplyAddresser](c)
	if !ok {
		return ""
	}
	addr, err := a.ReplyAddress(r.soon())
	if err != nil {
		r.Fatalf("ReplyAddress: %v", err)
	}
	return addr
}

// send sends m, which must work.
func (r *rig) send(c transport.Conn, m *transport.Message) {
	r.Helper()
	if err := c.Send(r.soon(), m); err != nil {
		r.Fatalf("Send: %v", err)
	}
}

// text sends a message with a text as its body.
func (w way) text(ctx context.Context, body string) error {
	return w.from.Send(ctx, &transport.Message{To: w.dest, Body: []byte(body)})
}

// recv receives a message, which must come.
func (r *rig) recv(c transport.Conn) *transport.Message {
	r.Helper()
	m, err := c.Recv(r.soon())
	if err != nil {
		r.Fatalf("Recv: %v", err)
	}
	return m
}

// wantText receives a message, which must have this body.
func (r *rig) wantText(c transport.Conn, body string) *transport.Message {
	r.Helper()
	m := r.recv(c)
	if string(m.Body) != body {
		r.Fatalf("Recv: body = %s, want %q", brief(m.Body), body)
	}
	return m
}

// works checks that a message still gets through each way.
func (r *rig) works(ways ...way) {
	r.Helper()
	for _, w := range ways {
		if err := w.text(r.soon(), "still there?"); err != nil {
			r.Fatalf("%s: the connection is no longer usable: Send: %v", w.name, err)
		}
		r.wantText(w.to, "still there?")
	}
}

// ability returns the T that c is, or skips the rule.
func ability[T any](r *rig, c transport.Conn, end, name string) T {
	r.Helper()
	t, ok := transport.As[T](c)
	if !ok {
		r.skipf("the %s's end does not declare to be a %s", end, name)
	}
	return t
}

// wantErr checks the error of something that was refused before it was sent.
func (r *rig) wantErr(what string, err, kind error) {
	r.Helper()
	if !errors.Is(err, kind) {
		r.Errorf("%s: err = %v, want one that wraps %q", what, err, kind)
	}
	if !transport.NotSent(err) {
		r.Errorf("%s: NotSent(%v) = false, want true", what, err)
	}
}

// brief shows a body that may be long.
func brief(b []byte) string {
	if len(b) <= 64 {
		return fmt.Sprintf("%q", b)
	}
	return fmt.Sprintf("%q… (%d bytes)", b[:64], len(b))
}

// pattern returns n bytes that differ everywhere, so that lost, doubled and
// exchanged parts show. It has every byte value.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i) ^ byte(i>>8) ^ byte(i>>16)*31
	}
	return b
}

// sameBody says how got differs from want, or "".
func sameBody(got, want []byte) string {
	if bytes.Equal(got, want) {
		return ""
	}
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	return fmt.Sprintf("the body differs from byte %d on: got %d bytes %s, want %d bytes %s",
		i, len(got), brief(got[i:]), len(want), brief(want[i:]))
}
