package stomp_test

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gostomp "github.com/go-stomp/stomp/v3"
	"github.com/go-stomp/stomp/v3/frame"

	"github.com/polyport/polyport/transport"
)

// The tests here let another implementation's client talk to our server.

// silent is a logger for go-stomp, which by default writes to stderr.
type silent struct{}

func (silent) Debugf(string, ...any)   {}
func (silent) Infof(string, ...any)    {}
func (silent) Warningf(string, ...any) {}
func (silent) Errorf(string, ...any)   {}
func (silent) Debug(string)            {}
func (silent) Info(string)             {}
func (silent) Warning(string)          {}
func (silent) Error(string)            {}

// A laggard is a connection whose bytes take a millisecond to arrive, so that
// in a bubble whoever waits for an answer is waiting before it comes: go-stomp
// loses some that are quicker.
type laggard struct{ net.Conn }

func (l laggard) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	time.Sleep(time.Millisecond)
	return n, err
}

type (
	connOpt = func(*gostomp.Conn) error
	sendOpt = func(*frame.Frame) error
)

// tryGoStomp connects go-stomp's client to r. An empty version offers all.
func tryGoStomp(t *testing.T, r *rig, version string, opts ...connOpt) (*gostomp.Conn, error) {
	t.Helper()
	nc, err := r.network.Dial(t.Context(), "server")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = nc.Close()
		time.Sleep(time.Minute) // until go-stomp's goroutines have noticed
	})
	opts = append(opts, gostomp.ConnOpt.Logger(silent{}), gostomp.ConnOpt.Host("localhost"))
	if version != "" {
		opts = append(opts, gostomp.ConnOpt.AcceptVersion(gostomp.Version(version)))
	}
	return gostomp.Connect(laggard{nc}, opts...)
}

func goStomp(t *testing.T, r *rig, version string, opts ...connOpt) *gostomp.Conn {
	t.Helper()
	c, err := tryGoStomp(t, r, version, opts...)
	if err != nil {
		t.Fatalf("go-stomp's Connect = %v", err)
	}
	return c
}

// leave disconnects and checks that the RECEIPT comes at once.
func leave(t *testing.T, c *gostomp.Conn) {
	t.Helper()
	start := time.Now()
	if err := c.Disconnect(); err != nil || time.Since(start) > time.Second {
		t.Errorf("go-stomp's Disconnect = %v after %v, want nil at once", err, time.Since(start))
	}
}

// read returns the next message of a subscription, or fails after a while.
func read(t *testing.T, s *gostomp.Subscription) *gostomp.Message {
	t.Helper()
	select {
	case m := <-s.C:
		if m == nil || m.Err != nil {
			t.Fatalf("go-stomp's subscription ended: %+v", m)
		}
		return m
	case <-time.After(time.Minute):
		t.Fatal("go-stomp's subscription got nothing in a minute")
		return nil
	}
}

func TestGoStompNegotiates(t *testing.T) {
	for _, c := range []struct{ offer, want string }{{"1.0", "1.0"}, {"1.1", "1.1"}, {"1.2", "1.2"}, {"", "1.2"}} {
		t.Run(c.offer, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil, nil)
				conn := goStomp(t, r, c.offer)
				if v := string(conn.Version()); v != c.want || conn.Server() != "polyport" || conn.Session() == "" {
					t.Errorf("version %s, server %q, session %q, want %s, polyport and some", v, conn.Server(), conn.Session(), c.want)
				}
				leave(t, conn)
				if got := r.session().Info().Version; got != c.want {
					t.Errorf("Info().Version = %s, want %s", got, c.want)
				}
			})
		})
	}
}

func TestGoStompUsesSTOMP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leave(t, goStomp(t, newRig(t, nil, nil), "1.2", gostomp.ConnOpt.UseStomp))
	})
}

