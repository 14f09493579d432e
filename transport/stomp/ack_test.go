package stomp_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/transport"
)

// A ledger notes what became of confirmed sends.
type ledger struct {
	mu   sync.Mutex
	told []string
}

// done is for the message called name.
func (l *ledger) done(name string) func(error) {
	return func(err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if err != nil {
			name += " failed"
		}
		l.told = append(l.told, name)
	}
}

// taken returns what was told since the last call, in order of name.
func (l *ledger) taken() string {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.Sort(l.told)
	s := strings.Join(l.told, ", ")
	l.told = nil
	return s
}

// ackRig is a session with one subscription "d" of an ack mode, and what the
// server's end can do with it.
type ackRig struct {
	*peer
	version string
	s       *session
	ledger  ledger
}

func newAckRig(t *testing.T, version, mode string, l transport.Limits, lines ...string) *ackRig {
	t.Helper()
	o := &transport.ListenOptions{}
	o.Limits = l
	r := newRig(t, o, nil)
	a := &ackRig{peer: r.connect(version), version: version}
	a.expect(fmt.Sprintf("SUBSCRIBE\nid:s\ndestination:d\nack:%s\n%s\n^@", mode, strings.Join(append(lines, ""), "\n")), "")
	a.s = r.session()
	return a
}

// deliver sends a confirmed message called name, and returns the ids that its
// MESSAGE frame has for it.
func (a *ackRig) deliver(name string) (messageID, ackID string) {
	a.t.Helper()
	c, _ := transport.As[transport.Confirmer](a.s.Conn)
	if err := c.SendConfirmed(a.t.Context(), &transport.Message{To: "d", Body: []byte(name)}, a.ledger.done(name)); err != nil {
		a.t.Fatalf("SendConfirmed(%s) = %v", name, err)
	}
	f := one(a.t, a.taken(), "MESSAGE")
	return f.Header.Get("message-id"), f.Header.Get("ack")
}

// frame returns an ACK or NACK frame for an id, in the words of the version.
func (a *ackRig) frame(command, id string) string {
	if a.version == "1.2" {
		return command + "\nid:" + id + "\n\n^@"
	}
	return command + "\nmessage-id:" + id + "\nsubscription:s\n\n^@"
}

// settled checks which messages were told of since the last call.
func (a *ackRig) settled(want string) {
	a.t.Helper()
	if got := a.ledger.taken(); got != want {
		a.t.Errorf("told of %q, want %q", got, want)
	}
}

func TestAckAuto(t *testing.T) {
	for _, mode := range []string{"auto", ""} {
		bubble(t, func(t *testing.T, version string) {
			a := newAckRig(t, version, mode, transport.Limits{Unsettled: 2})
			var id string
			for range 10 { // the limit is for those that acknowledge
				if err := a.s.Send(t.Context(), &transport.Message{To: "d"}); err != nil {
					t.Fatal(err)
				}
				f := one(t, a.taken(), "MESSAGE")
				id = f.Header.Get("message-id")
				if ack, ok := f.Header.Contains("ack"); id == "" || ok {
					t.Fatalf("MESSAGE has message-id:%s and ack:%s, want one and none", id, ack)
				}
			}
			c, _ := transport.As[transport.Confirmer](a.s.Conn)
			err := c.SendConfirmed(t.Context(), &transport.Message{To: "d"}, a.ledger.done("m"))
			if !errors.Is(err, transport.ErrUnsupported) || !transport.NotSent(err) {
				t.Errorf("SendConfirmed = %v, want ErrUnsupported, not sent", err)
			}
			a.settled("")
			explains(t, refused(t, a.say(a.frame("ACK", id))), "ACK", id)
		})
	}
}

func TestAckClientIndividual(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		a := newAckRig(t, version, "client-individual", transport.Limits{})
		ids := map[string]string{}
		for _, name := range []string{"a", "b", "c", "d"} {
			message, ack := a.deliver(name)
			if want := (map[bool]string{true: message})[version == "1.2"]; ack != want {
				t.Fatalf("MESSAGE has message-id:%s and ack:%s, want %q", message, ack, want)
			}
			ids[name] = message
		}
		a.settled("")
		a.expect(a.frame("ACK", ids["c"]), "")
		a.settled("c")
		a.expect(a.frame("ACK", ids["a"])+a.frame("ACK", ids["d"]), "")
		a.settled("a, d")
		if version != "1.0" {
			a.expect(a.frame("NACK", ids["b"]), "")
			a.settled("b failed")
		}
		explains(t, refused(t, a.say(a.frame("ACK", ids["c"]))), "ACK", ids["c"], "before")
	})
}

