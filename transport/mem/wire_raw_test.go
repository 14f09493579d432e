package mem_test

import (
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

// frame spells a frame without a body.
func frame(kind byte, head ...string) []byte {
	return mem.AppendFrame(nil, kind, strings.Join(head, ""), "")
}

// refusal reads frames until the end and returns the text of a refuse frame.
func refusal(t *testing.T, b []byte) string {
	t.Helper()
	frames, err := read(b, whole, false)
	if !errors.Is(err, io.EOF) {
		t.Fatalf("what the peer said is no row of frames: %v", err)
	}
	for i, f := range frames {
		if f.Kind == 3 {
			if i < len(frames)-1 {
				t.Errorf("something follows the refuse frame: %v", frames[i+1:])
			}
			return f.Head // with the text's length, which does no harm
		}
	}
	return ""
}

// TestServerRefuses: a client that breaks the rules is told why.
func TestServerRefuses(t *testing.T) {
	hello := mem.AppendHello(nil, 1)
	message := func(flags uint64, rest string) []byte { return frame(4, mem.Number(flags), rest) }
	for _, c := range []struct {
		name string
		said [][]byte // after the hello, if it is not the first
		want string
	}{
		{"no hello", [][]byte{frame(10), frame(4, "\x00")}, "expected a hello frame, got a message frame"},
		{"no magic", [][]byte{frame(1, mem.Text("something"))}, `without the words "polyport/mem"`},
		{"half a hello", [][]byte{frame(1, mem.Text("polyport/mem"))}, "hello frame makes no sense"},
		{"future version", [][]byte{mem.AppendHello(nil, 0)}, "no common version"},
		{"long hello", [][]byte{frame(1, mem.Text("polyport/mem"), strings.Repeat("x", 5000))}, "the limit is 4096"},
		{"hello again", [][]byte{hello, hello}, "unexpected hello frame from a client"},
		{"welcome", [][]byte{hello, mem.AppendWelcome(nil, 1, "rpc")}, "unexpected welcome frame from a client"},
		{"unknown destination", [][]byte{hello, message(1<<4, mem.Text("nowhere"))}, `no destination "nowhere" here`},
		{"broken message", [][]byte{hello, message(1<<4, "\x05x")}, "message frame makes no sense"},
		{"broken subscribe", [][]byte{hello, frame(5, "\x05")}, "subscribe frame makes no sense"},
		{"subscribe without id", [][]byte{hello, frame(5, mem.Text(""), mem.Text("d"), "\x00\x00\x00")}, "needs an id"},
		{"unknown ack mode", [][]byte{hello, frame(5, mem.Text("s"), mem.Text("d"), "\x03\x00\x00")}, "makes no sense"},
		{"many headers", [][]byte{hello, frame(5, mem.Text("s"), mem.Text("d"), "\x00\x00", mem.Number(1000))}, "1000 headers, the limit is 128"},
		{"subscribe twice", [][]byte{hello, frame(5, mem.Text("s"), mem.Text("d"), "\x00\x00\x00"), frame(5, mem.Text("s"), mem.Text("e"), "\x00\x00\x00")}, `"s" is in use`},
		{"unknown unsubscribe", [][]byte{hello, frame(6, mem.Text("s"))}, `unknown id "s"`},
		{"broken unsubscribe", [][]byte{hello, frame(6)}, "makes no sense"},
		{"settle of nothing", [][]byte{hello, frame(7, mem.Number(1), mem.Number(0), mem.Text(""))}, "message 1, which was not sent"},
		{"unknown outcome", [][]byte{hello, frame(7, mem.Number(0), mem.Number(4), mem.Text(""))}, "makes no sense"},
		{"broken grant", [][]byte{hello, frame(8, mem.Text("s"))}, "makes no sense"},
		{"huge grant", [][]byte{hello, frame(8, mem.Text("s"), mem.Number(1<<40))}, "makes no sense"},
		{"confirm of nothing", [][]byte{hello, frame(9, mem.Number(1))}, "confirm of messages that were not sent"},
		{"confirm of none", [][]byte{hello, frame(9, mem.Number(0))}, "confirm of messages that were not sent"},
		{"broken confirm", [][]byte{hello, frame(9)}, "makes no sense"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := mem.Pipe()
				over := make(chan error, 1)
				go func() {
					server, err := mem.Transport{}.Server(t.Context(), far, nil)
					if err == nil {
						_, err = server.Recv(t.Context())
						_ = server.Close()
					}
					over <- err
				}()
				for _, b := range c.said {
					_, _ = near.Write(b)
				}
				said, _ := io.ReadAll(near)
				_ = near.Close()
				if got := refusal(t, said); !strings.Contains(got, c.want) {
					t.Errorf("the client was told %q, want %q in it", got, c.want)
				}
				if err := <-over; !strings.Contains(err.Error(), c.want) || errors.Is(err, transport.ErrClosed) {
					t.Errorf("the server: err = %v, want %q in it", err, c.want)
				}
			})
		})
	}
}

