package stomp_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/transport"
)

func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newSession(t, "1.2", nil, "")
		flusher, _ := transport.As[transport.Flusher](f.conn())
		for range 100 {
			if err := f.conn().Send(t.Context(), new(transport.Message)); err != nil {
				t.Fatal(err)
			}
		}
		if err := flusher.Flush(t.Context()); err != nil {
			t.Errorf("Flush = %v", err)
		}
		if all, _ := frames(t, f.taken()); len(all) != 100 {
			t.Errorf("the server got %d frames, want 100", len(all))
		}
		_ = f.conn().Close()
		if err := flusher.Flush(t.Context()); err != nil && !errors.Is(err, transport.ErrClosed) {
			t.Errorf("Flush after Close = %v, want nil or ErrClosed", err)
		}
	})
}

// TestClientUnspeakable is TestUnspeakable from the other end.
func TestClientUnspeakable(t *testing.T) {
	for _, c := range []struct {
		name     string
		versions []string
		m        transport.Message
		err      error
	}{
		{"NUL in a value", versions, transport.Message{Headers: []transport.Header{{Name: "k", Value: "\x00"}}}, transport.ErrInvalid},
		{"NUL in a destination", versions, transport.Message{To: "\x00"}, transport.ErrInvalid},
		{"line feed", []string{"1.0"}, transport.Message{Subject: "a\nb"}, transport.ErrInvalid},
		{"carriage return", []string{"1.0", "1.1"}, transport.Message{Subject: "a\rb"}, transport.ErrInvalid},
		{"a header of ours", versions, transport.Message{Headers: []transport.Header{{Name: "receipt", Value: "1"}}}, transport.ErrInvalid},
		{"a long body", versions, transport.Message{Body: make([]byte, 1001)}, transport.ErrTooLarge},
	} {
		for _, v := range c.versions {
			t.Run(c.name+"/"+v, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					o := &transport.DialOptions{}
					o.Limits.Message, o.Limits.Unsettled = 1000, 1
					f := newSession(t, v, o, "")
					confirmer, _ := transport.As[transport.Confirmer](f.conn())
					var l ledger
					for range 3 { // more than may wait for a receipt
						for how, err := range map[string]error{
							"Send":          f.conn().Send(t.Context(), &c.m),
							"SendConfirmed": confirmer.SendConfirmed(t.Context(), &c.m, l.done("m")),
						} {
							if !errors.Is(err, c.err) || !transport.NotSent(err) {
								t.Errorf("%s = %v, want a %v that says not sent", how, err, c.err)
							}
						}
					}
					if got := f.taken() + l.taken(); got != "" {
						t.Errorf("the server got, or who waits was told,\n%s\nwant nothing", printable(got))
					}
				})
			})
		}
	}
}

func TestClientSendConfirmedAfterTheEnd(t *testing.T) {
	for name, end := range map[string]func(*fakeServer){
		"Close":     func(f *fakeServer) { _ = f.conn().Close() },
		"peer gone": func(f *fakeServer) { _ = f.nc.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newSession(t, "1.2", nil, "")
				end(f)
				time.Sleep(time.Second) // after a pause a Send writes by itself
				confirmer, _ := transport.As[transport.Confirmer](f.conn())
				for i := range 3 {
					var l ledger
					err := confirmer.SendConfirmed(t.Context(), new(transport.Message), l.done("m"))
					want := map[bool]string{true: "m failed"}[err == nil]
					if got := l.taken(); got != want {
						t.Errorf("SendConfirmed %d = %v and done was told %q, want exactly one of them to fail", i, err, got)
					}
				}
			})
		})
	}
}

