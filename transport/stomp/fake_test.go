package stomp_test

import (
	"context"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/stomp"
)

// A fakeServer is a client under test, and the raw bytes of a server that the
// test plays.
type fakeServer struct {
	*peer
	dialed chan dialed
	opened transport.Conn
}

type dialed struct {
	conn transport.Conn
	err  error
	took time.Duration
}

// newFakeServer has a client dial rawURL, as transport.Dial does. It needs a
// bubble.
func newFakeServer(t *testing.T, rawURL string, o *transport.DialOptions) *fakeServer {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	near, far := pipe(t)
	f := &fakeServer{peer: newPeer(t, near), dialed: make(chan dialed, 1)}
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), o.WithDefaults().Timeout)
	deadline, _ := ctx.Deadline()
	_ = far.SetDeadline(deadline)
	go func() {
		defer cancel()
		c, err := stomp.Transport{}.Client(ctx, far, u, o)
		if err != nil {
			_ = far.Close()
		} else {
			_ = far.SetDeadline(time.Time{})
		}
		f.dialed <- dialed{c, err, time.Since(start)}
	}()
	t.Cleanup(func() {
		_ = f.nc.Close()
		if f.opened != nil {
			_ = f.opened.Close()
		}
	})
	return f
}

// conn returns the connection that the client got.
func (f *fakeServer) conn() transport.Conn {
	f.t.Helper()
	if f.opened == nil {
		d := <-f.dialed
		if d.err != nil {
			f.t.Fatalf("Client = %v", d.err)
		}
		f.opened = d.conn
	}
	return f.opened
}

// refused returns the error that the client got.
func (f *fakeServer) refused() error {
	f.t.Helper()
	d := <-f.dialed
	if d.err == nil {
		_ = d.conn.Close()
		f.t.Fatal("Client = nil, want an error")
	}
	return d.err
}

// newSession is a fakeServer that has answered, with further header lines.
func newSession(t *testing.T, version string, o *transport.DialOptions, lines string) *fakeServer {
	t.Helper()
	f := newFakeServer(t, "stomp://localhost", o)
	f.taken()
	f.send(wire("CONNECTED\nversion:" + version + "\n" + lines + "\n^@"))
	f.conn()
	return f
}

// receiving runs Recv until it fails, and returns what came and why it ended.
type receiving struct {
	got chan *transport.Message
	err chan error
}

func (f *fakeServer) receive() *receiving {
	r := &receiving{make(chan *transport.Message, 1000), make(chan error, 1)}
	c := f.conn()
	go func() {
		for {
			m, err := c.Recv(context.Background())
			if err != nil {
				r.err <- err
				return
			}
			r.got <- m
		}
	}()
	return r
}

// next returns the next message, or nil if none has come.
func (r *receiving) next() *transport.Message {
	synctest.Wait()
	select {
	case m := <-r.got:
		return m
	default:
		return nil
	}
}
