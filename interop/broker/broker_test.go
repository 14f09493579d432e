package broker_test

import (
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-stomp/stomp/v3"
	"github.com/polyport/polyport/interop/broker"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect returns a session of go-stomp's client with b.
func connect(t *testing.T, b *broker.Broker) *stomp.Conn {
	t.Helper()
	u, err := url.Parse(b.URL)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	conn, err := stomp.Dial("tcp", u.Host, stomp.ConnOpt.Login(u.User.Username(), password), stomp.ConnOpt.Host("/"))
	if err != nil {
		t.Fatalf("Dial(%q): %v", b.URL, err)
	}
	return conn
}

// send sends a message to a queue; the broker has it when send returns.
func send(t *testing.T, b *broker.Broker, queue, body string) {
	t.Helper()
	conn := connect(t, b)
	err := conn.Send(queue, "text/plain", []byte(body), stomp.SendOpt.Receipt, stomp.SendOpt.Header("persistent", "true"))
	if err != nil {
		t.Fatalf("Send: %v", err)
	}
	if err := conn.Disconnect(); err != nil {
		t.Fatalf("Disconnect: %v", err)
	}
}

// receive demands that the queue's next message is want.
func receive(t *testing.T, b *broker.Broker, queue, want string) {
	t.Helper()
	conn := connect(t, b)
	sub, err := conn.Subscribe(queue, stomp.AckAuto)
	if err != nil {
		t.Fatalf("Subscribe: %v", err)
	}
	timeout := time.NewTimer(30 * time.Second)
	defer timeout.Stop()
	select {
	case m := <-sub.C:
		if m.Err != nil || string(m.Body) != want {
			t.Errorf("received %q, %v, want %q", m.Body, m.Err, want)
		}
	case <-timeout.C:
		t.Error("no message after 30 s")
	}
	if err := sub.Unsubscribe(); err != nil {
		t.Errorf("Unsubscribe: %v", err)
	}
	if err := conn.Disconnect(); err != nil {
		t.Errorf("Disconnect: %v", err)
	}
}

// answers tells whether somebody listens on the broker's port.
func answers(t *testing.T, b *broker.Broker) bool {
	t.Helper()
	u, err := url.Parse(b.URL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.DialTimeout("tcp", u.Host, 10*time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

func TestShared(t *testing.T) {
	broker.Each(t, func(t *testing.T, b *broker.Broker) {
		const queue = "/queue/interop.broker.TestShared"
		send(t, b, queue, "hello")
		receive(t, b, queue, "hello")
		if _, err := os.Stat(b.Log); err != nil {
			t.Errorf("Log: %v", err)
		}
	})
}

// TestOwn crashes, restarts and stops a broker under a persistent message.
func TestOwn(t *testing.T) {
	broker.Each(t, func(t *testing.T, shared *broker.Broker) {
		t.Parallel()
		const queue = "/queue/kept"
		b := broker.Own(t, shared.Kind, "--tls")
		if b.URL == shared.URL {
			t.Fatalf("Own has the shared broker's URL %s", b.URL)
		}
		for _, path := range []string{b.CAFile, b.CertFile, b.KeyFile, b.Log} {
			if _, err := os.Stat(path); err != nil {
				t.Error(err)
			}
		}
		if !strings.HasPrefix(b.TLSURL, "stomps://") {
			t.Errorf("TLSURL = %q, want stomps://…", b.TLSURL)
		}
		send(t, b, queue, "kept")
		b.Kill()
		if answers(t, b) {
			t.Errorf("%s answers after Kill", b.URL)
		}
		b.Start()
		b.Restart()
		receive(t, b, queue, "kept")
		b.Stop()
		if answers(t, b) {
			t.Errorf("%s answers after Stop", b.URL)
		}
	})
}

// verdict is a test that only notes how it was ended.
type verdict struct {
	testing.TB

	said string
}

func (v *verdict) Fatalf(format string, args ...any) { v.end("fatal") }
func (v *verdict) Skipf(format string, args ...any)  { v.end("skip") }
func (v *verdict) end(how string)                    { v.said = how; panic(v) }

// of returns how f ended a test: fatal, skip or, by returning, nothing.
func of(t *testing.T, f func(tb testing.TB)) (said string) {
	v := &verdict{TB: t}
	defer func() {
		if r := recover(); r != nil && r != v {
			panic(r)
		}
		said = v.said
	}()
	f(v)
	return v.said
}

func TestSharedMissing(t *testing.T) {
	// The port of a listener that has closed.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	tests := []struct {
		name, url, require string
		want               string
	}{
		{"nothing runs", "", "", "skip"},
		{"nothing runs, but must", "", "1", "fatal"},
		{"it does not answer", "stomp://guest:guest@" + l.Addr().String(), "", "fatal"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("ACTIVEMQ_STOMP_URL", tt.url)
			t.Setenv("POLYPORT_REQUIRE_INTEROP", tt.require)
			if got := of(t, func(tb testing.TB) { tb.Helper(); broker.Shared(tb, broker.ActiveMQ) }); got != tt.want {
				t.Errorf("Shared ended the test by %q, want %q", got, tt.want)
			}
			if got := of(t, func(tb testing.TB) { tb.Helper(); broker.Own(tb, broker.ActiveMQ) }); got != tt.want {
				t.Errorf("Own ended the test by %q, want %q", got, tt.want)
			}
		})
	}
}

// TestSharedStays: no test may end what the others use.
func TestSharedStays(t *testing.T) {
	broker.Each(t, func(t *testing.T, b *broker.Broker) {
		for name, verb := range map[string]func(*broker.Broker){
			"Kill": (*broker.Broker).Kill, "Stop": (*broker.Broker).Stop, "Start": (*broker.Broker).Start, "Restart": (*broker.Broker).Restart,
		} {
			if got := of(t, func(tb testing.TB) { tb.Helper(); verb(broker.Shared(tb, b.Kind)) }); got != "fatal" {
				t.Errorf("%s of a shared broker ended the test by %q, want fatal", name, got)
			}
		}
		if !answers(t, b) {
			t.Error("the shared broker is gone")
		}
	})
}
