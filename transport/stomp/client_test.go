package stomp_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/stomp"
)

func TestClientCONNECT(t *testing.T) {
	for _, c := range []struct {
		name, url string
		o         *transport.DialOptions
		want      string
	}{
		{"the least", "stomp://broker.example", nil, "accept-version:1.0,1.1,1.2\nhost:/\nheart-beat:10000,10000\n"},
		{"with a port", "stomp://broker.example:61613/queue/x", nil, "accept-version:1.0,1.1,1.2\nhost:/\nheart-beat:10000,10000\n"},
		{"login", "stomp://ann:secret@h", nil, "accept-version:1.0,1.1,1.2\nhost:/\nheart-beat:10000,10000\nlogin:ann\npasscode:secret\n"},
		{"login is never escaped", `stomp://a%3Ab:c%5Cd@h`, nil, "accept-version:1.0,1.1,1.2\nhost:/\nheart-beat:10000,10000\nlogin:a:b\npasscode:c\\d\n"},
		{"login alone", "stomp://ann@h", nil, "accept-version:1.0,1.1,1.2\nhost:/\nheart-beat:10000,10000\nlogin:ann\npasscode:\n"},
		{"one version", "stomp://h?version=1.1", nil, "accept-version:1.1\nhost:/\nheart-beat:10000,10000\n"},
		{"two versions", "stomp://h?version=1.0,1.2", nil, "accept-version:1.0,1.2\nhost:/\nheart-beat:10000,10000\n"},
		{"virtual host", "stomp://h", &transport.DialOptions{VirtualHost: "/prod"}, "accept-version:1.0,1.1,1.2\nhost:/prod\nheart-beat:10000,10000\n"},
		{"virtual host by URL", "stomp://h/queue/x?host=other", nil, "accept-version:1.0,1.1,1.2\nhost:other\nheart-beat:10000,10000\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeServer(t, c.url, c.o)
				if got := one(t, f.taken(), "CONNECT"); headers(got) != c.want+"content-length:0\n" {
					t.Errorf("CONNECT with\n%s\nwant\n%s", headers(got), c.want)
				}
				f.send(wire("CONNECTED\nversion:" + (map[bool]string{true: "1.2", false: "1.1"})[strings.Contains(c.want, "1.2")] + "\n\n^@"))
				f.conn()
			})
		})
	}
}

func TestClientNegotiates(t *testing.T) {
	for _, c := range []struct{ name, url, in, version, peer string }{
		{"1.0 without the header", "stomp://h", "CONNECTED\nsession: 7\n\n^@", "1.0", ""},
		{"1.0", "stomp://h", "CONNECTED\nversion:1.0\n\n^@", "1.0", ""},
		{"1.1", "stomp://h", "CONNECTED\nversion:1.1\nserver:RabbitMQ/3.10.8\n\n^@", "1.1", "RabbitMQ/3.10.8"},
		{"1.2", "stomp://h", "CONNECTED\nversion:1.2\nserver:ActiveMQ/5.17.2\nheart-beat:0,0\n\n^@\n", "1.2", "ActiveMQ/5.17.2"},
		{"CR LF", "stomp://h", "CONNECTED\r\nversion:1.2\r\nserver:x\r\n\r\n^@\r\n", "1.2", "x"},
		{"never escaped", "stomp://h", "CONNECTED\nversion:1.2\nserver:a\\b\\cc\n\n^@", "1.2", `a\b\cc`},
		{"the only one offered", "stomp://h?version=1.0", "CONNECTED\nversion:1.0\n\n^@", "1.0", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeServer(t, c.url, nil)
				f.send(wire(c.in))
				i := f.conn().Info()
				if i.Version != c.version || i.Peer != c.peer || i.Scheme != "stomp" || !i.Addressed {
					t.Errorf("Info() = %+v, want version %s and peer %q", i, c.version, c.peer)
				}
			})
		})
	}
}