func TestGoStompLogin(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		r := newRig(t, &transport.ListenOptions{Authenticator: transport.Users(map[string]string{"ann": "secret"})}, nil)
		conn := goStomp(t, r, version, gostomp.ConnOpt.Login("ann", "secret"))
		if got := r.session().Info().User; got != "ann" {
			t.Errorf("Info().User = %q, want ann", got)
		}
		leave(t, conn)
		for _, opt := range []connOpt{gostomp.ConnOpt.Login("ann", "no"), gostomp.ConnOpt.Login("bob", "secret"), nil} {
			opts := []connOpt{opt}
			if opt == nil {
				opts = nil
			}
			var told gostomp.Error
			if _, err := tryGoStomp(t, r, version, opts...); !errors.As(err, &told) || !strings.Contains(told.Message, "password") {
				t.Errorf("go-stomp's Connect = %v, want the ERROR's message about the password", err)
			}
		}
	})
}

func TestGoStompRequestAndAnswer(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		r := newRig(t, nil, echo)
		conn := goStomp(t, r, version)
		for _, to := range []string{"/temp-queue/answers", "/queue/mine", "plain"} {
			sub, err := conn.Subscribe(to, gostomp.AckAuto)
			if err != nil {
				t.Fatal(err)
			}
			for i, body := range []string{"", "hello", "with\x00NUL and\nlines", strings.Repeat("long ", 20_000)} {
				id := strconv.Itoa(i)
				opts := []sendOpt{gostomp.SendOpt.Header("reply-to", to), gostomp.SendOpt.Header("correlation-id", id)}
				if i%2 == 1 {
					opts = append(opts, gostomp.SendOpt.Receipt)
				}
				if err := conn.Send("/queue/rpc", "text/plain", []byte(body), opts...); err != nil {
					t.Fatal(err)
				}
				m := read(t, sub)
				if string(m.Body) != body || m.Destination != to || m.ContentType != "text/plain" || m.Header.Get("correlation-id") != id {
					t.Errorf("%s: got %.60q of %s with %v, want %.60q", to, m.Body, m.ContentType, m.Header, body)
				}
			}
		}
		leave(t, conn)
	})
}

func TestGoStompHeaders(t *testing.T) {
	for _, version := range []string{"1.1", "1.2"} { // in 1.0 go-stomp escapes what must not be escaped
		t.Run(version, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				values := []string{"a:b", `back\slash`, "line\nfeed", `\n`, " blanks ", "日本", ""}
				if version == "1.2" {
					values = append(values, "carriage\rreturn", "\r\n")
				}
				r := newRig(t, nil, func(c transport.Conn, m *transport.Message) {
					_ = c.Send(t.Context(), &transport.Message{To: m.ReplyTo, Headers: m.Headers})
				})
				conn := goStomp(t, r, version)
				sub, err := conn.Subscribe("/temp-queue/a", gostomp.AckAuto)
				if err != nil {
					t.Fatal(err)
				}
				for _, want := range values {
					err := conn.Send("rpc", "", nil, gostomp.SendOpt.Header("reply-to", "/temp-queue/a"), gostomp.SendOpt.Header("k:1", want))
					if err != nil {
						t.Fatal(err)
					}
					if got, ok := read(t, sub).Header.Contains("k:1"); got != want || !ok {
						t.Errorf("the header came back as %q, %t, want %q", got, ok, want)
					}
				}
				leave(t, conn)
			})
		})
	}
}

func TestGoStompNoContentLength(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		r := newRig(t, nil, nil)
		conn := goStomp(t, r, version)
		if err := conn.Send("rpc", "", []byte("to the NUL"), gostomp.SendOpt.NoContentLength, gostomp.SendOpt.Receipt); err != nil {
			t.Fatal(err)
		}
		if m := r.session().received(); len(m) != 1 || string(m[0].Body) != "to the NUL" {
			t.Errorf("received %v, want the body", m)
		}
		leave(t, conn)
	})
}

