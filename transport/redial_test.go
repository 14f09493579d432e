package transport_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/transport"
)

func TestRedialReconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stubs := []*stubConn{newStub("a"), newStub("b"), newStub("c")}
		d := &dialer{conns: []transport.Conn{stubs[0], stubs[1], nil, nil, stubs[2]}}
		r := d.redial(t, transport.RedialOptions{})
		for i, c := range stubs {
			go func() { c.in <- line("from " + c.name) }()
			checkRecv(t, r, "from "+c.name)
			if got := r.Info().Peer; got != c.name {
				t.Errorf("Info is that of %q, want %q", got, c.name)
			}
			if err := r.Send(t.Context(), line("to "+c.name)); err != nil {
				t.Errorf("Send = %v, want nil", err)
			}
			if i == len(stubs)-1 {
				break
			}
			c.lose([]error{transport.ErrClosed, transport.ErrProtocol}[i])
			checkLost(t, r)
			if !c.closed() {
				t.Errorf("connection %q was not closed when it was lost", c.name)
			}
			if got := r.Info().Peer; got != c.name {
				t.Errorf("Info in the outage is that of %q, want %q", got, c.name)
			}
		}
		for _, c := range stubs {
			if diff := cmp.Diff([]string{"to " + c.name}, c.done()); diff != "" {
				t.Errorf("connection %q was sent (-want +got):\n%s", c.name, diff)
			}
		}
	})
}

func TestRedialFirstAttempt(t *testing.T) {
	d := &dialer{}
	_, err := transport.Redial(t.Context(), "pipe://stub", &transport.RedialOptions{Dial: d.dial})
	if !errors.Is(err, errDown) || len(d.times) != 1 {
		t.Errorf("Redial = %v after %d attempts, want the error of the only one", err, len(d.times))
	}
	if _, err := transport.Redial(t.Context(), "nowhere", nil); err == nil || !strings.Contains(err.Error(), "not a URL") {
		t.Errorf("Redial(nowhere) = %v, want an error about the URL", err)
	}
}

// pauses loses a connection and returns the pauses between n attempts.
func pauses(t *testing.T, o transport.RedialOptions, n int) []time.Duration {
	t.Helper()
	var got []time.Duration
	synctest.Test(t, func(t *testing.T) {
		a, b := newStub("a"), newStub("b")
		d := &dialer{conns: append(slices.Insert(make([]transport.Conn, n), 0, transport.Conn(a)), b)}
		r := d.redial(t, o)
		a.lose(transport.ErrClosed)
		checkLost(t, r)
		start := time.Now()
		go func() { b.in <- line("hi") }()
		checkRecv(t, r, "hi")
		if first := d.times[1]; !first.Equal(start) {
			t.Errorf("first attempt %v after the loss, want at once", first.Sub(start))
		}
		for i := range n {
			got = append(got, d.times[i+2].Sub(d.times[i+1]))
		}
	})
	return got
}

func TestRedialBacksOff(t *testing.T) {
	tests := []struct {
		name        string
		o           transport.RedialOptions
		first, most time.Duration
	}{
		{"defaults", transport.RedialOptions{}, 100 * time.Millisecond, 10 * time.Second},
		{"own", transport.RedialOptions{First: time.Second, Most: 3 * time.Second}, time.Second, 3 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := pauses(t, tt.o, 30)
			middle := tt.first
			for i, pause := range got {
				if pause < middle/2 || pause > middle*3/2 {
					t.Errorf("pause %d = %v, want %v to %v", i, pause, middle/2, middle*3/2)
				}
				middle = min(middle*3/2, tt.most)
			}
			if again := pauses(t, tt.o, 30); slices.Equal(got, again) {
				t.Errorf("two outages had the same pauses: clients would come back all at once")
			}
		})
	}
}