func TestClientRefused(t *testing.T) {
	for _, c := range []struct {
		name, url, in string
		kind          error
		says          string
	}{
		{"ERROR", "stomp://h", "ERROR\nmessage:Bad CONNECT\n\nAccess refused for user 'ann'\n^@", transport.ErrRefused, "Bad CONNECT: Access refused for user 'ann'"},
		{"ERROR without a body", "stomp://h", "ERROR\nmessage:go away\n\n^@", transport.ErrRefused, "go away"},
		{"ERROR without a message", "stomp://h", "ERROR\n\nSorry\n^@", transport.ErrRefused, "Sorry"},
		{"ERROR that says nothing", "stomp://h", "ERROR\n\n^@", transport.ErrRefused, "without a message"},
		{"ERROR with a long body", "stomp://h", "ERROR\nmessage:no\n\n" + strings.Repeat("x", 60_000) + "^@", transport.ErrRefused, "no: xxx"},
		{"ERROR with too long a body", "stomp://h", "ERROR\nmessage:no\n\n" + strings.Repeat("x", 100_000) + "^@", transport.ErrTooLarge, "65536"},
		{"a version not offered", "stomp://h?version=1.2", "CONNECTED\nversion:1.1\n\n^@", transport.ErrProtocol, "1.1"},
		{"no version, not offered", "stomp://h?version=1.1,1.2", "CONNECTED\n\n^@", transport.ErrProtocol, "version"},
		{"an unknown version", "stomp://h", "CONNECTED\nversion:2.0\n\n^@", transport.ErrProtocol, "2.0"},
		{"another frame", "stomp://h", "MESSAGE\ndestination:d\n\n^@", transport.ErrProtocol, "MESSAGE"},
		{"bad heart-beat", "stomp://h", "CONNECTED\nversion:1.2\nheart-beat:soon\n\n^@", transport.ErrProtocol, "heart-beat"},
		{"HTTP", "stomp://h", "HTTP/1.1 400 Bad Request\r\n\r\n", transport.ErrProtocol, "HTTP/1.1"},
		{"garbage", "stomp://h", "\x15\x03\x03\x00\x02\x02", transport.ErrProtocol, "command"},
		{"a body", "stomp://h", "CONNECTED\nversion:1.2\n\nhello^@", transport.ErrProtocol, "body"},
		{"a long head", "stomp://h", "CONNECTED\nk:" + strings.Repeat("v", 70_000), transport.ErrTooLarge, "header"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeServer(t, c.url, nil)
				f.send(wire(c.in))
				err := f.refused()
				if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("Client = %v, want a %v that says %q", err, c.kind, c.says)
				}
				if len(err.Error()) > 2000 {
					t.Errorf("the error has %d bytes, want a sentence", len(err.Error()))
				}
			})
		})
	}
}

// TestClientHandshakeEndsInTime: a server that says nothing, or not enough,
// costs the time-out and no more.
func TestClientHandshakeEndsInTime(t *testing.T) {
	for name, in := range map[string]string{"nothing": "", "half a frame": "CONNECTED\nversion:1.2\n", "line ends": "\n\n\n"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeServer(t, "stomp://h", &transport.DialOptions{Timeout: 2 * time.Second})
				f.send(in)
				if d := <-f.dialed; d.err == nil || d.took != 2*time.Second {
					t.Errorf("Client = %v after %v, want an error after 2s", d.err, d.took)
				}
			})
		})
	}
}

func TestClientRefusesToAsk(t *testing.T) {
	for _, c := range []struct{ name, url string }{
		{"unknown version", "stomp://h?version=3"},
		{"line feed in the login", "stomp://a%0Ab@h"},
		{"NUL in the passcode", "stomp://a:%00@h"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeServer(t, c.url, nil)
				if err := f.refused(); !errors.Is(err, transport.ErrInvalid) {
					t.Errorf("Client = %v, want ErrInvalid", err)
				}
				if got := strings.TrimSuffix(f.taken(), "^D"); got != "" {
					t.Errorf("the server got\n%s\nwant nothing", printable(got))
				}
			})
		})
	}
}

func TestClientDestination(t *testing.T) {
	for _, c := range []struct{ url, to, want string }{
		{"stomp://h", "", "/queue/rpc"},
		{"stomp://h/", "", "/queue/rpc"},
		{"stomp://h/calc", "", "/queue/calc"},
		{"stomp://h/queue/calc", "", "/queue/calc"},
		{"stomp://h/topic/a.b", "", "/topic/a.b"},
		{"stomp://h/jms.topic.vdsm_requests", "", "/queue/jms.topic.vdsm_requests"},
		{"stomp://h/queue/calc", "plain", "plain"},
		{"stomp://h/queue/calc", "/queue/other", "/queue/other"},
	} {
		t.Run(c.url+" "+c.to, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeServer(t, c.url, nil)
				f.taken()
				f.send(wire("CONNECTED\nversion:1.2\n\n^@"))
				if err := f.conn().Send(t.Context(), &transport.Message{To: c.to}); err != nil {
					t.Fatal(err)
				}
				if got := one(t, f.taken(), "SEND").Header.Get("destination"); got != c.want {
					t.Errorf("SEND to %q went to %q, want %q", c.to, got, c.want)
				}
			})
		})
	}
}

