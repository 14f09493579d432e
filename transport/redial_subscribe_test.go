package transport_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/transport"
)

// subscriber is what a Redial connection can do with subscriptions.
func subscriber(t *testing.T, c transport.Conn) transport.Subscriber {
	t.Helper()
	s, ok := transport.As[transport.Subscriber](c)
	if !ok {
		t.Fatal("a Redial connection is no Subscriber")
	}
	return s
}

// subscribe expects to get the id.
func subscribe(t *testing.T, c transport.Conn, s transport.Subscription, want string) {
	t.Helper()
	if id, err := subscriber(t, c).Subscribe(t.Context(), s); id != want || err != nil {
		t.Errorf("Subscribe(%+v) = %q, %v, want %q, nil", s, id, err, want)
	}
}

// reconnect loses a connection and waits until the next is in use.
func reconnect(t *testing.T, r transport.Conn, old, next *stubConn) {
	t.Helper()
	old.lose(transport.ErrClosed)
	checkLost(t, r)
	go func() { next.in <- line("hi") }()
	checkRecv(t, r, "hi")
}

func TestRedialRenewsSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c := newStub("a"), newStub("b"), newStub("c")
		d := &dialer{conns: []transport.Conn{a, nil, b, c}}
		r := d.redial(t, transport.RedialOptions{})
		subscribe(t, r, transport.Subscription{Destination: "x"}, "sub-1")
		subscribe(t, r, transport.Subscription{ID: "mine", Destination: "y"}, "mine")
		subscribe(t, r, transport.Subscription{Destination: "z"}, "sub-2")
		reconnect(t, r, a, b)
		if err := subscriber(t, r).Unsubscribe(t.Context(), "sub-1"); err != nil {
			t.Errorf("Unsubscribe = %v, want nil", err)
		}
		subscribe(t, r, transport.Subscription{ID: "sub-1", Destination: "w"}, "sub-1")
		b.lose(transport.ErrClosed)
		checkLost(t, r)
		if err := subscriber(t, r).Unsubscribe(t.Context(), "mine"); err != nil {
			t.Errorf("Unsubscribe in an outage = %v, want nil", err)
		}
		go func() { c.in <- line("hi") }()
		checkRecv(t, r, "hi")
		want := [][]string{
			{"+sub-1=x", "+mine=y", "+sub-2=z"},
			{"+sub-1=x", "+mine=y", "+sub-2=z", "-sub-1", "+sub-1=w"},
			{"+sub-2=z", "+sub-1=w"},
		}
		if diff := cmp.Diff(want, [][]string{a.done(), b.done(), c.done()}); diff != "" {
			t.Errorf("subscriptions of the three connections (-want +got):\n%s", diff)
		}
	})
}

func TestRedialSubscribeIDs(t *testing.T) {
	d := &dialer{conns: []transport.Conn{newStub("a")}}
	r := d.redial(t, transport.RedialOptions{})
	steps := []struct{ id, want string }{
		{"mine", "mine"},
		{"mine", ""},
		{"sub-1", "sub-1"},
		{"", "sub-2"},
		{"sub-2", ""},
		{"sub-2", ""},
		{"sub-3", "sub-3"},
		{"sub-4", "sub-4"},
		{"", "sub-5"},
		{"sub-0", "sub-0"},
		{"sub-0", ""},
	}
	for i, s := range steps {
		id, err := subscriber(t, r).Subscribe(t.Context(), transport.Subscription{ID: s.id, Destination: "x"})
		if id != s.want || (err == nil) != (s.want != "") {
			t.Errorf("Subscribe %d with id %q = %q, %v, want %q", i, s.id, id, err, s.want)
		}
		if err != nil {
			checkErr(t, "Subscribe", err, transport.ErrInvalid, true)
		}
	}
}

func TestRedialSubscribeInOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newStub("a"), newStub("b")
		d := &dialer{conns: []transport.Conn{a, nil, b}}
		r := d.redial(t, transport.RedialOptions{})
		a.lose(transport.ErrClosed)
		checkLost(t, r)
		impatient, s := contextFor(t, time.Second), subscriber(t, r)
		_, err := s.Subscribe(impatient, transport.Subscription{ID: "given up", Destination: "x"})
		checkErr(t, "Subscribe in an outage", err, transport.ErrBusy, true)
		background(t, func() { subscribe(t, r, transport.Subscription{ID: "patient", Destination: "x"}, "patient") })
		synctest.Wait()
		go func() { b.in <- line("hi") }()
		checkRecv(t, r, "hi")
		synctest.Wait()
		if diff := cmp.Diff([]string{"+patient=x"}, b.done()); diff != "" {
			t.Errorf("subscriptions of the next connection (-want +got):\n%s", diff)
		}
	})
}

// A subscription that was refused is not asked for again.
func TestRedialSubscribeRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newStub("a"), newStub("b")
		a.subscribeErr = a.opError("subscribe", transport.ErrTooLarge)
		d := &dialer{conns: []transport.Conn{a, b}}
		r := d.redial(t, transport.RedialOptions{})
		_, err := subscriber(t, r).Subscribe(t.Context(), transport.Subscription{ID: "x"})
		checkErr(t, "Subscribe", err, transport.ErrTooLarge, true)
		reconnect(t, r, a, b)
		if got := b.done(); got != nil {
			t.Errorf("the next connection was asked for %v, want nothing", got)
		}
		subscribe(t, r, transport.Subscription{ID: "x"}, "x")
	})
}

