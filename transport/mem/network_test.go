package mem_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"

	"github.com/polyport/polyport/transport/mem"
)

const backlog = 128

func listen(t *testing.T, n *mem.Network, name string) net.Listener {
	t.Helper()
	l, err := n.Listen(name)
	if err != nil {
		t.Fatalf("Listen(%q) = %v, want nil", name, err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestNetworkConn(t *testing.T) {
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		n := &mem.Network{Buffer: 4096}
		l, err := n.Listen("")
		if err != nil {
			return nil, nil, nil, err
		}
		a, err := n.Dial(t.Context(), l.Addr().String())
		if err != nil {
			return nil, nil, nil, err
		}
		b, err := l.Accept()
		return a, b, func() { a.Close(); b.Close(); l.Close() }, err
	})
}

func TestListenNames(t *testing.T) {
	var n mem.Network
	listen(t, &n, "calc:1")
	tests := []struct {
		name, want string // want may end in *, for any number
	}{
		{"rpc", "rpc"},
		{"calc:7", "calc:7"},
		{"", "mem:*"},
		{"", "mem:*"},
		{":0", "mem:*"},
		{"calc:0", "calc:*"},
		{"calc:0", "calc:*"},
		{"a:10", "a:10"},
		{"Ω b/c", "Ω b/c"},
	}
	seen := map[string]bool{"calc:1": true}
	for _, test := range tests {
		l := listen(t, &n, test.name)
		got := l.Addr().String()
		prefix, open := strings.CutSuffix(test.want, "*")
		if open && (!strings.HasPrefix(got, prefix) || strings.HasSuffix(got, ":0")) || !open && got != test.want {
			t.Errorf("Listen(%q): Addr() = %q, want %q", test.name, got, test.want)
		}
		if seen[got] {
			t.Errorf("Listen(%q): Addr() = %q, which was taken", test.name, got)
		}
		seen[got] = true
		if got := l.Addr().Network(); got != "mem" {
			t.Errorf("Addr().Network() = %q, want %q", got, "mem")
		}
	}
}

func TestListenTaken(t *testing.T) {
	var n mem.Network
	first := listen(t, &n, "rpc")
	if _, err := n.Listen("rpc"); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("second Listen(%q): err = %v, want %v", "rpc", err, syscall.EADDRINUSE)
	}
	first.Close()
	second := listen(t, &n, "rpc")
	first.Close() // must not free the name of the second
	if _, err := n.Dial(t.Context(), "rpc"); err != nil {
		t.Errorf("Dial(%q) = %v, want nil", "rpc", err)
	}
	second.Close()
}

func TestDialAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n mem.Network
		l := listen(t, &n, "rpc")
		var dials sync.WaitGroup
		for range 10 {
			dials.Go(func() {
				c, err := n.Dial(t.Context(), "rpc")
				if err != nil {
					t.Errorf("Dial() = %v, want nil", err)
					return
				}
				defer c.Close()
				if got := c.RemoteAddr().String(); got != "rpc" {
					t.Errorf("RemoteAddr() = %q, want %q", got, "rpc")
				}
				name := c.LocalAddr().String()
				io.WriteString(c, name)
				if got := readN(t, c, len(name)); got != name {
					t.Errorf("echo = %q, want %q", got, name)
				}
			})
		}
		callers := map[string]bool{}
		for range 10 {
			c, err := l.Accept()
			if err != nil {
				t.Fatalf("Accept() = %v, want nil", err)
			}
			callers[c.RemoteAddr().String()] = true
			dials.Go(func() {
				defer c.Close()
				io.Copy(c, c)
			})
		}
		dials.Wait()
		if len(callers) != 10 {
			t.Errorf("10 dialers have %d addresses, want 10: %v", len(callers), callers)
		}
	})
}

func TestDialFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n mem.Network
		listen(t, &n, "up")
		listen(t, &n, "down").Close()
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		tests := []struct {
			what, name string
			ctx        context.Context
			want       error
		}{
			{"nobody", "no one", t.Context(), syscall.ECONNREFUSED},
			{"empty name", "", t.Context(), syscall.ECONNREFUSED},
			{"closed", "down", t.Context(), syscall.ECONNREFUSED},
			{"cancelled", "up", cancelled, context.Canceled},
		}
		for _, test := range tests {
			c, err := n.Dial(test.ctx, test.name)
			if c != nil || !errors.Is(err, test.want) {
				t.Errorf("%s: Dial(%q) = %v, %v, want nil, %v", test.what, test.name, c, err, test.want)
			}
			oe, ok := errors.AsType[*net.OpError](err)
			if !ok || oe.Op != "dial" || oe.Net != "mem" || oe.Addr.String() != test.name {
				t.Errorf("%s: err = %#v, want an OpError of the dial", test.what, err)
			}
		}
	})
}