func TestAckClientIsCumulative(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		a := newAckRig(t, version, "client", transport.Limits{})
		ids := map[string]string{}
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			ids[name], _ = a.deliver(name)
		}
		a.expect(a.frame("ACK", ids["c"]), "")
		a.settled("a, b, c")
		if version != "1.0" {
			a.expect(a.frame("NACK", ids["e"]), "")
			a.settled("d failed, e failed")
		}
		explains(t, refused(t, a.say(a.frame("ACK", ids["b"]))), "ACK", ids["b"])
	})
}

// TestAckClientLeavesOthers: cumulative means within the subscription.
func TestAckClientLeavesOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAckRig(t, "1.2", "client", transport.Limits{})
		a.expect("SUBSCRIBE\nid:other\ndestination:other\nack:client\n\n^@", "")
		c, _ := transport.As[transport.Confirmer](a.s.Conn)
		if err := c.SendConfirmed(t.Context(), &transport.Message{To: "other"}, a.ledger.done("other")); err != nil {
			t.Fatal(err)
		}
		one(t, a.taken(), "MESSAGE")
		id, _ := a.deliver("mine")
		a.expect(a.frame("ACK", id), "")
		a.settled("mine")
	})
}

func TestNackSaysRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAckRig(t, "1.2", "client-individual", transport.Limits{})
		c, _ := transport.As[transport.Confirmer](a.s.Conn)
		var told error
		if err := c.SendConfirmed(t.Context(), &transport.Message{To: "d"}, func(err error) { told = err }); err != nil {
			t.Fatal(err)
		}
		a.taken()
		a.expect(a.frame("NACK", "1"), "")
		if !errors.Is(told, transport.ErrRefused) || transport.NotSent(told) {
			t.Errorf("done was told %v, want ErrRefused, sent", told)
		}
	})
}

// TestUnsettledLimit: a subscriber that does not acknowledge holds up its own
// messages and nothing else.
func TestUnsettledLimit(t *testing.T) {
	for _, c := range []struct {
		name  string
		l     transport.Limits
		lines []string
		room  int
	}{
		{"of the connection", transport.Limits{Unsettled: 2}, nil, 2},
		{"of the subscription", transport.Limits{}, []string{"prefetch-count:3"}, 3},
		{"of the subscription, more than of the connection", transport.Limits{Unsettled: 2}, []string{"prefetch-count:1000000000"}, 2},
		{"of the subscription, no number", transport.Limits{Unsettled: 2}, []string{"prefetch-count:all"}, 2},
		{"of the subscription, below zero", transport.Limits{Unsettled: 2}, []string{"prefetch-count:-1"}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, version string) {
				a := newAckRig(t, version, "client-individual", c.l, c.lines...)
				for i := range c.room {
					a.deliver(strconv.Itoa(i))
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				err := a.s.Send(ctx, &transport.Message{To: "d"})
				if !errors.Is(err, transport.ErrBusy) || !transport.NotSent(err) {
					t.Errorf("Send over the limit = %v, want ErrBusy, not sent", err)
				}
				if err := a.s.Send(t.Context(), &transport.Message{To: "/temp-queue/a"}); err != nil {
					t.Errorf("Send to another subscription = %v", err)
				}
				one(t, a.taken(), "MESSAGE")

				sent := make(chan error, 1)
				go func() { sent <- a.s.Send(t.Context(), &transport.Message{To: "d"}) }()
				a.expect("", "")
				one(t, a.say(a.frame("ACK", "1")), "MESSAGE")
				if err := <-sent; err != nil {
					t.Errorf("Send after an ACK = %v", err)
				}
			})
		})
	}
}

// TestUnsettledLimitIsGivenBack: many messages pass a small limit, settled in
// every way there is.
func TestUnsettledLimitIsGivenBack(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		a := newAckRig(t, version, "client", transport.Limits{Unsettled: 3}, "prefetch-count:3")
		for range 20 {
			a.deliver("x")
			a.deliver("y")
			id, _ := a.deliver("z")
			a.expect(a.frame("ACK", id), "")
			a.settled("x, y, z")
		}
		for range 20 {
			a.deliver("x")
			a.deliver("y")
			a.deliver("z")
			a.expect("UNSUBSCRIBE\nid:s\n\n^@SUBSCRIBE\nid:s\ndestination:d\nack:client\nprefetch-count:3\n\n^@", "")
			a.settled("x failed, y failed, z failed")
		}
	})
}

