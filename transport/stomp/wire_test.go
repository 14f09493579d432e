package stomp_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/go-stomp/stomp/v3/frame"
)

// The tests write frames as the specification prints them: ^@ stands for the
// NUL byte, and a line feed at the start of the text is not part of it. In
// expected bytes an ellipsis stands for anything within a line, and ^D at the
// end for the end of the stream.

// wire returns the bytes that text stands for.
func wire(text string) string {
	return strings.ReplaceAll(strings.TrimPrefix(text, "\n"), "^@", "\x00")
}

// matches reports whether got are the bytes that want stands for.
func matches(got, want string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(wire(want)), "…", "[^\n]*")
	return regexp.MustCompile(`^` + pattern + `$`).MatchString(got)
}

// printable makes bytes readable in a message.
func printable(s string) string {
	s = strings.ReplaceAll(s, "\x00", "^@")
	if len(s) > 2000 {
		s = s[:2000] + fmt.Sprintf("[and %d bytes more]", len(s)-2000)
	}
	return s
}

// A peer is one end of a connection on which a test speaks bytes. Everything
// that arrives is read at once, by a goroutine of its own.
type peer struct {
	t  *testing.T
	nc net.Conn

	done chan struct{} // closed when nothing more will arrive
	mu   sync.Mutex    // protects the fields below
	in   bytes.Buffer
}

// newPeer lets the test speak bytes on nc, which is closed at its end.
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
		if errors.Is(err, io.EOF) {
			p.in.WriteString("^D")
		}
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// send writes bytes; a connection that is gone does not take them.
func (p *peer) send(s string) { _, _ = io.WriteString(p.nc, s) }

// taken returns what has arrived since the last call. It needs a bubble, in
// which it waits until everything has come to rest.
func (p *peer) taken() string {
	synctest.Wait()
	return p.drain()
}

// drain returns what has arrived since the last call.
func (p *peer) drain() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.in.String()
	p.in.Reset()
	return s
}

// say sends text and returns what was answered.
func (p *peer) say(text string) string {
	p.t.Helper()
	p.send(wire(text))
	return p.taken()
}

// expect sends text and checks the answer.
func (p *peer) expect(text, want string) {
	p.t.Helper()
	if got := p.say(text); !matches(got, want) {
		p.t.Fatalf("after\n%s\ngot\n%s\nwant\n%s", printable(text), printable(got), printable(wire(want)))
	}
}

// frames reads all of s, which ends with ^D if the stream did, by the oracle.
func frames(t *testing.T, s string) (all []*frame.Frame, ended bool) {
	t.Helper()
	s, ended = strings.CutSuffix(s, "^D")
	r := frame.NewReader(strings.NewReader(s))
	for {
		f, err := r.Read()
		if errors.Is(err, io.EOF) {
			return all, ended
		}
		if err != nil {
			t.Fatalf("the oracle cannot read\n%s\nerr = %v", printable(s), err)
		}
		if f != nil {
			all = append(all, f)
		}
	}
}

// one is frames for exactly one frame of the given command.
func one(t *testing.T, s, command string) *frame.Frame {
	t.Helper()
	all, _ := frames(t, s)
	if len(all) != 1 || all[0].Command != command {
		t.Fatalf("got\n%s\nwant one %s frame", printable(s), command)
	}
	return all[0]
}

// headers returns the header of f as a text, one line an entry.
func headers(f *frame.Frame) string {
	var b strings.Builder
	for i := range f.Header.Len() {
		name, value := f.Header.GetAt(i)
		fmt.Fprintf(&b, "%s:%s\n", name, value)
	}
	return b.String()
}

// refused checks that s is nothing but one ERROR that a person understands,
// and the end of the stream, and returns it.
func refused(t *testing.T, s string) *frame.Frame {
	t.Helper()
	all, ended := frames(t, s)
	if len(all) != 1 || all[0].Command != frame.ERROR || !ended {
		t.Fatalf("got\n%s\nwant one ERROR and the end of the stream", printable(s))
	}
	f := all[0]
	text := f.Header.Get(frame.Message)
	if text == "" || len(text) > 256 || len(f.Body) > 1024 {
		t.Errorf("ERROR has a message of %d bytes and a body of %d, want a line and a short text", len(text), len(f.Body))
	}
	if got := f.Header.Get(frame.ContentType); got != "text/plain" {
		t.Errorf("ERROR has content-type:%s, want text/plain", got)
	}
	for _, inside := range []string{"EOF", "i/o timeout", "tcp", "dialer", "transport:", "by the peer", "%!", "goroutine", "context deadline"} {
		if strings.Contains(text+string(f.Body), inside) {
			t.Errorf("ERROR tells %q to a person who cannot know what it means:\n%s", inside, printable(s))
		}
	}
	return f
}

// explains checks that an ERROR says what was wrong, in the header that
// clients show, in words that contain those given.
func explains(t *testing.T, f *frame.Frame, words ...string) {
	t.Helper()
	text := f.Header.Get(frame.Message)
	for _, w := range words {
		if !strings.Contains(strings.ToLower(text), strings.ToLower(w)) {
			t.Errorf("ERROR has message:%s and the body %q, want the message to mention %q", text, f.Body, w)
		}
	}
}