// TestClientRefuses: a server that breaks the rules is told why, if it can be.
func TestClientRefuses(t *testing.T) {
	welcome := mem.AppendWelcome(nil, 1, "rpc")
	for _, c := range []struct {
		name string
		said [][]byte
		kind error
		want string
	}{
		{"refused", [][]byte{frame(3, mem.Text("go away"))}, transport.ErrRefused, "go away"},
		{"refused later", [][]byte{welcome, frame(3, mem.Text("go away"))}, transport.ErrRefused, "go away"},
		{"no welcome", [][]byte{frame(4, "\x00")}, transport.ErrProtocol, "expected a welcome frame, got a message frame"},
		{"half a welcome", [][]byte{frame(2, "\x01")}, transport.ErrProtocol, "makes no sense"},
		{"other version", [][]byte{mem.AppendWelcome(nil, 2, "rpc")}, transport.ErrProtocol, "version 2"},
		{"hello", [][]byte{welcome, mem.AppendHello(nil, 1)}, transport.ErrProtocol, "unexpected hello frame from a server"},
		{"subscribe", [][]byte{welcome, frame(5, mem.Text("s"), mem.Text("d"), "\x00\x00\x00")}, transport.ErrProtocol, "unexpected subscribe"},
		{"broken message", [][]byte{welcome, frame(4)}, transport.ErrProtocol, "makes no sense"},
		{"confirm", [][]byte{welcome, frame(9, mem.Number(1))}, transport.ErrProtocol, "confirm of messages"},
		{"goodbye", [][]byte{welcome, frame(11)}, transport.ErrClosed, "the peer said goodbye"},
		{"end", [][]byte{welcome}, transport.ErrClosed, "the peer closed the connection"},
		{"end at once", nil, io.EOF, "EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := mem.Pipe()
				for _, b := range c.said {
					_, _ = near.Write(b)
				}
				_ = near.(interface{ CloseWrite() error }).CloseWrite()
				go func() { _, _ = io.Copy(io.Discard, near) }()
				client, err := mem.Transport{}.Client(t.Context(), far, &url.URL{Host: "x"}, nil)
				if err == nil {
					_, err = client.Recv(t.Context())
					_ = client.Close()
				}
				if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("the client: err = %v, want %v that says %q", err, c.kind, c.want)
				}
			})
		})
	}
}

// TestHarmless: frames that have crossed others on the way mean nothing.
func TestHarmless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := mem.Pipe()
		defer near.Close()
		for _, b := range [][]byte{
			mem.AppendHello(nil, 7), // a newer client that can do with this version
			frame(8, mem.Text("gone"), mem.Number(5)),
			frame(7, mem.Number(0), mem.Number(0), mem.Text("")),
			frame(10),
			frame(4, mem.Number(1<<4), mem.Text("rpc")),
		} {
			_, _ = near.Write(b)
		}
		server, err := mem.Transport{}.Server(t.Context(), far, nil)
		if err != nil {
			t.Fatalf("Server: %v", err)
		}
		if m, err := server.Recv(t.Context()); err != nil || m.To != "rpc" {
			t.Errorf("Recv = %+v, %v, want the message", m, err)
		}
		go func() { _, _ = io.Copy(io.Discard, near); _ = near.Close() }()
		if err := server.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

// TestAnswersUnread: a peer that asks for confirmations without end and reads
// none is given up.
func TestAnswersUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := mem.PipeSize(1 << 10)
		defer near.Close()
		go func() {
			_, _ = near.Write(mem.AppendHello(nil, 1))
			ask := frame(4, mem.Number(1|1<<4), mem.Text("rpc"))
			for {
				if _, err := near.Write(ask); err != nil {
					return
				}
			}
		}()
		server, err := mem.Transport{}.Server(t.Context(), far, &transport.ListenOptions{Options: transport.Options{
			SendBuffer: 4 << 10, WriteStall: time.Hour, Heartbeat: -1,
		}})
		if err != nil {
			t.Fatalf("Server: %v", err)
		}
		n := 0
		for ; err == nil; n++ {
			_, err = server.Recv(t.Context())
		}
		if !errors.Is(err, transport.ErrStalled) {
			t.Errorf("Recv: err = %v, want ErrStalled", err)
		}
		if n < 100 || n > 5000 {
			t.Errorf("the peer was given up after %d unread confirmations, want about two send buffers of them", n)
		}
	})
}
