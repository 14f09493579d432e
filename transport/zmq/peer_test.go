package zmq_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
	"github.com/polyport/polyport/transport/zmq"
)

// A peer is one end of a connection on which a test speaks bytes. Everything
// that arrives is read at once, by a goroutine of its own. It needs a bubble.
type peer struct {
	t  *testing.T
	nc net.Conn

	done chan struct{} // closed when nothing more will arrive
	mu   sync.Mutex    // protects the field below
	in   bytes.Buffer
}

func newPeer(t *testing.T, nc net.Conn) *peer {
	t.Helper()
	p := &peer{t: t, nc: nc, done: make(chan struct{})}
	go p.read()
	t.Cleanup(func() {
		_ = nc.Close()
		<-p.done
	})
	return p
}

func (p *peer) read() {
	defer close(p.done)
	buf := make([]byte, 16<<10)
	for {
		n, err := p.nc.Read(buf)
		p.mu.Lock()
		p.in.Write(buf[:n])
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// send writes bytes; a connection that is gone does not take them.
func (p *peer) send(parts ...[]byte) { _, _ = p.nc.Write(join(parts...)) }

// taken returns what has arrived since the last call, once all is at rest.
func (p *peer) taken() []byte {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	b := bytes.Clone(p.in.Bytes())
	p.in.Reset()
	return b
}

// expect checks what has arrived.
func (p *peer) expect(what string, parts ...[]byte) {
	p.t.Helper()
	if got, want := p.taken(), join(parts...); !bytes.Equal(got, want) {
		p.t.Errorf("%s: the peer got\n%q, want\n%q", what, clip(got), clip(want))
	}
}

func clip(b []byte) []byte { return b[:min(len(b), 1000)] }

// over reports whether the other end has closed the connection.
func (p *peer) over() bool {
	synctest.Wait()
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// An end is the end under test, and what became of its handshake.
type end struct {
	*peer
	ready chan struct{} // closed when the fields below are set
	conn  transport.Conn
	err   error
}

// shake runs one of a Transport's methods as Listen and Dial do.
func shake(t *testing.T, timeout time.Duration, open func(context.Context, net.Conn) (transport.Conn, error)) *end {
	t.Helper()
	near, far := mem.Pipe()
	e := &end{peer: newPeer(t, near), ready: make(chan struct{})}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	deadline, _ := ctx.Deadline()
	_ = far.SetDeadline(deadline)
	go func() {
		defer close(e.ready)
		defer cancel()
		if e.conn, e.err = open(ctx, far); e.err != nil {
			_ = far.Close()
			return
		}
		_ = far.SetDeadline(time.Time{})
	}()
	t.Cleanup(func() {
		_ = near.Close()
		if <-e.ready; e.conn != nil {
			_ = e.conn.Close()
		}
	})
	return e
}

// serving is a server under test, with the bytes of a client.
func serving(t *testing.T, o *transport.ListenOptions, opening ...[]byte) *end {
	t.Helper()
	e := shake(t, o.WithDefaults().HandshakeTimeout, func(ctx context.Context, nc net.Conn) (transport.Conn, error) {
		return zmq.Transport{}.Server(ctx, nc, o)
	})
	e.send(opening...)
	return e
}

// dialing is a client under test, with the bytes of a server.
func dialing(t *testing.T, rawURL string, o *transport.DialOptions, opening ...[]byte) *end {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	e := shake(t, o.WithDefaults().Timeout, func(ctx context.Context, nc net.Conn) (transport.Conn, error) {
		return zmq.Transport{}.Client(ctx, nc, u, o)
	})
	e.send(opening...)
	return e
}

// open returns the connection of a handshake that went well, after which the
// peer has taken all of it.
func (e *end) open() transport.Conn {
	e.t.Helper()
	<-e.ready
	if e.err != nil {
		e.t.Fatalf("the handshake ended with %v", e.err)
	}
	e.taken()
	return e.conn
}

// refused returns the error of a handshake that did not go well.
func (e *end) refused() error {
	e.t.Helper()
	<-e.ready
	if e.err == nil {
		e.t.Fatal("the handshake went well")
	}
	if text := e.err.Error(); len(text) > 200 || strings.Contains(text, "zmq4") {
		e.t.Errorf("a person is told in %d bytes: %s", len(text), text)
	}
	return e.err
}

// inbox is what came out of a connection's Recv.
type inbox struct {
	got  chan *transport.Message
	over chan struct{} // closed when err is set
	err  error
}

// receive runs Recv until it fails.
func receive(c transport.Conn) *inbox {
	b := &inbox{got: make(chan *transport.Message, 10_000), over: make(chan struct{})}
	go func() {
		defer close(b.over)
		for {
			m, err := c.Recv(context.Background())
			if err != nil {
				b.err = err
				return
			}
			b.got <- m
		}
	}()
	return b
}

// next returns the next message, or nil if none has come.
func (b *inbox) next() *transport.Message {
	synctest.Wait()
	select {
	case m := <-b.got:
		return m
	default:
		return nil
	}
}

// ended returns why Recv ended, or nil if it has not.
func (b *inbox) ended() error {
	synctest.Wait()
	select {
	case <-b.over:
		return b.err
	default:
		return nil
	}
}

// echo answers each message with its body.
func echo(c transport.Conn) {
	go func() {
		for {
			m, err := c.Recv(context.Background())
			if err != nil {
				return
			}
			_ = c.Send(context.Background(), answerTo(m))
		}
	}()
}

func answerTo(m *transport.Message) *transport.Message {
	return &transport.Message{To: m.ReplyTo, CorrelationID: m.ID, ContentType: m.ContentType, Body: m.Body}
}

// bubble runs f in virtual time.
func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// checkErr checks the kind of an error of Send and Publish, and that it proves
// that nothing was sent.
func checkErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || !transport.NotSent(err) {
		t.Errorf("%s = %v, NotSent %v; want %v with NotSent", what, err, transport.NotSent(err), want)
	}
}

// The value of X-Polyport as ends of ours send it.
const (
	oursAsClient = "software=polyport&host=h&beat=10000&message=4194304&header-bytes=65536&headers=128&subscriptions=1024"
	oursAsServer = oursAsClient + "&destination=rpc"
	magic        = "\x01polyport\x01"
)

var null = greet(0, "NULL")

// readyAs is the READY of an end of ours.
func readyAs(socket, ours string) []byte {
	return command("READY", property("Socket-Type", socket)+property("X-Polyport", ours))
}