// TestEndedContextSendsIfThereIsRoom is what Send promises, for everything
// that sends.
func TestEndedContextSendsIfThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		f := newSession(t, "1.2", nil, "")
		client, _ := transport.As[transport.Confirmer](f.conn())
		a := newAckRig(t, "1.2", "client", transport.Limits{}, "prefetch-count:1000")
		server, _ := transport.As[transport.Confirmer](a.s.Conn)
		publisher, _ := transport.As[transport.Publisher](a.s.Conn)
		for range 50 {
			for how, err := range map[string]error{
				"client's Send":          f.conn().Send(ended, new(transport.Message)),
				"client's SendConfirmed": client.SendConfirmed(ended, new(transport.Message), func(error) {}),
				"server's Send":          a.s.Send(ended, &transport.Message{To: "d"}),
				"server's SendConfirmed": server.SendConfirmed(ended, &transport.Message{To: "d"}, func(error) {}),
				"server's Publish":       publisher.Publish(ended, &transport.Message{To: "d"}),
			} {
				if err != nil {
					t.Fatalf("%s = %v, want nil: there is room", how, err)
				}
			}
		}
	})
}

// twoSubscriptions is a session with two acknowledging subscriptions to "d",
// where two messages may be under way and are.
func twoSubscriptions(t *testing.T) (*ackRig, transport.Publisher) {
	t.Helper()
	a := newAckRig(t, "1.2", "client-individual", transport.Limits{Unsettled: 2})
	a.expect("SUBSCRIBE\nid:s2\ndestination:d\nack:client-individual\n\n^@", "")
	a.deliver("m1")
	a.deliver("m2")
	p, _ := transport.As[transport.Publisher](a.s.Conn)
	return a, p
}

// TestPublishesDoNotBlockEachOther: each needs both slots, and none may keep
// one for ever while it waits for the other.
func TestPublishesDoNotBlockEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, p := twoSubscriptions(t)
		published := make(chan error, 2)
		for range 2 {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				published <- p.Publish(ctx, &transport.Message{To: "d"})
			}()
		}
		a.expect("", "")
		// The client acknowledges what it gets, at once.
		for acks := []string{a.frame("ACK", "1"), a.frame("ACK", "2")}; len(acks) > 0; {
			all, _ := frames(t, a.say(strings.Join(acks, "")))
			acks = nil
			for _, f := range all {
				acks = append(acks, a.frame("ACK", f.Header.Get("ack")))
			}
		}
		for range 2 {
			if err := <-published; err != nil {
				t.Errorf("Publish = %v, want nil: the client acknowledges everything", err)
			}
		}
	})
}

// TestPublishOverTheLimit gives up in time and gives back what it took.
func TestPublishOverTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, p := twoSubscriptions(t)
		a.expect(a.frame("ACK", "1"), "") // one slot is free, two are needed
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.Publish(ctx, &transport.Message{To: "d"}); !errors.Is(err, transport.ErrBusy) || !transport.NotSent(err) {
			t.Errorf("Publish = %v, want ErrBusy, not sent", err)
		}
		a.expect("", "")
		a.deliver("m3") // the free slot is free again
		a.expect(a.frame("ACK", "2")+a.frame("ACK", "3"), "")
		if err := p.Publish(t.Context(), &transport.Message{To: "d"}); err != nil {
			t.Errorf("Publish with room = %v", err)
		}

		a.expect("SUBSCRIBE\nid:s3\ndestination:d\nack:client\n\n^@", "MESSAGE\nsubscription:s\nmessage-id:4\nack:4\ndestination:d\ncontent-length:0\n\n^@"+
			"MESSAGE\nsubscription:s2\nmessage-id:5\nack:5\ndestination:d\ncontent-length:0\n\n^@")
		a.expect(a.frame("ACK", "4")+a.frame("ACK", "5"), "")
		start := time.Now()
		ctx, cancel = context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := p.Publish(ctx, &transport.Message{To: "d"}); !errors.Is(err, transport.ErrBusy) || time.Since(start) > 0 {
			t.Errorf("Publish to 3 subscriptions where 2 messages may be under way = %v after %v, want ErrBusy at once", err, time.Since(start))
		}
	})
}

// TestReplyAddressAfterTheEnd fails and can be called again.
func TestReplyAddressAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newSession(t, "1.2", nil, "")
		_ = f.conn().Close()
		a, _ := transport.As[transport.ReplyAddresser](f.conn())
		for range 2 {
			if addr, err := a.ReplyAddress(t.Context()); !errors.Is(err, transport.ErrClosed) {
				t.Errorf("ReplyAddress = %q, %v, want ErrClosed", addr, err)
			}
		}
	})
}
