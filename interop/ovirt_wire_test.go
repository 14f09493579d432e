package interop_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// A wire is a connection on which a test writes and reads STOMP by hand.
type wire struct {
	t *testing.T
	c io.ReadWriteCloser
	r *bufio.Reader
}

// A rawFrame is one as it came.
type rawFrame struct {
	command string
	headers map[string]string
	body    string
	text    string // all of it, with the NUL
}

// newWire connects to a port of this machine. A test that reads has to end within
// some seconds.
func newWire(t *testing.T, number int) *wire {
	t.Helper()
	c := dialTCP(t, number)
	return &wire{t: t, c: c, r: bufio.NewReader(c)}
}

// connectedWire is one after CONNECT.
func connectedWire(t *testing.T, number int) *wire {
	t.Helper()
	w := newWire(t, number)
	w.send("CONNECT\naccept-version:1.2\nhost:127.0.0.1\n\n")
	w.expect("CONNECTED")
	return w
}

// send sends frames, each without its NUL.
func (w *wire) send(frames ...string) {
	w.t.Helper()
	for _, f := range frames {
		if _, err := io.WriteString(w.c, f+"\x00"); err != nil {
			w.t.Errorf("writing %.30q: %v", f, err)
		}
	}
}

// next returns the next frame, passing over EOLs.
func (w *wire) next() (f rawFrame, err error) {
	for {
		b, err := w.r.ReadByte()
		if err != nil {
			return f, err
		}
		if b != '\n' {
			_ = w.r.UnreadByte()
			break
		}
	}
	f.headers = map[string]string{}
	for {
		line, err := w.r.ReadString('\n')
		if err != nil {
			return f, err
		}
		f.text += line
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			break
		}
		name, value, found := strings.Cut(line, ":")
		if !found {
			f.command = line
			continue
		}
		f.headers[name] = value
	}
	f.body, err = w.r.ReadString(0)
	f.text += f.body
	f.body = strings.TrimSuffix(f.body, "\x00")
	return f, err
}

// expect returns the next frame, which has to have a command.
func (w *wire) expect(command string) rawFrame {
	w.t.Helper()
	f, err := w.next()
	if err != nil || f.command != command {
		w.t.Fatalf("came %q, %v; want %s", f.text, err, command)
	}
	return f
}

// ends checks that the connection ends, with nothing more but frames with commands of
// some.
func (w *wire) ends(some ...string) {
	w.t.Helper()
	for {
		f, err := w.next()
		if err != nil {
			return
		}
		if !slices.Contains(some, f.command) {
			w.t.Fatalf("came %q, want the end", f.text)
		}
	}
}

// dialTCP connects to a port of this machine for some seconds.
func dialTCP(t *testing.T, number int) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", number), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(15 * time.Second))
	return c
}