func TestClientReceives(t *testing.T) {
	for _, c := range []struct {
		name, version, in string
		want              transport.Message
	}{
		{"the least", "1.2", "MESSAGE\n\n^@", transport.Message{}},
		{"as vdsm sends it", "1.2", "MESSAGE\ndestination:jms.topic.vdsm_responses\ncontent-type:application/json\nsubscription:5c\ncontent-length:2\n\n{}^@", transport.Message{
			To: "jms.topic.vdsm_responses", ContentType: "application/json", Subscription: "5c", Body: []byte("{}"),
		}},
		{"as RabbitMQ sends it", "1.2", `
MESSAGE
subscription:/temp-queue/rpc
destination:/queue/amq.gen-x
message-id:T_/temp-queue/rpc@@session-1@@1
redelivered:true
reply-to:/reply-queue/amq.gen-y
amqp-message-id:17
correlation-id:4
persistent:1
x-trace:a\cb
content-length:1

x^@
`, transport.Message{
			To: "/queue/amq.gen-x", Subscription: "/temp-queue/rpc", ReplyTo: "/reply-queue/amq.gen-y", ID: transport.TextID("17"),
			CorrelationID: transport.TextID("4"), Attempt: 1, Body: []byte("x"), Headers: []transport.Header{{Name: "x-trace", Value: "a:b"}},
		}},
		{"with the receipt of its SEND", "1.1", "MESSAGE\nreceipt:9\ndestination:d\n\nx^@", transport.Message{To: "d", Body: []byte("x")}},
		{"CR LF", "1.2", "MESSAGE\r\ndestination:d\r\n\r\nx^@", transport.Message{To: "d", Body: []byte("x")}},
		{"1.0", "1.0", "MESSAGE\ndestination: d\nmessage-id: 1\nk: a\\nb\n\nx^@", transport.Message{To: "d", Body: []byte("x"), Headers: []transport.Header{{Name: "k", Value: `a\nb`}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newSession(t, c.version, nil, "")
				r := f.receive()
				f.send(wire(c.in))
				if diff := cmp.Diff(&c.want, r.next(), sameMessage); diff != "" {
					t.Errorf("Recv (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestClientReceiveEnds is about what ends a session, and how Recv, Send and
// what waits for a receipt say it.
func TestClientReceiveEnds(t *testing.T) {
	limits := transport.Limits{Message: 1000, Headers: 5}
	for _, c := range []struct {
		name, in string
		kind     error
		says     string
	}{
		{"ERROR", "ERROR\nmessage:no such queue\n\nreally\n^@", transport.ErrRefused, "no such queue: really"},
		{"a client's frame", "SEND\ndestination:d\n\n^@", transport.ErrProtocol, "SEND"},
		{"CONNECTED again", "CONNECTED\nversion:1.2\n\n^@", transport.ErrProtocol, "CONNECTED"},
		{"garbage", "nonsense", transport.ErrProtocol, "nonsense"},
		{"undefined escape", "MESSAGE\nk:a\\tb\n\n^@", transport.ErrProtocol, "escape"},
		{"a long body", "MESSAGE\ndestination:d\ncontent-length:1001\n\n", transport.ErrTooLarge, "1001"},
		{"many headers", "MESSAGE\n" + strings.Repeat("k:v\n", 6) + "\n^@", transport.ErrTooLarge, "header"},
		{"the end", "", transport.ErrClosed, "peer closed"},
		{"the end within a frame", "MESSAGE\ndest", transport.ErrClosed, "peer closed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &transport.DialOptions{}
				o.Limits = limits
				f := newSession(t, "1.2", o, "")
				r := f.receive()
				var l ledger
				confirmer, _ := transport.As[transport.Confirmer](f.conn())
				if err := confirmer.SendConfirmed(t.Context(), new(transport.Message), l.done("m")); err != nil {
					t.Fatal(err)
				}
				f.send(wire(c.in))
				synctest.Wait()
				if strings.Contains(c.name, "the end") {
					_ = f.nc.Close()
				}
				err := <-r.err
				if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("Recv = %v, want a %v that says %q", err, c.kind, c.says)
				}
				if _, again := f.conn().Recv(t.Context()); !errors.Is(again, c.kind) {
					t.Errorf("Recv once more = %v, want a %v", again, c.kind)
				}
				if err := f.conn().Send(t.Context(), new(transport.Message)); err == nil || !transport.NotSent(err) {
					t.Errorf("Send after it = %v, want an error that says not sent", err)
				}
				if got := l.taken(); got != "m failed" {
					t.Errorf("who waits for a receipt was told %q, want m failed", got)
				}
			})
		})
	}
}

// TestClientClose: what was sent leaves, then DISCONNECT; the peer has the
// linger time to answer, and no more.
func TestClientClose(t *testing.T) {
	const goodbye = "SEND\ndestination:/queue/rpc\ncontent-length:3\n\none^@DISCONNECT\nreceipt:…\ncontent-length:0\n\n^@^D"
	for _, c := range []struct {
		name  string
		reply func(*fakeServer)
		took  time.Duration
	}{
		{"silent server", func(*fakeServer) {}, 3 * time.Second},
		{"server that closes", func(f *fakeServer) { _ = f.nc.Close() }, 0},
		{"server that confirms and closes late", func(f *fakeServer) {
			f.send(wire("RECEIPT\nreceipt-id:bye\n\n^@"))
			time.Sleep(time.Second)
			_ = f.nc.Close()
		}, time.Second},
		{"server that talks on", func(f *fakeServer) {
			for range 100 {
				f.send(wire("MESSAGE\ndestination:d\n\n^@"))
				time.Sleep(100 * time.Millisecond)
			}
		}, 3 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &transport.DialOptions{}
				o.Linger = 3 * time.Second
				f := newSession(t, "1.2", o, "")
				r := f.receive()
				if err := f.conn().Send(t.Context(), &transport.Message{Body: []byte("one")}); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				closed := make(chan time.Duration)
				go func() {
					if err := f.conn().Close(); err != nil {
						t.Errorf("Close = %v", err)
					}
					closed <- time.Since(start)
				}()
				if got := f.taken(); !matches(got, goodbye) {
					t.Errorf("the server got\n%s\nwant\n%s", printable(got), goodbye)
				}
				go c.reply(f)
				if took := <-closed; took != c.took {
					t.Errorf("Close took %v, want %v", took, c.took)
				}
				if err := <-r.err; !errors.Is(err, transport.ErrClosed) {
					t.Errorf("Recv = %v, want ErrClosed", err)
				}
				if err := f.conn().Send(t.Context(), new(transport.Message)); !errors.Is(err, transport.ErrClosed) || !transport.NotSent(err) {
					t.Errorf("Send after Close = %v, want ErrClosed, not sent", err)
				}
				if err := f.conn().Close(); err != nil {
					t.Errorf("second Close = %v", err)
				}
				time.Sleep(10 * time.Second) // the server that talks on
			})
		})
	}
}

