package port_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
	"github.com/polyport/polyport/transport/port"
)

// tcpPipe returns the two ends of a TCP connection on this machine.
func tcpPipe(tb testing.TB) (near, far net.Conn) {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer ln.Close()
	if near, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		tb.Fatal(err)
	}
	if far, err = ln.Accept(); err != nil {
		tb.Fatal(err)
	}
	return near, far
}

// sessions returns the two ends of a TLS session.
func sessions(tb testing.TB) (client, server *tls.Conn) {
	tb.Helper()
	a, b := mem.Pipe()
	client, server = tls.Client(a, clientTLS(tb, "somebody")), tls.Server(b, serverTLS(tb))
	shaken := make(chan error, 1)
	go func() { shaken <- server.Handshake() }()
	if err := client.Handshake(); err != nil {
		tb.Fatal(err)
	}
	if err := <-shaken; err != nil {
		tb.Fatal(err)
	}
	return client, server
}

// A replay is a net.Conn like any other, before and after its first bytes.
func TestReplayIsANetConn(t *testing.T) {
	for _, tt := range []struct {
		name  string
		pipe  func(testing.TB) (a, b net.Conn)
		first string
	}{
		{"TCP", tcpPipe, ""},
		{"TCP after the first bytes", tcpPipe, "first"},
		{"memory", func(testing.TB) (a, b net.Conn) { return mem.Pipe() }, "first"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				a, b := tt.pipe(t)
				c1, c2 = port.NewReplay(a, []byte(tt.first)), port.NewReplay(b, nil)
				if _, err := io.ReadFull(c1, make([]byte, len(tt.first))); err != nil {
					return nil, nil, nil, err
				}
				return c1, c2, func() { a.Close(); b.Close() }, nil
			})
		})
	}
}

func TestReplayLosesNothing(t *testing.T) {
	for size := 1; size < 12; size++ {
		a, b := mem.Pipe()
		r := port.NewReplay(a, []byte("the first bytes"))
		go func() { _, _ = io.WriteString(b, " and the others"); b.Close() }()
		var got []byte
		for {
			p := make([]byte, size)
			n, err := r.Read(p)
			got = append(got, p[:n]...)
			if err != nil {
				break
			}
			if n == 0 {
				t.Fatal("Read = 0 bytes without an error")
			}
		}
		if want := "the first bytes and the others"; string(got) != want {
			t.Errorf("read %d bytes at a time: %q, want %q", size, got, want)
		}
		r.Close()
	}
}

// Readers at the same time share the bytes: each is read once.
func TestReplayManyReaders(t *testing.T) {
	const n = 64
	a, b := mem.Pipe()
	defer b.Close()
	r := port.NewReplay(a, make([]byte, n))
	go func() { _, _ = b.Write(make([]byte, n)); b.(interface{ CloseWrite() error }).CloseWrite() }()
	var total atomic.Int64
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			for {
				got, err := r.Read(make([]byte, 3))
				total.Add(int64(got))
				if err != nil {
					return
				}
			}
		})
	}
	readers.Wait()
	if total.Load() != 2*n {
		t.Errorf("read %d bytes, want %d", total.Load(), 2*n)
	}
	r.Close()
}

func TestReplayReadOfNothing(t *testing.T) {
	a, b := mem.Pipe()
	defer b.Close()
	r := port.NewReplay(a, []byte("x"))
	defer r.Close()
	if n, err := r.Read(nil); n != 0 || err != nil {
		t.Errorf("Read(nil) = %d, %v; want 0 and nil at once", n, err)
	}
}

// A writer finds the socket below a plain stream and not below TLS, and a plain
// stream does not look encrypted.
func TestReplayAbilities(t *testing.T) {
	near, far := tcpPipe(t)
	defer near.Close()
	defer far.Close()
	r := port.NewReplay(near, []byte("x"))
	s, ok := r.(syscall.Conn)
	if !ok {
		t.Fatal("a plain stream has no SyscallConn")
	}
	if _, err := s.SyscallConn(); err != nil {
		t.Errorf("SyscallConn = %v, want nil", err)
	}
	if state := transport.TLSState(r); state != nil {
		t.Errorf("TLSState of a plain stream = %+v, want nil", state)
	}
	client, server := sessions(t)
	r = port.NewReplay(server, []byte("x"))
	if _, ok := r.(syscall.Conn); ok {
		t.Error("a stream with TLS shows the socket below: what is written there is not encrypted")
	}
	if state := transport.TLSState(r); state == nil || !state.HandshakeComplete {
		t.Errorf("TLSState = %+v, want that of the session", state)
	}
	go func() { _ = r.(interface{ CloseWrite() error }).CloseWrite() }()
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("Read after CloseWrite = %v, want EOF", err)
	}
	transport.CloseNow(r)
	transport.CloseNow(client)
}
