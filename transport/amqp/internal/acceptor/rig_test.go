package acceptor_test

import (
	"context"
	"net"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	goamqp "github.com/Azure/go-amqp"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp/internal/acceptor"
	"github.com/polyport/polyport/transport/mem"
)

// A wire is the acceptor as a transport without a client end.
type wire struct{}

func (wire) Client(context.Context, net.Conn, *url.URL, *transport.DialOptions) (transport.Conn, error) {
	return nil, transport.ErrUnsupported
}

func (wire) Server(ctx context.Context, nc net.Conn, o *transport.ListenOptions) (transport.Conn, error) {
	return acceptor.Serve(ctx, nc, o)
}

// A rig is a listening server under test, and an application behind it that
// notes what it receives and then does what the test wants.
type rig struct {
	t       *testing.T
	network mem.Network
	l       *transport.Listener
	app     func(transport.Conn, *transport.Message)
	wg      sync.WaitGroup

	mu    sync.Mutex // protects the field below
	conns []*served
}

// A served is one connection as the application sees it.
type served struct {
	transport.Conn
	mu   sync.Mutex // protects the fields below
	got  []*transport.Message
	err  error // why Recv ended
	over chan struct{}
}

// newRig serves an in-memory network. A nil app does nothing.
func newRig(t *testing.T, o *transport.ListenOptions, app func(transport.Conn, *transport.Message)) *rig {
	t.Helper()
	r := &rig{t: t, app: app}
	ln, err := r.network.Listen("server")
	if err != nil {
		t.Fatal(err)
	}
	r.serve(ln, o)
	return r
}

// newTCPRig serves a TCP port on the loopback interface.
func newTCPRig(t *testing.T, o *transport.ListenOptions, app func(transport.Conn, *transport.Message)) *rig {
	t.Helper()
	r := &rig{t: t, app: app}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.serve(ln, o)
	return r
}

func (r *rig) serve(ln net.Listener, o *transport.ListenOptions) {
	r.l = transport.NewListener(ln, wire{}, o)
	r.wg.Go(r.accept)
	r.t.Cleanup(func() {
		_ = r.l.Close()
		for _, s := range r.all() {
			_ = s.Close()
		}
		r.wg.Wait()
	})
}

func (r *rig) accept() {
	for {
		c, err := r.l.Accept(context.Background())
		if err != nil {
			return
		}
		s := &served{Conn: c, over: make(chan struct{})}
		r.mu.Lock()
		r.conns = append(r.conns, s)
		r.mu.Unlock()
		r.wg.Go(func() { r.receive(s) })
	}
}

func (r *rig) receive(s *served) {
	defer close(s.over)
	for {
		m, err := s.Recv(context.Background())
		s.mu.Lock()
		if err != nil {
			s.err = err
			s.mu.Unlock()
			_ = s.Close()
			return
		}
		s.got = append(s.got, m)
		s.mu.Unlock()
		if r.app != nil {
			r.app(s.Conn, m)
		}
	}
}

// all returns the connections that were accepted so far.
func (r *rig) all() []*served {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*served(nil), r.conns...)
}

// last returns the last one accepted. It needs a bubble.
func (r *rig) last() *served {
	r.t.Helper()
	synctest.Wait()
	all := r.all()
	if len(all) == 0 {
		r.t.Fatal("no connection was accepted")
	}
	return all[len(all)-1]
}

// received returns the messages that the application got since the last call.
// It needs a bubble.
func (s *served) received() []*transport.Message {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.got
	s.got = nil
	return got
}

// ended returns why Recv ended, or nil if it has not. It needs a bubble.
func (s *served) ended() error {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// dial opens a connection on which nothing was said.
func (r *rig) dial() net.Conn {
	r.t.Helper()
	addr := r.l.Addr()
	if addr.Network() == "tcp" {
		nc, err := net.Dial("tcp", addr.String())
		if err != nil {
			r.t.Fatal(err)
		}
		return nc
	}
	nc, err := r.network.Dial(context.Background(), "server")
	if err != nil {
		r.t.Fatal(err)
	}
	return nc
}

// soon bounds what must happen at once.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// tryGoAMQP connects go-amqp's client.
func (r *rig) tryGoAMQP(o *goamqp.ConnOptions) (*goamqp.Conn, error) {
	r.t.Helper()
	nc := r.dial()
	c, err := goamqp.NewConn(soon(r.t), nc, o)
	if err != nil {
		_ = nc.Close()
		return nil, err
	}
	r.t.Cleanup(func() { _ = c.Close() })
	return c, nil
}

func (r *rig) goAMQP(o *goamqp.ConnOptions) *goamqp.Conn {
	r.t.Helper()
	c, err := r.tryGoAMQP(o)
	if err != nil {
		r.t.Fatalf("go-amqp's NewConn: %v", err)
	}
	return c
}

// session connects go-amqp's client and opens a session.
func (r *rig) session(o *goamqp.ConnOptions) *goamqp.Session {
	r.t.Helper()
	s, err := r.goAMQP(o).NewSession(soon(r.t), nil)
	if err != nil {
		r.t.Fatalf("go-amqp's NewSession: %v", err)
	}
	return s
}

func newSender(t *testing.T, s *goamqp.Session, target string, o *goamqp.SenderOptions) *goamqp.Sender {
	t.Helper()
	l, err := s.NewSender(soon(t), target, o)
	if err != nil {
		t.Fatalf("go-amqp's NewSender: %v", err)
	}
	return l
}

func newReceiver(t *testing.T, s *goamqp.Session, source string, o *goamqp.ReceiverOptions) *goamqp.Receiver {
	t.Helper()
	l, err := s.NewReceiver(soon(t), source, o)
	if err != nil {
		t.Fatalf("go-amqp's NewReceiver: %v", err)
	}
	return l
}

// echo answers each request with its own body.
func echo(c transport.Conn, m *transport.Message) {
	if m.ReplyTo != "" {
		_ = c.Send(context.Background(), &transport.Message{
			To: m.ReplyTo, ID: m.ID, CorrelationID: m.CorrelationID, ContentType: m.ContentType, Subject: m.Subject,
			Expires: m.Expires, Durable: m.Durable, Headers: m.Headers, Body: m.Body,
		})
	}
	_ = m.Settle(transport.Accepted)
}

// serveOne opens a connection in good order; the channel gets the server's end,
// from which nobody receives.
func serveOne(t *testing.T) (net.Conn, <-chan transport.Conn) {
	t.Helper()
	near, far := mem.Pipe()
	done := make(chan transport.Conn, 1)
	go func() {
		c, err := acceptor.Serve(t.Context(), far, nil)
		if err != nil {
			t.Errorf("Serve: %v", err)
		}
		done <- c
	}()
	p := &peer{t, near}
	p.say(hello())
	p.next()
	return near, done
}
