package zmq_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/zmq"
)

// meet lets a client of ours, by rawURL, meet a peer that sends the given bytes
// and reads what comes. A peer that hangs up does so after them.
func meet(t *testing.T, rawURL string, sends []byte, hangsUp bool) (transport.Conn, error) {
	t.Helper()
	near, far := net.Pipe()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(io.Discard, far)
	}()
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		_, _ = far.Write(sends)
		if hangsUp {
			_ = far.Close()
		}
	}()
	t.Cleanup(func() { _, _ = far.Close(), near.Close(); <-read; <-wrote })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return zmq.Transport{}.Client(ctx, near, u, nil)
}

// TestLibzmqRefuses: libzmq misspells the ERROR of PLAIN, and hangs up in the
// middle of its greeting if it goes by another mechanism. A person is told what
// to do all the same.
func TestLibzmqRefuses(t *testing.T) {
	plain := greet(0, "PLAIN")
	for _, c := range []struct {
		name, url string
		sends     []byte
		want      error
		text      string
	}{
		{"ERROR", "zmq://a:b@x", join(plain, command("ERROR", "\x03400")), transport.ErrRefused, "check user and password"},
		{"^RROR", "zmq://a:b@x", join(plain, frame(4, "^RROR\x03400")), transport.ErrRefused, "check user and password"},
		{"^RROR with a reason", "zmq://a:b@x", join(plain, frame(4, "^RROR\x02no")), transport.ErrRefused, "no"},
		{"^RROR without one", "zmq://a:b@x", join(plain, frame(4, "^RROR")), transport.ErrRefused, "no reason"},
		{"^RROR cut off", "zmq://a:b@x", join(plain, frame(4, "^RROR\x09400")), transport.ErrRefused, "no reason"},
		{"hanging up", "zmq://x", plain[:11], transport.ErrClosed, "wants none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := meet(t, c.url, c.sends, errors.Is(c.want, transport.ErrClosed))
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("Client = %v, want %v with %q", err, c.want, c.text)
			}
		})
	}
}

// TestEmptyAnswers: a REP answers all, if need be with an empty body, for which
// nobody waits at a DEALER.
func TestEmptyAnswers(t *testing.T) {
	c, err := meet(t, "zmq://x", join(greet(0, "NULL"), ready("REP"), frame(1, ""), frame(0, ""), frame(0, ""), frame(1, ""), frame(0, "{}")), false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	m, err := c.Recv(t.Context())
	if err != nil || string(m.Body) != "{}" {
		t.Errorf("Recv = %v, %v, want the only message with a body", m, err)
	}
}
