package transport_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/transport"
)

// byteConn is a wire on which each byte is a message.
type byteConn struct {
	transport.Conn // none
	stream         *transport.Stream
}

func (c *byteConn) Recv(ctx context.Context) (*transport.Message, error) {
	return c.stream.Receive(ctx, func() (*transport.Message, error) {
		for len(c.stream.Reader.Buffered()) == 0 {
			if err := c.stream.Reader.Fill(); err != nil {
				return nil, err
			}
		}
		m := &transport.Message{Body: []byte{c.stream.Reader.Buffered()[0]}}
		c.stream.Reader.Discard(1)
		return m, nil
	})
}

func (c *byteConn) Send(ctx context.Context, m *transport.Message) error {
	if len(m.Body) != 1 {
		return &transport.OpError{Op: "send", Err: transport.ErrTooLarge}
	}
	return c.stream.Write(ctx, "send", 1, func(dst []byte) []byte { return append(dst, m.Body...) })
}

func (c *byteConn) Close() error { return c.stream.Close(nil) }

// TestPatientAnswerer: questions that come together come out one by one, each when
// the last is answered; what is no answer is not sent.
func TestPatientAnswerer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer func() { _ = there.Close() }()
		s := transport.NewStream(here, "test", &(*transport.DialOptions)(nil).WithDefaults().Options, 100)
		c := transport.NewPatientAnswerer(&byteConn{stream: s}, s)
		send := func(body string) error { return c.Send(t.Context(), &transport.Message{Body: []byte(body)}) }
		if err := send("x"); !errors.Is(err, transport.ErrUnsupported) || !transport.NotSent(err) {
			t.Errorf("Send before a question = %v, want ErrUnsupported", err)
		}
		go func() { _, _ = there.Write([]byte("abc")) }()
		for _, want := range []string{"a", "b", "c"} {
			m, err := c.Recv(t.Context())
			if err != nil || string(m.Body) != want {
				t.Fatalf("Recv = %v, %v, want %s", m, err, want)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if m, err := c.Recv(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("Recv before the answer = %v, %v, want ctx's error", m, err)
			}
			cancel()
			if err := send("too large"); !errors.Is(err, transport.ErrTooLarge) {
				t.Errorf("Send = %v, want ErrTooLarge", err)
			}
			answered := make(chan error, 1)
			go func() { answered <- send(want) }()
			got := make([]byte, 1)
			if _, err := there.Read(got); err != nil || string(got) != want {
				t.Errorf("the answer is %q, %v, want %q", got, err, want)
			}
			if err := <-answered; err != nil {
				t.Errorf("Send = %v", err)
			}
			if err := send("x"); !errors.Is(err, transport.ErrUnsupported) {
				t.Errorf("a second answer = %v, want ErrUnsupported", err)
			}
		}
		go func() { _, _ = there.Write([]byte("de")) }()
		if _, err := c.Recv(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Minute, func() { _ = c.Close() })
		if _, err := c.Recv(t.Context()); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("Recv while a question waits for its turn = %v, want ErrClosed", err)
		}
	})
}
