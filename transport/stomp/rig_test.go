package stomp_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
	"github.com/polyport/polyport/transport/stomp"
)

// A rig is a listening server under test, and an application behind it that
// notes what it receives and then does what the test wants.
type rig struct {
	t       *testing.T
	network mem.Network
	l       *transport.Listener
	app     func(transport.Conn, *transport.Message)
	wg      sync.WaitGroup

	mu    sync.Mutex // protects the fields below
	conns []*session
}

// A session is one connection as the application sees it.
type session struct {
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
	r.l = transport.NewListener(ln, stomp.Transport{}, o)
	r.wg.Go(r.accept)
	r.t.Cleanup(func() {
		_ = r.l.Close()
		for _, s := range r.sessions() {
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
		s := &session{Conn: c, over: make(chan struct{})}
		r.mu.Lock()
		r.conns = append(r.conns, s)
		r.mu.Unlock()
		r.wg.Go(func() { r.receive(s) })
	}
}

func (r *rig) receive(s *session) {
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

// sessions returns those that were accepted so far.
func (r *rig) sessions() []*session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*session(nil), r.conns...)
}

// session returns the last one accepted. It needs a bubble.
func (r *rig) session() *session {
	r.t.Helper()
	synctest.Wait()
	all := r.sessions()
	if len(all) == 0 {
		r.t.Fatal("no connection was accepted")
	}
	return all[len(all)-1]
}

// received returns the messages that the application got since the last call.
func (s *session) received() []*transport.Message {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.got
	s.got = nil
	return got
}

// ended returns why Recv ended, or nil if it has not.
func (s *session) ended() error {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// dial opens a connection on which nothing was said.
func (r *rig) dial() *peer {
	r.t.Helper()
	nc, err := r.network.Dial(context.Background(), "server")
	if err != nil {
		r.t.Fatal(err)
	}
	return newPeer(r.t, nc)
}

// connect opens a session of a version, with further header lines in the
// CONNECT frame, and returns the raw end of it.
func (r *rig) connect(version string, lines ...string) *peer {
	r.t.Helper()
	p := r.dial()
	if got := p.say(connectFrame(version, lines...)); !strings.HasPrefix(got, "CONNECTED\nversion:"+version+"\n") {
		r.t.Fatalf("CONNECT %s: got\n%s", version, printable(got))
	}
	return p
}

// connectFrame is a CONNECT frame as a client of that version alone sends it.
func connectFrame(version string, lines ...string) string {
	var b strings.Builder
	b.WriteString("CONNECT\n")
	if version != "1.0" {
		fmt.Fprintf(&b, "accept-version:%s\nhost:localhost\n", version)
	}
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	return b.String() + "\n^@\n"
}

// subscribeFrame subscribes destination by the id of the same name.
func subscribeFrame(destination string, lines ...string) string {
	return fmt.Sprintf("SUBSCRIBE\nid:%s\ndestination:%[1]s\n%s\n^@\n", destination, strings.Join(append(lines, ""), "\n"))
}

// echo answers each request with its own body.
func echo(c transport.Conn, m *transport.Message) {
	_ = m.Settle(transport.Accepted)
	if m.ReplyTo != "" {
		_ = c.Send(context.Background(), &transport.Message{
			To: m.ReplyTo, CorrelationID: m.CorrelationID, ContentType: m.ContentType, Body: m.Body,
		})
	}
}

// versions are all of them.
var versions = []string{"1.0", "1.1", "1.2"}

// bubble runs f for each version, as a subtest in a bubble of virtual time.
func bubble(t *testing.T, f func(t *testing.T, version string)) {
	for _, v := range versions {
		t.Run(v, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, v) })
		})
	}
}

// pipe returns an in-memory connection.
func pipe(t *testing.T) (near, far net.Conn) {
	t.Helper()
	near, far = mem.Pipe()
	t.Cleanup(func() {
		_ = near.Close()
		_ = far.Close()
	})
	return near, far
}

// serve shakes hands as a server on nc.
func serve(t *testing.T, nc net.Conn) (transport.Conn, error) {
	return stomp.Transport{}.Server(t.Context(), nc, nil)
}
