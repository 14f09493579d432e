package transport_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

const handshakeTimeout = 10 * time.Second

// A port is a Listener on a network of its own.
type port struct {
	*transport.Listener
	network mem.Network
}

func openPort(t *testing.T, o *transport.ListenOptions) *port {
	t.Helper()
	p := new(port)
	ln, err := p.network.Listen("port")
	if err != nil {
		t.Fatal(err)
	}
	p.Listener = transport.NewListener(ln, lineWire{}, o)
	t.Cleanup(func() { p.Close() })
	return p
}

// dial returns the byte stream to the port, over which nothing was said yet.
func (p *port) dial(t *testing.T) net.Conn {
	t.Helper()
	nc, err := p.network.Dial(t.Context(), "port")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}

// accept expects a connection.
func (p *port) accept(t *testing.T) transport.Conn {
	t.Helper()
	c, err := p.Accept(contextFor(t, time.Hour))
	if err != nil {
		t.Fatalf("Accept = %v, want a connection", err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// checkAcceptErr expects Accept to fail.
func checkAcceptErr(ctx context.Context, t *testing.T, l *transport.Listener, want error) error {
	t.Helper()
	c, err := l.Accept(ctx)
	if c != nil || !errors.Is(err, want) {
		t.Errorf("Accept = %v, %v, want %v", c, err, want)
	}
	return err
}

// checkCut expects the peer to have ended the connection.
func checkCut(t *testing.T, nc net.Conn) {
	t.Helper()
	if n, err := nc.Read(make([]byte, 1)); err == nil {
		t.Errorf("Read = %d bytes, want the end of the connection", n)
	}
}

func TestListenerSilentPeersHoldUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPort(t, nil)
		for range 100 {
			p.dial(t)
		}
		start := time.Now()
		nc := p.dial(t)
		say(t, nc, "hello me\n")
		if got := p.accept(t).Info().User; got != "me" {
			t.Errorf("Accept returned the connection of %q, want me", got)
		}
		checkTook(t, "Accept beside 100 silent peers", start, 0)
		if got := readN(t, nc, 8); got != "welcome\n" {
			t.Errorf("the peer got %q, want welcome", got)
		}
	})
}

func TestListenerHandshakeDeadlineIsAbsolute(t *testing.T) {
	for _, hello := range []string{"", "x"} { // each second
		synctest.Test(t, func(t *testing.T) {
			p := openPort(t, &transport.ListenOptions{HandshakeTimeout: handshakeTimeout})
			nc := p.dial(t)
			start := time.Now()
			background(t, func() {
				for range 20 {
					_, _ = io.WriteString(nc, hello)
					time.Sleep(time.Second)
				}
			})
			checkCut(t, nc)
			checkTook(t, "cutting a peer that does not finish", start, handshakeTimeout)
		})
	}
}

// The deadline is that of the handshake, not of the connection.
func TestListenerConnOutlivesHandshakeDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPort(t, &transport.ListenOptions{HandshakeTimeout: handshakeTimeout})
		nc := p.dial(t)
		say(t, nc, "hello me\n")
		c := p.accept(t)
		background(t, func() {
			time.Sleep(time.Hour)
			say(t, nc, "late\n")
		})
		checkRecv(t, c, "late")
		if err := c.Send(t.Context(), line("answer")); err != nil {
			t.Errorf("Send = %v, want nil", err)
		}
		if got, want := readN(t, nc, 15), "welcome\nanswer\n"; got != want {
			t.Errorf("the peer got %q, want %q", got, want)
		}
	})
}

// mumble is a wire whose server talks before it listens.
type mumble struct{ lineWire }

func (w mumble) Server(ctx context.Context, nc net.Conn, o *transport.ListenOptions) (transport.Conn, error) {
	c := newLineConn(nc, &o.Options)
	_ = c.Send(ctx, line(strings.Repeat("x", 1000)))
	time.Sleep(time.Second)
	return c, nil
}

// The end of the handshake must not free a write under way from the stall
// detector.
func TestListenerWriteStallsInHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := mem.Network{Buffer: 100}
		ln, err := network.Listen("port")
		if err != nil {
			t.Fatal(err)
		}
		o := &transport.ListenOptions{}
		o.Heartbeat, o.WriteStall = -1, stall
		l := transport.NewListener(ln, mumble{}, o)
		defer l.Close()
		nc, err := network.Dial(t.Context(), "port")
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		start := time.Now()
		c, err := l.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, err = c.Recv(contextFor(t, time.Hour))
		checkErr(t, "Recv", err, transport.ErrStalled, true)
		checkTook(t, "finding the stall", start, stall+time.Millisecond)
	})
}

