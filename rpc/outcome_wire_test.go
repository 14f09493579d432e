package rpc_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// TestConnectionCut: when the connection breaks, every call in flight ends as
// unknown and every later one as not sent, on real wires as on a fake one.
func TestConnectionCut(t *testing.T) {
	onTransports(t, func(t *testing.T, tr transport.Transport) {
		g := newGate()
		d := &cuttable{tr: tr}
		ln, err := d.network.Listen("server")
		if err != nil {
			t.Fatal(err)
		}
		l := transport.NewListener(ln, tr, &transport.ListenOptions{Options: still()})
		srv := rpc.NewServer(gatedMux(g), nil)
		served := make(chan error, 1)
		go func() { served <- srv.Serve(t.Context(), l) }()
		conn, err := d.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c := rpc.NewClient(conn, nil)
		var fs []*queue.Future[any]
		for i := range 50 {
			fs = append(fs, rpc.Go[any](t.Context(), c, "Wait", []int{i}))
		}
		var b rpc.Batch
		for i := range 10 {
			fs = append(fs, rpc.Add[any](&b, "Wait", []int{i}))
		}
		done := make(chan error, 1)
		go func() { done <- c.Do(t.Context(), &b) }()
		g.await(t, 60)
		d.cut()
		for i, f := range fs {
			_, err := get(t, f)
			isOutcome(t, fmt.Sprintf("call %d in flight", i), err, rpc.Unknown)
			isErr(t, fmt.Sprintf("call %d in flight", i), err, transport.ErrClosed)
		}
		isOutcome(t, "Do()", within(t, done, "Do"), rpc.Unknown)
		within(t, c.Done(), "Done")
		for _, way := range waysToCall {
			err := way.call(t.Context(), c, nil)
			isOutcome(t, way.name+" after the end", err, rpc.NotSent)
			isErr(t, way.name+" after the end", err, transport.ErrClosed)
		}
		g.open()
		_ = c.Close()
		_ = l.Close()
		<-served
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown() = %v, want nil", err)
		}
	})
}

// TestNoRoom: a call to a peer that does not read waits for room, within its
// ctx, and was not sent if there is none. The connection is none the worse.
func TestNoRoom(t *testing.T) {
	onTransports(t, func(t *testing.T, tr transport.Transport) {
		o := still()
		o.SendBuffer = 4096
		l := byPipe(tr)(t, &transport.ListenOptions{Options: still()})
		conn, err := l.dial(t.Context(), &transport.DialOptions{Options: o})
		if err != nil {
			t.Fatal(err)
		}
		c := rpc.NewClient(conn, &rpc.ClientOptions{Plain: true})
		far, err := l.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		params := []string{strings.Repeat("x", 1000)}
		var unknown, notSent counter
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				err := c.Call(ctx, "m", params, nil)
				isErr(t, "Call()", err, context.DeadlineExceeded)
				switch rpc.OutcomeOf(err) {
				case rpc.Unknown:
					unknown.add(1)
				case rpc.NotSent:
					notSent.add(1)
					isErr(t, "Call()", err, transport.ErrBusy)
				}
			})
		}
		wg.Wait()
		if unknown.n() == 0 || notSent.n() == 0 || unknown.n()+notSent.n() != 200 {
			t.Errorf("%d calls unknown and %d not sent, want some of each and 200 in all", unknown.n(), notSent.n())
		}
		// What was sent arrives, and what was not does not.
		p := newPeer(t, far)
		for range unknown.n() {
			p.hearRequest()
		}
		f := rpc.Go[int](t.Context(), c, "last", nil)
		r := p.hearRequest()
		if r.Method != "last" {
			t.Errorf("heard %s, want last: no call that was not sent", r.Method)
		}
		p.answer(r, "5")
		isValue(t, "last", f, 5)
		go func() { _, _ = p.listen(time.Minute) }()
		_ = c.Close()
		_ = l.Close()
		synctest.Wait()
	})
}

// TestTooLargeRequest: what is over the limit of the connection is not sent.
func TestTooLargeRequest(t *testing.T) {
	onTransports(t, func(t *testing.T, tr transport.Transport) {
		o := still()
		o.Limits.Message = 1000
		h := serveOn(t, wire{"", byPipe(tr)}, &transport.ListenOptions{Options: o}, new(journal).mux(), nil)
		c := rpc.NewClient(h.conn(o), nil)
		defer c.Close()
		for _, way := range waysToCall {
			err := way.call(t.Context(), c, []string{strings.Repeat("x", 1000)})
			isOutcome(t, way.name, err, rpc.NotSent)
			isErr(t, way.name, err, transport.ErrTooLarge)
		}
		if got, err := rpc.Call[int](t.Context(), c, "sum", []int{1, 2}); err != nil || got != 3 {
			t.Errorf("sum = %d, %v, want 3, nil", got, err)
		}
	})
}