// fill puts as many connections in the backlog as it takes.
func fill(t *testing.T, n *mem.Network, name string) []net.Conn {
	t.Helper()
	conns := make([]net.Conn, backlog)
	for i := range conns {
		c, err := n.Dial(t.Context(), name)
		if err != nil {
			t.Fatalf("Dial %d = %v, want nil", i, err)
		}
		conns[i] = c
	}
	return conns
}

func TestBacklogFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n mem.Network
		l := listen(t, &n, "rpc")
		fill(t, &n, "rpc")

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		_, err := n.Dial(ctx, "rpc")
		if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Dial with a full backlog: err = %v, want a timeout", err)
		}
		if d := time.Since(start); d != time.Minute {
			t.Errorf("Dial with a full backlog took %v, want 1m", d)
		}

		dialed := make(chan error)
		go func() {
			_, err := n.Dial(t.Context(), "rpc")
			dialed <- err
		}()
		synctest.Wait()
		if _, err := l.Accept(); err != nil {
			t.Errorf("Accept() = %v, want nil", err)
		}
		if err := <-dialed; err != nil {
			t.Errorf("Dial once there was room = %v, want nil", err)
		}
	})
}

func TestListenerClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n mem.Network
		l := listen(t, &n, "rpc")
		accepts := make(chan error, 3)
		for range cap(accepts) {
			go func() {
				_, err := l.Accept()
				accepts <- err
			}()
		}
		synctest.Wait()
		if err := l.Close(); err != nil {
			t.Errorf("Close() = %v, want nil", err)
		}
		for range cap(accepts) {
			if err := <-accepts; !errors.Is(err, net.ErrClosed) {
				t.Errorf("Accept: err = %v, want %v", err, net.ErrClosed)
			}
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept after Close: err = %v, want %v", err, net.ErrClosed)
		}
		if err := l.Close(); err != nil {
			t.Errorf("second Close() = %v, want nil", err)
		}
	})
}

// Close resets what nobody accepted, refuses who waits, and spares the rest.
func TestListenerCloseCuts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n mem.Network
		l := listen(t, &n, "rpc")
		near, err := n.Dial(t.Context(), "rpc")
		if err != nil {
			t.Fatal(err)
		}
		far, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		queued := fill(t, &n, "rpc")
		refused := make(chan error, 5)
		for range cap(refused) {
			go func() {
				_, err := n.Dial(t.Context(), "rpc")
				refused <- err
			}()
		}
		synctest.Wait()
		l.Close()
		for range cap(refused) {
			if err := <-refused; !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("Dial that waited: err = %v, want %v", err, syscall.ECONNREFUSED)
			}
		}
		for i, c := range queued {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("connection %d of the backlog: Read: err = %v, want %v", i, err, syscall.ECONNRESET)
			}
		}
		io.WriteString(far, "still here")
		if got := readN(t, near, 10); got != "still here" {
			t.Errorf("accepted connection: Read() = %q, want %q", got, "still here")
		}
	})
}

// However Dial, Accept and Close meet, no dialer is left waiting.
func TestListenerRace(t *testing.T) {
	for range 2000 {
		var n mem.Network
		l := listen(t, &n, "rpc")
		var all sync.WaitGroup
		start := make(chan struct{})
		for range 4 {
			all.Go(func() {
				<-start
				c, err := n.Dial(t.Context(), "rpc")
				if err != nil {
					if !errors.Is(err, syscall.ECONNREFUSED) {
						t.Errorf("Dial: err = %v, want %v", err, syscall.ECONNREFUSED)
					}
					return
				}
				defer c.Close()
				c.SetReadDeadline(time.Now().Add(10 * time.Second))
				if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error("a dialed connection was neither accepted nor cut")
				}
			})
		}
		all.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				c.Close()
			}
		})
		all.Go(func() {
			<-start
			l.Close()
		})
		close(start)
		all.Wait()
	}
}