func TestUnsubscribeEndsWaitingSend(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		a := newAckRig(t, version, "client-individual", transport.Limits{}, "prefetch-count:1")
		a.deliver("a")
		sent := make(chan error, 1)
		go func() { sent <- a.s.Send(context.Background(), &transport.Message{To: "d"}) }()
		a.expect("UNSUBSCRIBE\nid:s\nreceipt:1\n\n^@", "RECEIPT\nreceipt-id:1\ncontent-length:0\n\n^@")
		a.settled("a failed")
		if err := <-sent; !errors.Is(err, transport.ErrNoRoute) || !transport.NotSent(err) {
			t.Errorf("Send that waited for the subscriber = %v, want ErrNoRoute, not sent", err)
		}
		a.expect("", "")
	})
}

// TestEndOfConnectionIsTold: each message that was not acknowledged ends as
// maybe sent, once, and waiting Sends end too.
func TestEndOfConnectionIsTold(t *testing.T) {
	for name, end := range map[string]func(*ackRig){
		"peer gone":  func(a *ackRig) { _ = a.nc.Close() },
		"DISCONNECT": func(a *ackRig) { a.say("DISCONNECT\n\n^@"); _ = a.nc.Close() },
		"Close":      func(a *ackRig) { _ = a.s.Close() },
		"bad frame":  func(a *ackRig) { a.say("WHAT\n\n^@"); _ = a.nc.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAckRig(t, "1.2", "client-individual", transport.Limits{Unsettled: 2})
				c, _ := transport.As[transport.Confirmer](a.s.Conn)
				var told error
				a.deliver("a")
				if err := c.SendConfirmed(t.Context(), &transport.Message{To: "d"}, func(err error) { told = err }); err != nil {
					t.Fatal(err)
				}
				sent := make(chan error, 1)
				go func() { sent <- a.s.Send(context.Background(), &transport.Message{To: "d"}) }()
				synctest.Wait()
				end(a)
				a.settled("a failed")
				if told == nil || transport.NotSent(told) {
					t.Errorf("done was told %v, want an error that says maybe sent", told)
				}
				if err := <-sent; err == nil || !transport.NotSent(err) {
					t.Errorf("Send that waited = %v, want an error that says not sent", err)
				}
			})
		})
	}
}

// quietly returns the server's end of a session whose peer is gone, which
// nobody has noticed because nobody reads.
func quietly(t *testing.T, mode string) transport.Conn {
	t.Helper()
	near, far := pipe(t)
	accepted := make(chan transport.Conn, 1)
	go func() {
		c, err := serve(t, far)
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()
	p := newPeer(t, near)
	p.say(connectFrame("1.2"))
	c := <-accepted
	t.Cleanup(func() { _ = c.Close() })
	p.send(wire("SUBSCRIBE\nid:s\ndestination:d\nack:" + mode + "\n\n^@SEND\ndestination:rpc\n\n^@"))
	if _, err := c.Recv(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = near.Close()
	return c
}

func TestSendOnBrokenConn(t *testing.T) {
	for _, mode := range []string{"auto", "client", "client-individual"} {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := quietly(t, mode)
				time.Sleep(time.Second) // after a pause a Send writes by itself
				first := c.Send(t.Context(), &transport.Message{To: "d"})
				second := c.Send(t.Context(), &transport.Message{To: "d"})
				if first == nil || second == nil || !transport.NotSent(second) {
					t.Errorf("Send = %v, then %v, want errors, the second not sent", first, second)
				}
			})
		})
	}
}

func TestSendConfirmedOnBrokenConn(t *testing.T) {
	for _, mode := range []string{"client", "client-individual"} {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := transport.As[transport.Confirmer](quietly(t, mode))
				for i := range 2 {
					time.Sleep(time.Second) // after a pause a Send writes by itself
					var l ledger
					err := c.SendConfirmed(t.Context(), &transport.Message{To: "d"}, l.done("m"))
					want := map[bool]string{true: "m failed"}[err == nil]
					if got := l.taken(); got != want {
						t.Errorf("SendConfirmed %d = %v and done told %q, want exactly one of them to fail", i, err, got)
					}
				}
			})
		})
	}
}