func TestGoStompAcknowledges(t *testing.T) {
	for _, c := range []struct {
		mode  gostomp.AckMode
		wants string // after the second of three was acknowledged
		nack  string // after NACK of the third
	}{
		{gostomp.AckClient, "m0, m1", "m2 failed"},
		{gostomp.AckClientIndividual, "m1", "m2 failed"},
	} {
		t.Run(c.mode.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, version string) {
				r := newRig(t, nil, nil)
				conn := goStomp(t, r, version)
				sub, err := conn.Subscribe("d", c.mode)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				confirmer, _ := transport.As[transport.Confirmer](r.session().Conn)
				var l ledger
				var got []*gostomp.Message
				for i := range 3 {
					m := &transport.Message{To: "d", Body: []byte{byte(i)}}
					if err := confirmer.SendConfirmed(t.Context(), m, l.done(fmt.Sprintf("m%d", i))); err != nil {
						t.Fatal(err)
					}
					got = append(got, read(t, sub))
				}
				if err := conn.Ack(got[1]); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				if told := l.taken(); told != c.wants {
					t.Errorf("after ACK of m1: told of %q, want %q", told, c.wants)
				}
				if version != "1.0" {
					if err := conn.Nack(got[2]); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Second)
					if told := l.taken(); told != c.nack {
						t.Errorf("after NACK of m2: told of %q, want %q", told, c.nack)
					}
				}
				leave(t, conn)
			})
		})
	}
}

func TestGoStompUnsubscribes(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		r := newRig(t, nil, nil)
		conn := goStomp(t, r, version)
		sub, err := conn.Subscribe("d", gostomp.AckAuto)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := sub.Unsubscribe(); err != nil || time.Since(start) > time.Second {
			t.Errorf("go-stomp's Unsubscribe = %v after %v, want nil at once", err, time.Since(start))
		}
		if err := r.session().Send(t.Context(), &transport.Message{To: "d"}); !errors.Is(err, transport.ErrNoRoute) {
			t.Errorf("Send after it = %v, want ErrNoRoute", err)
		}
		leave(t, conn)
	})
}

// TestGoStompIdles: connections last, whatever heart-beats go-stomp asks for.
func TestGoStompIdles(t *testing.T) {
	for _, c := range []struct{ send, recv time.Duration }{
		{time.Minute, time.Minute}, // go-stomp's default
		{0, time.Second},
		{6 * time.Second, 6 * time.Second},
		{20 * time.Second, 0},
		{0, 0},
	} {
		t.Run(fmt.Sprintf("%v,%v", c.send, c.recv), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil, nil)
				conn := goStomp(t, r, "1.2", gostomp.ConnOpt.HeartBeat(c.send, c.recv))
				time.Sleep(time.Hour)
				if err := conn.Send("rpc", "", nil, gostomp.SendOpt.Receipt); err != nil {
					t.Errorf("Send after an hour = %v", err)
				}
				if err := r.session().ended(); err != nil {
					t.Errorf("Recv = %v, want a connection that lasts", err)
				}
				leave(t, conn)
			})
		})
	}
}

// TestGoStompIsToldWhy: the ERROR reaches the program.
func TestGoStompIsToldWhy(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*gostomp.Conn) error
		says string
	}{
		{"unknown destination", func(c *gostomp.Conn) error { return c.Send("/queue/nowhere", "", nil) }, "/queue/nowhere"},
		{"transaction", func(c *gostomp.Conn) error { _, err := c.BeginWithError(); return err }, "transactions are not supported"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, version string) {
				conn := goStomp(t, newRig(t, nil, nil), version)
				sub, err := conn.Subscribe("d", gostomp.AckAuto)
				if err != nil {
					t.Fatal(err)
				}
				if err := c.do(conn); err != nil {
					t.Fatal(err)
				}
				if m := <-sub.C; m.Err == nil || !strings.Contains(m.Err.Error(), c.says) {
					t.Errorf("the subscription ended with %v, want it to say %q", m.Err, c.says)
				}
			})
		})
	}
}