// After a success the next outage begins with a short pause.
func TestRedialBacksOffAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c := newStub("a"), newStub("b"), newStub("c")
		d := &dialer{conns: append(append(slices.Insert(make([]transport.Conn, 20), 0, transport.Conn(a)), b), nil, c)}
		r := d.redial(t, transport.RedialOptions{})
		for _, s := range []*stubConn{a, b} {
			s.lose(transport.ErrClosed)
			checkLost(t, r)
			_, _ = r.Recv(contextFor(t, time.Hour))
		}
		if got, most := d.times[23].Sub(d.times[22]), 150*time.Millisecond; got > most {
			t.Errorf("first pause of the second outage = %v, want at most %v", got, most)
		}
	})
}

// contextFor returns a context that ends after d.
func contextFor(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestRedialGivesUp(t *testing.T) {
	const giveUp = time.Minute
	polls := map[string]time.Duration{"one Recv": time.Hour, "polled": 90 * time.Millisecond}
	for name, poll := range polls {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newStub("a")
				d := &dialer{conns: []transport.Conn{a}}
				r := d.redial(t, transport.RedialOptions{GiveUp: giveUp, Most: time.Second})
				a.lose(transport.ErrClosed)
				checkLost(t, r)
				start := time.Now()
				sent := make(chan error)
				go func() { sent <- r.Send(t.Context(), line("x")) }()
				var err error
				for err = context.DeadlineExceeded; errors.Is(err, context.DeadlineExceeded); {
					_, err = r.Recv(contextFor(t, poll))
				}
				checkErr(t, "Recv", err, transport.ErrClosed, true)
				if got, want := transport.Reason(err), "gave up reconnecting: "+errDown.Error(); got != want {
					t.Errorf("Reason(%v) = %q, want %q", err, got, want)
				}
				if took := time.Since(start); took < giveUp || took > giveUp+1500*time.Millisecond {
					t.Errorf("gave up after %v, want %v and one pause at most", took, giveUp)
				}
				if n := len(d.times); n < 30 || n > 200 {
					t.Errorf("%d attempts in %v, want some 70: the pauses hold for a polled Recv, too", n, giveUp)
				}
				checkErr(t, "Send that waited", <-sent, transport.ErrClosed, true)
				checkErr(t, "Send", r.Send(t.Context(), line("x")), transport.ErrClosed, true)
			})
		})
	}
}

func TestRedialSendWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newStub("a"), newStub("b")
		d := &dialer{conns: []transport.Conn{a, nil, nil, nil, b}}
		r := d.redial(t, transport.RedialOptions{})
		a.lose(transport.ErrClosed)
		checkLost(t, r)
		start := time.Now()
		err := r.Send(contextFor(t, time.Second), line("too impatient"))
		checkErr(t, "Send in an outage", err, transport.ErrBusy, true)
		if !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "\n") {
			t.Errorf("Send in an outage = %q, want one line that wraps the error of ctx", err)
		}
		checkTook(t, "Send", start, time.Second)
		checkErr(t, "Send with an ended ctx", r.Send(ended(t), line("x")), transport.ErrBusy, true)
		var senders sync.WaitGroup
		for _, m := range []string{"1", "2", "3"} {
			senders.Go(func() {
				if err := r.Send(t.Context(), line(m)); err != nil {
					t.Errorf("Send = %v, want nil", err)
				}
			})
		}
		background(t, func() { _, _ = r.Recv(t.Context()) })
		senders.Wait()
		if got := slices.Sorted(slices.Values(b.done())); !slices.Equal(got, []string{"1", "2", "3"}) {
			t.Errorf("the next connection was sent %v, want 1, 2 and 3 once each", got)
		}
		b.lose(transport.ErrClosed)
	})
}