// TestInterruptedRecvDoesNotAgeTheFrame: a Recv that gives up in the middle of
// a frame loses nothing, however long the application stays away.
func TestInterruptedRecvDoesNotAgeTheFrame(t *testing.T) {
	const text = "MESSAGE\ndestination:d\ncontent-length:5\n\nhello\x00"
	for cut := range len(text) {
		synctest.Test(t, func(t *testing.T) {
			f := newSession(t, "1.2", nil, "")
			f.send(text[:cut])
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if m, err := f.conn().Recv(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("Recv of %q = %v, %v, want a passed deadline", text[:cut], m, err)
			}
			f.send(text[cut:] + text)
			time.Sleep(10 * time.Minute)
			for range 2 {
				m, err := f.conn().Recv(t.Context())
				if err != nil || string(m.Body) != "hello" || m.To != "d" {
					t.Fatalf("Recv after %q = %+v, %v, want hello", text[:cut], m, err)
				}
			}
		})
	}
}

// TestClientLeavesConnOnError: the caller owns nc until Client succeeds; the
// error of a peer that is not there is the network's.
func TestClientLeavesConnOnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := pipe(t)
		_ = near.Close()
		u, _ := url.Parse("stomp://h")
		if c, err := (stomp.Transport{}).Client(t.Context(), far, u, nil); err == nil {
			t.Errorf("Client on a connection that is gone = %v, nil", c)
		}
	})
}