// A connection that does not take the subscriptions is as good as none.
func TestRedialRenewalFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, bad, c := newStub("a"), newStub("bad"), newStub("c")
		bad.subscribeErr = bad.opError("subscribe", transport.ErrRefused)
		d := &dialer{conns: []transport.Conn{a, bad, c}}
		r := d.redial(t, transport.RedialOptions{})
		subscribe(t, r, transport.Subscription{ID: "x", Destination: "y"}, "x")
		reconnect(t, r, a, c)
		if !bad.closed() {
			t.Error("the connection that refused the subscription was not closed")
		}
		if diff := cmp.Diff([]string{"+x=y"}, c.done()); diff != "" {
			t.Errorf("subscriptions of the next connection (-want +got):\n%s", diff)
		}
	})
}

// slowSubscriber takes its time, as one without room in its send buffer does.
type slowSubscriber struct{ *stubConn }

func (c slowSubscriber) Subscribe(ctx context.Context, s transport.Subscription) (string, error) {
	time.Sleep(time.Second)
	return c.stubConn.Subscribe(ctx, s)
}

// A subscription given up while it is being renewed must not stay on the new
// connection.
func TestRedialUnsubscribeDuringRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newStub("a"), newStub("b")
		d := &dialer{conns: []transport.Conn{a, slowSubscriber{b}}}
		r := d.redial(t, transport.RedialOptions{})
		subscribe(t, r, transport.Subscription{ID: "x", Destination: "y"}, "x")
		a.lose(transport.ErrClosed)
		checkLost(t, r)
		background(t, func() {
			time.Sleep(time.Second / 2)
			_ = subscriber(t, r).Unsubscribe(t.Context(), "x")
		})
		go func() { b.in <- line("hi") }()
		checkRecv(t, r, "hi")
		if diff := cmp.Diff([]string{"+x=y", "-x"}, b.done()); diff != "" {
			t.Errorf("subscriptions of the next connection (-want +got):\n%s", diff)
		}
	})
}

// plain is a Conn without abilities.
type plain struct{ transport.Conn }

// able is a Conn with all of them, which answer with the name of what was
// called.
type able struct{ *stubConn }

func (c able) SendConfirmed(_ context.Context, m *transport.Message, done func(error)) error {
	done(errEnd)
	return c.do("send", "confirmed "+string(m.Body), nil)
}

func (c able) Grant(_ context.Context, id string, n int) error {
	return c.do("subscribe", "grant "+id, nil)
}

func (c able) ReplyAddress(context.Context) (string, error) { return "address of " + c.name, nil }

func (c able) Flush(context.Context) error { return c.do("flush", "flush", nil) }

func TestRedialAbilities(t *testing.T) {
	a := able{newStub("a")}
	r := (&dialer{conns: []transport.Conn{a}}).redial(t, transport.RedialOptions{})
	ctx := t.Context()
	var told error
	if err := r.(transport.Confirmer).SendConfirmed(ctx, line("x"), func(err error) { told = err }); err != nil || !errors.Is(told, errEnd) {
		t.Errorf("SendConfirmed = %v, done was told %v, want nil and %v", err, told, errEnd)
	}
	if err := r.(transport.Crediter).Grant(ctx, "id", 1); err != nil {
		t.Errorf("Grant = %v, want nil", err)
	}
	if addr, err := r.(transport.ReplyAddresser).ReplyAddress(ctx); addr != "address of a" || err != nil {
		t.Errorf("ReplyAddress = %q, %v, want that of the connection", addr, err)
	}
	if err := r.(transport.Flusher).Flush(ctx); err != nil {
		t.Errorf("Flush = %v, want nil", err)
	}
	if diff := cmp.Diff([]string{"confirmed x", "grant id", "flush"}, a.done()); diff != "" {
		t.Errorf("the connection was asked for (-want +got):\n%s", diff)
	}
}

func TestRedialWithoutAbilities(t *testing.T) {
	r := (&dialer{conns: []transport.Conn{plain{newStub("a")}}}).redial(t, transport.RedialOptions{})
	ctx := t.Context()
	_, subErr := subscriber(t, r).Subscribe(ctx, transport.Subscription{})
	errs := map[string]error{
		"Subscribe":     subErr,
		"SendConfirmed": r.(transport.Confirmer).SendConfirmed(ctx, line("x"), func(error) { t.Error("done was called") }),
		"Grant":         r.(transport.Crediter).Grant(ctx, "id", 1),
	}
	for name, err := range errs {
		checkErr(t, name, err, transport.ErrUnsupported, true)
	}
	if addr, err := r.(transport.ReplyAddresser).ReplyAddress(ctx); addr != "" || err != nil {
		t.Errorf("ReplyAddress = %q, %v, want none: answers find their way", addr, err)
	}
	if err := r.(transport.Flusher).Flush(ctx); err != nil {
		t.Errorf("Flush = %v, want nil", err)
	}
	if _, ok := transport.As[transport.Publisher](r); ok {
		t.Error("a Redial connection is a Publisher; a client has no subscribers")
	}
}

func TestRedialReplyAddressInOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newStub("a")
		r := (&dialer{conns: []transport.Conn{a}}).redial(t, transport.RedialOptions{})
		a.lose(transport.ErrClosed)
		checkLost(t, r)
		if addr, err := r.(transport.ReplyAddresser).ReplyAddress(contextFor(t, time.Second)); !errors.Is(err, transport.ErrBusy) {
			t.Errorf("ReplyAddress in an outage = %q, %v, want %v", addr, err, transport.ErrBusy)
		}
		if err := r.(transport.Flusher).Flush(t.Context()); err != nil {
			t.Errorf("Flush in an outage = %v, want nil: nothing waits", err)
		}
	})
}