// What provably was not sent because the connection was gone is sent by the
// next; anything else is for the caller to decide.
func TestRedialRetriesOnlyWhatWasNotSent(t *testing.T) {
	tests := []struct {
		name  string
		err   error // of Send on the first connection
		retry bool
	}{
		{"closed", &transport.OpError{Op: "send", Err: transport.ErrClosed}, true},
		{"silent", &transport.OpError{Op: "send", Err: transport.ErrHeartbeat}, true},
		{"stalled", &transport.OpError{Op: "send", Err: transport.ErrStalled}, true},
		{"maybe sent", &transport.OpError{Op: "send", MaybeSent: true, Err: transport.ErrClosed}, false},
		{"unknown", transport.ErrClosed, false},
		{"no route", &transport.OpError{Op: "send", Err: transport.ErrNoRoute}, false},
		{"too large", &transport.OpError{Op: "send", Err: transport.ErrTooLarge}, false},
		{"busy", &transport.OpError{Op: "send", Err: transport.ErrBusy}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := newStub("a"), newStub("b")
				a.sendErr = tt.err
				d := &dialer{conns: []transport.Conn{a, b}}
				r := d.redial(t, transport.RedialOptions{})
				sent := make(chan error, 1)
				go func() { sent <- r.Send(t.Context(), line("message")) }()
				time.Sleep(time.Second)
				a.lose(transport.ErrClosed)
				checkLost(t, r)
				background(t, func() { _, _ = r.Recv(t.Context()) })
				err := <-sent
				var want []string
				if tt.retry {
					want = []string{"message"}
				} else if !errors.Is(err, tt.err) {
					t.Errorf("Send = %v, want %v", err, tt.err)
				}
				if tt.retry && err != nil {
					t.Errorf("Send = %v, want nil", err)
				}
				synctest.Wait()
				if diff := cmp.Diff(want, b.done()); diff != "" {
					t.Errorf("the next connection was sent (-want +got):\n%s", diff)
				}
				b.lose(transport.ErrClosed)
			})
		})
	}
}

func TestRedialRecvContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newStub("a"), newStub("b")
		d := &dialer{conns: []transport.Conn{a, nil, b}}
		r := d.redial(t, transport.RedialOptions{First: time.Minute})
		if !poll(t, r, time.Second) {
			t.Error("Recv did not return the error of its ctx")
		}
		a.lose(transport.ErrClosed)
		checkLost(t, r)
		start := time.Now()
		if !poll(t, r, time.Second) {
			t.Error("Recv in an outage did not return the error of its ctx")
		}
		checkTook(t, "Recv in an outage", start, time.Second)
		if n := len(d.times); n != 2 {
			t.Errorf("%d attempts, want 2", n)
		}
		go func() { b.in <- line("hi") }()
		checkRecv(t, r, "hi")
	})
}

// A connection that is lost as soon as it is made must not be made again and
// again at full speed.
func TestRedialPacesConnectionsThatDoNotLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dialer{}
		for range 30 {
			s := newStub("brief")
			s.lose(transport.ErrClosed)
			d.conns = append(d.conns, s)
		}
		r := d.redial(t, transport.RedialOptions{})
		for range 30 {
			checkLost(t, r)
		}
		if took := time.Since(d.times[1]); took < time.Minute {
			t.Errorf("30 connections were made and lost in %v, want a pause of up to 10 s before each", took)
		}
	})
}

// What the first connection was asked for and refused would be refused by the
// next one, too.
func TestRedialEndsWhenRefusedAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name string
		hear bool // something before
		end  bool
	}{{"at once", false, true}, {"later", true, false}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := newStub("a"), newStub("b")
				d := &dialer{conns: []transport.Conn{a, b}}
				r := d.redial(t, transport.RedialOptions{})
				if tt.hear {
					go func() { a.in <- line("hi") }()
					checkRecv(t, r, "hi")
				}
				a.lose(transport.WithReason(transport.ErrRefused, "no such queue"))
				_, err := r.Recv(t.Context())
				if !errors.Is(err, transport.ErrRefused) || errors.Is(err, transport.ErrReconnecting) == tt.end {
					t.Errorf("Recv = %v, want the refusal, reconnecting: %v", err, !tt.end)
				}
				if tt.end {
					if _, err := r.Recv(t.Context()); !errors.Is(err, transport.ErrRefused) {
						t.Errorf("Recv after the end = %v, want the refusal", err)
					}
				}
				if err := r.Close(); err != nil {
					t.Errorf("Close = %v", err)
				}
				if !a.closed() {
					t.Error("the refused connection was not closed")
				}
			})
		})
	}
}
