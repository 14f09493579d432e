package broker_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/transport"
)

// dial is a connection within the process, for the time of the test.
func dial(tb testing.TB, h *broker.Hub, to string) transport.Conn {
	tb.Helper()
	c, err := h.Dial(context.Background(), to)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

func subscribe(tb testing.TB, c transport.Conn, s transport.Subscription) string {
	tb.Helper()
	id, err := c.(transport.Subscriber).Subscribe(context.Background(), s)
	if err != nil {
		tb.Fatal(err)
	}
	return id
}

// recv returns the next message, or nil if there is none now.
func recv(t *testing.T, c transport.Conn) *transport.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	m, err := c.Recv(ctx)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Recv: %v", err)
	}
	return m
}

func TestConn(t *testing.T) {
	in(t, "what is sent is a copy", nil, func(t *testing.T, h *broker.Hub, p *peer) {
		c := dial(t, h, "/queue/q")
		body, headers := []byte("a"), []transport.Header{{Name: "n", Value: "1"}}
		if err := c.Send(t.Context(), &transport.Message{Body: body, Headers: headers}); err != nil {
			t.Fatal(err)
		}
		body[0], headers[0].Value = 'b', "2"
		got := p.attach("/queue/q", transport.AckNone, 9).take()
		if len(got) != 1 || got[0].text != "a" || got[0].m.Header("n") != "1" {
			t.Errorf("it got %v", got)
		}
	})
	in(t, "credit bounds what is not settled", nil, func(t *testing.T, h *broker.Hub, p *peer) {
		c := dial(t, h, "/queue/q")
		id := subscribe(t, c, transport.Subscription{Ack: transport.AckEach, Credit: 2})
		for i := range 5 {
			p.must("/queue/q", strconv.Itoa(i))
		}
		first, second := recv(t, c), recv(t, c)
		if second == nil || recv(t, c) != nil {
			t.Fatal("not two came")
		}
		if first.Subscription != id || !first.Unsettled() || first.To != "/queue/q" {
			t.Errorf("it got %+v", first)
		}
		_ = first.Settle(transport.Failed)
		_ = second.Settle(transport.Accepted)
		for _, want := range []string{"2", "3"} {
			if m := recv(t, c); m == nil || string(m.Body) != want {
				t.Errorf("it got %v, want %s", m, want)
			}
		}
		_ = c.Close()
		if q := queueOf(t, h, "q"); q.Depth != 4 || q.Settled != 1 {
			t.Errorf("the queue: %+v", q)
		}
		if _, err := c.Recv(t.Context()); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("Recv: %v", err)
		}
		if err := c.Send(t.Context(), &transport.Message{}); !errors.Is(err, transport.ErrClosed) || !transport.NotSent(err) {
			t.Errorf("Send: %v", err)
		}
	})
	in(t, "credit without acknowledgement bounds what was not received", nil, func(t *testing.T, h *broker.Hub, p *peer) {
		c := dial(t, h, "/queue/q")
		subscribe(t, c, transport.Subscription{Credit: 2})
		for i := range 5 {
			p.must("/queue/q", strconv.Itoa(i))
		}
		if q := queueOf(t, h, "q"); q.Depth != 3 {
			t.Errorf("%d wait, want 3", q.Depth)
		}
		for i := range 5 {
			m := recv(t, c)
			if m == nil || string(m.Body) != strconv.Itoa(i) || m.Unsettled() || m.Settle(transport.Accepted) != nil {
				t.Errorf("message %d is %v", i, m)
			}
		}
	})
	in(t, "bytes are bounded for all subscriptions together", &broker.Options{SubscriberBytes: 100}, func(t *testing.T, h *broker.Hub, p *peer) {
		c := dial(t, h, "")
		for i := range 3 {
			subscribe(t, c, transport.Subscription{Destination: fmt.Sprint("/queue/", i)})
			p.must(fmt.Sprint("/queue/", i), string(make([]byte, 80)))
		}
		if q := queueOf(t, h, "2"); q.Depth != 1 {
			t.Errorf("the third did not wait: %+v", q)
		}
		for range 3 {
			if recv(t, c) == nil {
				t.Error("one is missing")
			}
		}
	})
	in(t, "to unsubscribe lets what came out of Recv be settled", nil, func(t *testing.T, h *broker.Hub, p *peer) {
		c := dial(t, h, "/queue/q")
		id := subscribe(t, c, transport.Subscription{Ack: transport.AckEach, Credit: 2})
		for i := range 4 {
			p.must("/queue/q", strconv.Itoa(i))
		}
		m := recv(t, c)
		if err := c.(transport.Subscriber).Unsubscribe(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		p.must("/queue/q", "4")
		if recv(t, c) != nil {
			t.Error("more comes")
		}
		if q := queueOf(t, h, "q"); q.Depth != 4 || q.Unsettled != 1 || q.Consumers != 1 {
			t.Errorf("before: %+v", q)
		}
		if err := m.Settle(transport.Accepted); err != nil {
			t.Error(err)
		}
		if q := queueOf(t, h, "q"); q.Depth != 4 || q.Settled != 1 || q.Consumers != 0 {
			t.Errorf("after: %+v", q)
		}
		conn := dial(t, h, "")
		subscribe(t, conn, transport.Subscription{Destination: "/queue/q"})
		for i := range 4 {
			if m := recv(t, conn); m == nil || string(m.Body) != strconv.Itoa(i+1) || m.Attempt != 0 {
				t.Errorf("message %d is %v", i, m)
			}
		}
	})
	in(t, "a full queue has Send wait for room, or for ctx", &broker.Options{QueueDepth: 1}, func(t *testing.T, h *broker.Hub, p *peer) {
		c := dial(t, h, "/queue/q")
		p.must("/queue/q", "a")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Send(ctx, new(transport.Message)); !errors.Is(err, context.DeadlineExceeded) || transport.NotSent(err) {
			t.Errorf("with a short ctx: %v", err)
		}
		if err := c.Send(t.Context(), new(transport.Message)); !errors.Is(err, transport.ErrBusy) || !transport.NotSent(err) {
			t.Errorf("with a long one: %v", err)
		}
		told := make(chan error, 1)
		if err := c.(transport.Confirmer).SendConfirmed(t.Context(), new(transport.Message), func(err error) { told <- err }); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		p.attach("/queue/q", transport.AckNone, 9).wants(t, "a", "")
		if err := <-told; err != nil {
			t.Errorf("confirmed: %v", err)
		}
	})
	in(t, "what cannot be is told", nil, func(t *testing.T, h *broker.Hub, p *peer) {
		c := dial(t, h, "")
		s := c.(transport.Subscriber)
		if err := c.Send(t.Context(), new(transport.Message)); !errors.Is(err, transport.ErrNoRoute) {
			t.Errorf("Send to nowhere: %v", err)
		}
		if err := c.Send(t.Context(), &transport.Message{To: "q", Body: make([]byte, 5<<20)}); !errors.Is(err, transport.ErrTooLarge) {
			t.Errorf("Send of too much: %v", err)
		}
		for name, sub := range map[string]transport.Subscription{
			"nowhere": {}, "up to": {Destination: "q", Ack: transport.AckUpTo}, "bad": {Destination: "/fish/x"},
		} {
			if _, err := s.Subscribe(t.Context(), sub); err == nil {
				t.Errorf("Subscribe %s is let pass", name)
			}
		}
		subscribe(t, c, transport.Subscription{ID: "1", Destination: "q"})
		if _, err := s.Subscribe(t.Context(), transport.Subscription{ID: "1", Destination: "r"}); !errors.Is(err, transport.ErrInvalid) {
			t.Errorf("the same id: %v", err)
		}
		if id := subscribe(t, c, transport.Subscription{Destination: "r"}); id == "1" {
			t.Error("a chosen id is in use")
		}
		if err := s.Unsubscribe(t.Context(), "9"); err == nil {
			t.Error("Unsubscribe of nothing is let pass")
		}
		if _, err := h.Dial(t.Context(), "/fish/x"); !errors.Is(err, transport.ErrNoRoute) {
			t.Errorf("Dial: %v", err)
		}
	})
	in(t, "the end of the hub is the end of it", nil, func(t *testing.T, h *broker.Hub, p *peer) {
		c := dial(t, h, "/queue/q")
		subscribe(t, c, transport.Subscription{})
		p.must("/queue/q", "a")
		_ = h.Close()
		if m := recv(t, c); m == nil {
			t.Error("what came before is lost")
		}
		if _, err := c.Recv(t.Context()); err == nil {
			t.Error("Recv goes on")
		}
		if _, err := h.Dial(t.Context(), ""); !errors.Is(err, transport.ErrNoRoute) {
			t.Errorf("Dial: %v", err)
		}
	})
}