// dreamer is a wire whose server does not notice that its time is up.
type dreamer struct{ lineWire }

func (w dreamer) Server(_ context.Context, nc net.Conn, o *transport.ListenOptions) (transport.Conn, error) {
	time.Sleep(2 * o.HandshakeTimeout)
	return newLineConn(nc, &o.Options), nil
}

func TestListenerHandshakeThatSucceedsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := listenRaw(t, "dreamer")
		l := transport.NewListener(ln, dreamer{}, &transport.ListenOptions{HandshakeTimeout: handshakeTimeout})
		defer l.Close()
		nc, err := pipes.Dial(t.Context(), "dreamer")
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		checkAcceptErr(contextFor(t, time.Hour), t, l, context.DeadlineExceeded)
		checkCut(t, nc)
	})
}

func TestListenerHandshakeSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPort(t, &transport.ListenOptions{HandshakeTimeout: handshakeTimeout, Handshakes: 2})
		p.dial(t)
		time.Sleep(time.Second)
		p.dial(t)
		nc := p.dial(t)
		say(t, nc, "hello me\n")
		start := time.Now()
		p.accept(t)
		checkTook(t, "Accept while two silent peers have the slots", start, handshakeTimeout-time.Second)
	})
}

func TestListenerConnectionLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPort(t, &transport.ListenOptions{Connections: 2})
		var open []transport.Conn
		for range 2 {
			nc := p.dial(t)
			say(t, nc, "hello me\n")
			open = append(open, p.accept(t))
		}
		start := time.Now()
		checkCut(t, p.dial(t))
		checkTook(t, "refusing a connection over the limit", start, 0)
		for range 3 { // closing twice must not give back two slots
			open[0].Close()
		}
		say(t, p.dial(t), "hello me\n")
		p.accept(t)
		checkCut(t, p.dial(t))
	})
}

// Peers that fail in the handshake give their slots back.
func TestListenerFailedHandshakesFreeTheirSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPort(t, &transport.ListenOptions{Connections: 1, Handshakes: 1})
		for range 10 {
			nc := p.dial(t)
			say(t, nc, "GET / HTTP/1.1\n")
			checkCut(t, nc)
		}
		say(t, p.dial(t), "hello me\n")
		p.accept(t)
	})
}

func TestListenerLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		o := &transport.ListenOptions{Connections: 1}
		o.Logger = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
		p := openPort(t, o)
		nc := p.dial(t)
		say(t, nc, "GET /\n")
		checkCut(t, nc)
		synctest.Wait() // the log is written behind the cut
		nc = p.dial(t)
		checkCut(t, nc) // says nothing
		synctest.Wait()
		nc = p.dial(t)
		say(t, nc, "hello me\n")
		p.accept(t)
		checkCut(t, p.dial(t))
		synctest.Wait()
		want := []string{
			`level=INFO msg="handshake failed" remote=dialer:1 err="transport: protocol error: no hello"`,
			`level=INFO msg="handshake failed" remote=dialer:2 err="context deadline exceeded: no answer in time; is this the right port and protocol?"`,
			`level=WARN msg="connection refused: too many are open" remote=dialer:4 limit=1`,
		}
		if diff := cmp.Diff(want, strings.Split(strings.TrimSpace(out.String()), "\n")); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}

func TestListenerAcceptContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPort(t, nil)
		checkAcceptErr(ended(t), t, p.Listener, context.Canceled)
		mine := errors.New("mine")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, mine)
		defer cancel()
		start := time.Now()
		checkAcceptErr(ctx, t, p.Listener, mine)
		checkTook(t, "Accept", start, time.Second)
		say(t, p.dial(t), "hello me\n")
		p.accept(t)
	})
}

