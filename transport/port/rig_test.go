package port_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
	"github.com/polyport/polyport/transport/port"
)

// An opening is how a client begins, and how what it is answered begins.
type opening struct {
	name, wire    string
	bytes, answer string
	overTLS       string // the answer over TLS, if it is another
}

const (
	zmqGreeting = "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f" + "\x03\x00NULL\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
		"\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	h2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	amqpOpen  = "\x00\x00\x00\x11\x02\x00\x00\x00\x00\x53\x10\xc0\x04\x01\xa1\x01x" // container-id x
)

// openings are those of every wire, each whole: with all that it takes to be
// answered.
var openings = []opening{
	{"CONNECT", "stomp", "CONNECT\naccept-version:1.2\nhost:x\n\n\x00", "CONNECTED\n", ""},
	{"STOMP after EOLs", "stomp", "\n\r\n\nSTOMP\r\naccept-version:1.2\r\nhost:x\r\n\r\n\x00", "CONNECTED\n", ""},
	{"SUBSCRIBE first", "stomp", "SUBSCRIBE\nid:1\ndestination:/queue/rpc\n\n\x00", "ERROR\n", ""},
	{"SEND first", "stomp", "SEND\ndestination:/queue/rpc\n\n{}\x00", "ERROR\n", ""},
	{"NACK first", "stomp", "NACK\nid:1\n\n\x00", "ERROR\n", ""},
	{"plain header", "amqp", "AMQP\x00\x01\x00\x00" + amqpOpen, "AMQP\x00\x01\x00\x00", ""},
	{"SASL header", "amqp", "AMQP\x03\x01\x00\x00", "AMQP\x03\x01\x00\x00", ""},
	{"header of TLS inside", "amqp", "AMQP\x02\x01\x00\x00", "AMQP\x00\x01\x00\x00", ""},
	{"0-9-1", "amqp", "AMQP\x00\x00\x09\x01", "AMQP\x00\x01\x00\x00", ""},
	{"0-8", "amqp", "AMQP\x01\x01\x08\x00", "AMQP\x00\x01\x00\x00", ""},
	{"libzmq's signature", "zmq", zmqGreeting[:10], "\xff", ""},
	{"greeting", "zmq", zmqGreeting, "\xff", ""},
	{"ZMTP 2.0", "zmq", "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x01\x05\x00\x00", "\xff", ""},
	{"GET", "http", "GET /health HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200", ""},
	{"CONNECT of HTTP", "http", "CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n", "HTTP/1.1 4", ""},
	{"POST", "http", "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 200", ""},
	{"h2c by prior knowledge", "http", h2Preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00", "\x00\x00", "HTTP/1.1 4"},
}

// answered is how o is answered.
func (o opening) answered(form string) string {
	if form == "TLS" && o.overTLS != "" {
		return o.overTLS
	}
	return o.answer
}

// A gate is a port on a network of its own, on which all wires are accepted.
type gate struct {
	*transport.Listener
	network mem.Network
	logged  *lockedBuffer
	done    chan struct{}

	mu   sync.Mutex // protects the field below
	seen map[string]int
}

func openGate(tb testing.TB, o *port.Options) *gate {
	tb.Helper()
	g := &gate{logged: new(lockedBuffer), seen: map[string]int{}, done: make(chan struct{})}
	ln, err := g.network.Listen("gate")
	if err != nil {
		tb.Fatal(err)
	}
	if o == nil {
		o = new(port.Options)
	}
	o.Logger = slog.New(slog.NewTextHandler(g.logged, nil))
	o.Linger = time.Millisecond
	if g.Listener, err = port.NewListener(ln, o); err != nil {
		tb.Fatal(err)
	}
	go g.accept()
	tb.Cleanup(g.close)
	return g
}

func (g *gate) close() {
	_ = g.Close()
	<-g.done
}

// accept receives on what comes until its end, and answers who waits for it.
func (g *gate) accept() {
	defer close(g.done)
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		c, err := g.Accept(context.Background())
		if err != nil {
			return
		}
		g.mu.Lock()
		g.seen[c.Info().Scheme]++
		g.mu.Unlock()
		conns.Go(func() {
			for {
				m, err := c.Recv(context.Background())
				if err != nil {
					_ = c.Close()
					return
				}
				if c.Info().Lockstep {
					_ = c.Send(context.Background(), &transport.Message{Body: m.Body})
				}
			}
		})
	}
}

// dial returns a byte stream to the port, with TLS unless conf is nil.
func (g *gate) dial(tb testing.TB, conf *tls.Config) net.Conn {
	tb.Helper()
	nc, err := g.network.Dial(tb.Context(), "gate")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = nc.Close() })
	if conf == nil {
		return nc
	}
	session := tls.Client(nc, conf)
	if err := session.Handshake(); err != nil {
		tb.Fatalf("Handshake = %v, want nil", err)
	}
	return session
}

// lockedBuffer is what a logger writes to.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

// text returns what was logged up to now.
func (b *lockedBuffer) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.String()
}

// checkAnswer expects the next bytes to be want.
func checkAnswer(tb testing.TB, what string, nc net.Conn, want string) {
	tb.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(nc, got)
	if string(got[:n]) != want {
		tb.Fatalf("%s: answered with %q, %v; want %q", what, got[:n], err, want)
	}
}

// checkCut expects the end of the connection, and nothing before it.
func checkCut(tb testing.TB, what string, nc net.Conn) {
	tb.Helper()
	if n, err := nc.Read(make([]byte, 1)); err == nil {
		tb.Errorf("%s: got %d bytes, want the end of the connection", what, n)
	}
}

// checkLogged expects exactly one record, which holds want.
func checkLogged(tb testing.TB, what string, log *lockedBuffer, want string) {
	tb.Helper()
	got := log.text()
	if strings.Count(got, "\n") != 1 || !strings.Contains(got, want) {
		tb.Errorf("%s: logged %q, want one line with %q", what, got, want)
	}
}
