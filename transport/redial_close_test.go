package transport_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/transport"
)

// checkClosed expects that r takes nothing more.
func checkClosed(t *testing.T, r transport.Conn) {
	t.Helper()
	checkErr(t, "Send", r.Send(t.Context(), line("late")), transport.ErrClosed, true)
	err := checkRecvErr(t, r, transport.ErrClosed)
	checkErr(t, "Recv", err, transport.ErrClosed, true)
	_, err = subscriber(t, r).Subscribe(t.Context(), transport.Subscription{})
	checkErr(t, "Subscribe", err, transport.ErrClosed, true)
	if err := r.Close(); err != nil {
		t.Errorf("Close again = %v, want nil", err)
	}
}

func TestRedialCloseWhileConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newStub("a")
		r := (&dialer{conns: []transport.Conn{a}}).redial(t, transport.RedialOptions{})
		var receiver sync.WaitGroup
		receiver.Go(func() { checkRecvErr(t, r, transport.ErrClosed) })
		synctest.Wait()
		if err := r.Close(); err != nil {
			t.Errorf("Close = %v, want nil", err)
		}
		receiver.Wait()
		if !a.closed() {
			t.Error("the connection was not closed")
		}
		checkClosed(t, r)
	})
}

func TestRedialCloseInOutage(t *testing.T) {
	late := newStub("late")
	tests := []struct {
		name string
		dial func(ctx context.Context) (transport.Conn, error) // after the loss
	}{
		{"dialing", func(ctx context.Context) (transport.Conn, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}},
		{"backing off", func(context.Context) (transport.Conn, error) { return nil, errDown }},
		{"dialing that succeeds nevertheless", func(ctx context.Context) (transport.Conn, error) {
			<-ctx.Done()
			return late, nil
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newStub("a")
				dialed := false
				r, err := transport.Redial(t.Context(), "pipe://stub", &transport.RedialOptions{
					First: time.Hour, Most: time.Hour,
					Dial: func(ctx context.Context) (transport.Conn, error) {
						if !dialed {
							dialed = true
							return a, nil
						}
						return tt.dial(ctx)
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				a.lose(transport.ErrClosed)
				checkLost(t, r)
				var users sync.WaitGroup
				users.Go(func() { checkRecvErr(t, r, transport.ErrClosed) })
				users.Go(func() { checkErr(t, "Send", r.Send(t.Context(), line("x")), transport.ErrClosed, true) })
				users.Go(func() {
					_, err := subscriber(t, r).Subscribe(t.Context(), transport.Subscription{})
					checkErr(t, "Subscribe", err, transport.ErrClosed, true)
				})
				time.Sleep(time.Minute)
				start := time.Now()
				if err := r.Close(); err != nil {
					t.Errorf("Close = %v, want nil", err)
				}
				users.Wait()
				checkTook(t, "Close", start, 0)
				checkClosed(t, r)
			})
		})
	}
	if !late.closed() {
		t.Error("a connection that was dialed when all was closed was not closed")
	}
}

// A sender may find the connection dead before the receiver does.
func TestRedialCloseAfterSendFoundTheLoss(t *testing.T) {
	a := newStub("a")
	r := (&dialer{conns: []transport.Conn{a}}).redial(t, transport.RedialOptions{})
	a.lose(transport.ErrClosed)
	checkErr(t, "Send", r.Send(ended(t), line("x")), transport.ErrBusy, true)
	r.Close()
	if !a.closed() {
		t.Error("the connection was not closed")
	}
	checkClosed(t, r)
}

func TestRedialCloseWhileRenewing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newStub("a"), newStub("b")
		d := &dialer{conns: []transport.Conn{a, slowSubscriber{b}}}
		r := d.redial(t, transport.RedialOptions{})
		subscribe(t, r, transport.Subscription{ID: "x"}, "x")
		a.lose(transport.ErrClosed)
		checkLost(t, r)
		background(t, func() {
			time.Sleep(time.Second / 2)
			r.Close()
		})
		checkRecvErr(t, r, transport.ErrClosed)
		if !b.closed() {
			t.Error("the new connection was not closed")
		}
	})
}
