package conformance

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/polyport/polyport/transport"
)

// recvRules are about contexts of Recv.
var recvRules = []Rule{
	{
		Name: "RecvContext",
		Text: "When Recv's ctx ends first Recv returns ctx's error, nothing is lost, and the connection remains " +
			"usable.",
		check: checkRecvContext,
	},
	{
		Name:  "RecvContextMidFrame",
		Text:  "Nothing is lost when Recv's ctx ends in the middle of a frame.",
		needs: needsStream,
		check: checkRecvContextMidFrame,
	},
	{
		Name:  "RecvEndedContext",
		Text:  "Recv with a ctx that has ended returns, either a message that is there or ctx's error.",
		check: checkRecvEndedContext,
	},
}

func checkRecvContext(r *rig) {
	client, server := r.connect(nil)
	for _, w := range r.ways(client, server) {
		for range 3 {
			m, err := w.to.Recv(r.within(20 * time.Millisecond))
			if !errors.Is(err, context.DeadlineExceeded) {
				r.Fatalf("%s: Recv whose ctx timed out = %v, %v, want %v", w.name, m, err, context.DeadlineExceeded)
			}
		}
		if m, err := r.recvIn(r.cancelled(), w.to); !errors.Is(err, context.Canceled) {
			r.Fatalf("%s: Recv whose ctx was cancelled = %v, %v, want %v", w.name, m, err, context.Canceled)
		}
		r.works(w)
		r.racing(w)
	}
}

// recvIn receives with a ctx, and fails if that does not end it.
func (r *rig) recvIn(ctx context.Context, c transport.Conn) (*transport.Message, error) {
	r.Helper()
	type result struct {
		m   *transport.Message
		err error
	}
	done := make(chan result, 1)
	r.Go(func() {
		m, err := c.Recv(ctx)
		done <- result{m, err}
	})
	select {
	case got := <-done:
		return got.m, got.err
	case <-r.soon().Done():
		r.Fatalf("Recv did not return when its ctx had ended")
		return nil, nil
	}
}

// racing lets messages and the ends of contexts come at the same time.
func (r *rig) racing(w way) {
	r.Helper()
	const count = 100
	r.Go(func() {
		for i := range count {
			if err := w.text(context.Background(), strconv.Itoa(i)); err != nil {
				r.Errorf("%s: Send: %v", w.name, err)
				return
			}
			r.sleep(time.Millisecond)
		}
	})
	until := r.soon()
	for i := 0; i < count; {
		ctx, cancel := context.WithTimeout(until, time.Millisecond)
		m, err := w.to.Recv(ctx)
		cancel()
		switch {
		case err == nil:
			if want := strconv.Itoa(i); string(m.Body) != want {
				r.Fatalf("%s: with contexts that end all the time, message %d is %s, want %q", w.name, i, brief(m.Body), want)
			}
			i++
		case until.Err() != nil:
			r.Fatalf("%s: with contexts that end all the time, message %d has not come", w.name, i)
		case !errors.Is(err, context.DeadlineExceeded):
			r.Fatalf("%s: with contexts that end all the time, Recv: %v", w.name, err)
		}
	}
}

func checkRecvContextMidFrame(r *rig) {
	o := r.h.options(nil)
	// Every byte takes a while, so that contexts end at every place of a frame.
	o.Client, o.Server = r.faulty("read byte 0 slice 100us; write byte 0 slice 100us")
	client, server := r.pair(o)
	for _, w := range r.ways(client, server) {
		want := &transport.Message{To: w.dest, Subject: "sliced", Headers: []transport.Header{{Name: "a", Value: "b"}}, Body: pattern(300)}
		r.send(w.from, want)
		got := r.patiently(w, 150*time.Microsecond)
		for _, diff := range r.differences(got, want) {
			r.Errorf("%s: %s", w.name, diff)
		}
	}
}

// patiently receives with contexts that last for d only.
func (r *rig) patiently(w way, d time.Duration) *transport.Message {
	r.Helper()
	for until := r.soon(); until.Err() == nil; {
		ctx, cancel := context.WithTimeout(until, d)
		m, err := w.to.Recv(ctx)
		cancel()
		if err == nil {
			return m
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			r.Fatalf("%s: Recv whose ctx ended in the middle of a frame: %v", w.name, err)
		}
	}
	r.Fatalf("%s: the message has not come", w.name)
	return nil
}

func checkRecvEndedContext(r *rig) {
	client, server := r.connect(nil)
	for _, w := range r.ways(client, server) {
		if m, err := r.recvIn(ended(), w.to); !errors.Is(err, context.Canceled) {
			r.Errorf("%s: Recv with an ended ctx and no message = %v, %v, want %v", w.name, m, err, context.Canceled)
		}
		r.send(w.from, &transport.Message{To: w.dest, Body: []byte("x")})
		m, err := r.recvIn(ended(), w.to)
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				r.Errorf("%s: Recv with an ended ctx: err = %v, want %v", w.name, err, context.Canceled)
			}
			m = r.recv(w.to)
		}
		if string(m.Body) != "x" {
			r.Errorf("%s: Recv: body = %s, want %q", w.name, brief(m.Body), "x")
		}
	}
}