func TestListenerClose(t *testing.T) {
	tests := []struct {
		name string
		peer func(*testing.T, *port) net.Conn // whom Close cuts; may be nil
	}{
		{"idle", func(*testing.T, *port) net.Conn { return nil }},
		{"in a handshake", func(t *testing.T, p *port) net.Conn {
			t.Helper()
			return p.dial(t)
		}},
		{"with a connection that nobody accepted", func(t *testing.T, p *port) net.Conn {
			t.Helper()
			nc := p.dial(t)
			say(t, nc, "hello me\n")
			readN(t, nc, 8)
			background(t, func() { _, _ = io.Copy(io.Discard, nc) })
			return nil
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := openPort(t, nil)
				nc := tt.peer(t, p)
				synctest.Wait()
				if err := p.Close(); err != nil {
					t.Errorf("Close = %v, want nil", err)
				}
				if nc != nil {
					checkCut(t, nc)
				}
				err := checkAcceptErr(t.Context(), t, p.Listener, transport.ErrClosed)
				if want := "accept port: transport: closed"; err == nil || err.Error() != want {
					t.Errorf("Accept = %v, want %v", err, want)
				}
				if err := p.Close(); err != nil {
					t.Errorf("second Close = %v, want nil", err)
				}
				if _, err := p.network.Dial(t.Context(), "port"); !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("dialing a closed listener = %v, want %v", err, syscall.ECONNREFUSED)
				}
			})
		})
	}
}

func TestListenerCloseLeavesConnectionsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPort(t, nil)
		nc := p.dial(t)
		say(t, nc, "hello me\n")
		c := p.accept(t)
		var accepting sync.WaitGroup
		accepting.Go(func() { checkAcceptErr(context.Background(), t, p.Listener, transport.ErrClosed) })
		synctest.Wait()
		p.Close()
		accepting.Wait()
		say(t, nc, "still here\n")
		checkRecv(t, c, "still here")
	})
}

// failing is a net.Listener whose Accepts fail, and then wait for Close.
type failing struct {
	errs  []error
	start time.Time
	at    []time.Duration // of the Accepts since start; belongs to the Listener
	over  chan struct{}
	once  sync.Once
}

func (l *failing) Accept() (net.Conn, error) {
	l.at = append(l.at, time.Since(l.start))
	n := len(l.at)
	if n <= len(l.errs) && l.errs[n-1] != nil {
		return nil, l.errs[n-1]
	}
	if n <= len(l.errs) {
		a, b := mem.Pipe()
		b.Close()
		return a, nil
	}
	<-l.over
	return nil, net.ErrClosed
}

func (l *failing) Close() error {
	l.once.Do(func() { close(l.over) })
	return nil
}

func (l *failing) Addr() net.Addr { return &net.TCPAddr{} }

func TestListenerRestsAfterErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		emfile := &net.OpError{Op: "accept", Err: syscall.EMFILE}
		ln := &failing{over: make(chan struct{}), start: time.Now()}
		for range 10 {
			ln.errs = append(ln.errs, emfile)
		}
		ln.errs = append(ln.errs, nil, emfile, emfile)
		l := transport.NewListener(ln, lineWire{}, nil)
		time.Sleep(time.Minute)
		if err := l.Close(); err != nil {
			t.Errorf("Close = %v, want nil", err)
		}
		const ms = time.Millisecond
		want := []time.Duration{0, 5 * ms, 15 * ms, 35 * ms, 75 * ms, 155 * ms, 315 * ms, 635 * ms, 1275 * ms, 2275 * ms, 3275 * ms}
		want = append(want, 3275*ms, 3280*ms, 3290*ms) // a success makes the next rest short
		if diff := cmp.Diff(want, ln.at); diff != "" {
			t.Errorf("Accepts at (-want +got):\n%s", diff)
		}
	})
}

func TestListenerCloseWhileResting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := &failing{over: make(chan struct{}), start: time.Now()}
		for range 100 {
			ln.errs = append(ln.errs, syscall.EMFILE)
		}
		l := transport.NewListener(ln, lineWire{}, nil)
		time.Sleep(5500 * time.Millisecond)
		start := time.Now()
		l.Close()
		checkTook(t, "Close", start, 0)
	})
}

func TestListenerCloseOfClosedNetListener(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := transport.NewListener(ln, lineWire{}, nil)
	ln.Close()
	if err := l.Close(); err != nil {
		t.Errorf("Close = %v, want nil", err)
	}
}

// Whoever closes the net.Listener ends the Listener, and Accept says so.
func TestListenerEndsWithNetListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := &failing{over: make(chan struct{}), start: time.Now()}
		l := transport.NewListener(ln, lineWire{}, nil)
		ln.Close()
		checkAcceptErr(t.Context(), t, l, transport.ErrClosed)
		l.Close()
	})
}