func TestHear(t *testing.T) {
	in(t, "what it hears, until it stops", nil, func(t *testing.T, h *broker.Hub, p *peer) {
		var heard []string
		stop, err := h.Hear("news.#", func(m *transport.Message) { heard = append(heard, m.To+" "+string(m.Body)) })
		if err != nil {
			t.Fatal(err)
		}
		p.must("/topic/news.sport", "a")
		p.must("/topic/other", "b")
		if err := h.Publish(t.Context(), &transport.Message{To: "/topic/news", Body: []byte("c")}); err != nil {
			t.Fatal(err)
		}
		stop()
		p.must("/topic/news", "d")
		if got, want := fmt.Sprint(heard), "[/topic/news.sport a /topic/news c]"; got != want {
			t.Errorf("heard %s, want %s", got, want)
		}
	})
	in(t, "it may send to what it hears", nil, func(t *testing.T, h *broker.Hub, p *peer) {
		n := 0
		stop, err := h.Hear("/topic/t", func(m *transport.Message) {
			if n++; n < 500 {
				_ = h.Publish(context.Background(), &transport.Message{To: m.To})
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		p.must("/topic/t", "")
		synctest.Wait()
		if n != 500 {
			t.Errorf("heard %d, want 500", n)
		}
	})
	in(t, "only topics", nil, func(t *testing.T, h *broker.Hub, p *peer) {
		for _, filter := range []string{"/queue/q", "a..b", ""} {
			if _, err := h.Hear(filter, func(*transport.Message) {}); !errors.Is(err, transport.ErrInvalid) {
				t.Errorf("%q: %v", filter, err)
			}
		}
	})
}
