package stomp_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
	"github.com/polyport/polyport/transport/stomp"
)

// TestSlowPeers: silence in the middle of a frame and one byte a second end
// in time, whether heart-beats were agreed on or not, and hold up nobody.
func TestSlowPeers(t *testing.T) {
	const (
		handshake = 7 * time.Second
		frame     = 20 * time.Second
		send      = "SEND\ndestination:rpc\n\nhello, is anybody there who has time for a long story?\x00"
	)
	never := strings.Repeat("A", 1000)
	for _, c := range []struct {
		name  string
		after string
		text  string        // sent slowly
		pace  time.Duration // between two bytes; 0 sends at once
		want  time.Duration
		kind  error // that Recv returns; nil if there is no session
	}{
		{"nothing", "", "", 0, handshake, nil},
		{"half a CONNECT", "", hello[:20], 0, handshake, nil},
		{"CONNECT, a byte a second", "", hello, time.Second, handshake, nil},
		{"line ends, one a second", "", strings.Repeat("\n", 1000), time.Second, handshake, nil},
		{"half a head", hello, send[:10], 0, frame, transport.ErrSlow},
		{"half a body", hello, send[:50], 0, frame, transport.ErrSlow},
		{"half a counted body", hello, "SEND\ndestination:rpc\ncontent-length:1000\n\nhel", 0, frame, transport.ErrSlow},
		{"a counted body without its NUL", hello, "SEND\ndestination:rpc\ncontent-length:5\n\nhello", 0, frame, transport.ErrSlow},
		{"SEND, a byte a second", hello, send, time.Second, frame, transport.ErrSlow},
		{"header, a byte a second", hello, "SEND\nk:" + never, time.Second, frame, transport.ErrSlow},
		{"body, a byte a second", hello, "SEND\ndestination:rpc\n\n" + never, 100 * time.Millisecond, frame, transport.ErrSlow},
		{"counted body, a byte a second", hello, "SEND\ndestination:rpc\ncontent-length:1000\n\n" + never, 100 * time.Millisecond, frame, transport.ErrSlow},
		{"half a frame with heart-beats", strings.Replace(hello, "0,0", "10000,0", 1), send[:10], 0, 11 * time.Second, transport.ErrHeartbeat},
		{"a byte a second is life, but not for ever", strings.Replace(hello, "0,0", "10000,0", 1), send, time.Second, frame, transport.ErrSlow},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &transport.ListenOptions{HandshakeTimeout: handshake}
				o.FrameTimeout = frame
				r := newRig(t, o, echo)
				stop := neighbourInBubble(t, r)
				p := r.dial()
				p.send(c.after)
				if c.after != "" {
					one(t, p.taken(), "CONNECTED")
				}
				before := allocated()
				start := time.Now()
				if c.pace == 0 {
					p.send(c.text)
				} else {
					p.trickle(c.text, c.pace)
				}
				ends(t, p)
				if d := time.Since(start); d < c.want || d > c.want+time.Second {
					t.Errorf("it was ended after %v, want %v", d, c.want)
				}
				if got := allocated() - before; got > 1<<20 {
					t.Errorf("%d bytes were allocated, want at most 1 MiB", got)
				}
				if got := p.taken(); got != "^D" {
					explains(t, refused(t, got), "time")
				}
				_ = p.nc.Close()
				if c.kind != nil {
					if err := r.session().ended(); !errors.Is(err, c.kind) {
						t.Errorf("Recv = %v, want a %v", err, c.kind)
					}
				}
				if n := stop(); n < int(c.want/time.Second)-1 {
					t.Errorf("the neighbour made %d calls in %v, want one a second", n, c.want)
				}
			})
		})
	}
}

// trickle sends a byte each interval until the connection ends.
func (p *peer) trickle(text string, interval time.Duration) {
	for _, b := range []byte(text) {
		p.send(string(b))
		select {
		case <-p.done:
			return
		case <-time.After(interval):
		}
	}
}

// ends waits for the end of the stream that p reads.
func ends(t *testing.T, p *peer) {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(time.Hour):
		t.Fatal("the server did not close within an hour")
	}
}

// neighbourInBubble makes a call a second until stop is called, which says how
// many were answered. Each has to be answered at once.
func neighbourInBubble(t *testing.T, r *rig) (stop func() int) {
	t.Helper()
	nc, err := r.network.Dial(t.Context(), "server")
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse("stomp://h")
	c, err := stomp.Transport{}.Client(t.Context(), nc, u, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	calls := 0
	wg.Go(func() {
		for {
			start := time.Now()
			if err := c.Send(ctx, &transport.Message{ReplyTo: "/temp-queue/n", Body: []byte("ping")}); err != nil {
				t.Errorf("neighbour: Send = %v", err)
				return
			}
			if m, err := c.Recv(t.Context()); err != nil || string(m.Body) != "ping" || time.Since(start) > 0 {
				t.Errorf("neighbour: Recv = %v, %v after %v, want ping at once", m, err, time.Since(start))
				return
			}
			calls++
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return
			}
		}
	})
	synctest.Wait() // its handshake and first call are over
	return func() int {
		cancel()
		wg.Wait()
		_ = c.Close()
		return calls
	}
}

// TestPeerThatDoesNotRead: its own messages wait, up to a bound and a time;
// others' do not.
func TestPeerThatDoesNotRead(t *testing.T) {
	for name, attack := range map[string]string{
		"answers":        strings.Repeat("SEND\ndestination:rpc\nreply-to:/temp-queue/a\n\n"+strings.Repeat("x", 1000)+"\x00", 5000),
		"receipts":       strings.Repeat("SEND\ndestination:rpc\nreceipt:"+strings.Repeat("r", 1000)+"\n\n\x00", 5000),
		"ERROR, no more": strings.Repeat("SEND\ndestination:rpc\nreceipt:"+strings.Repeat("r", 1000)+"\n\n\x00", 100) + "WHAT\n\n\x00",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &transport.ListenOptions{}
				o.WriteStall = 20 * time.Second
				r := newRig(t, o, echo)
				r.network.Buffer = 64 << 10
				stop := neighbourInBubble(t, r)
				nc, err := r.network.Dial(t.Context(), "server")
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				written := make(chan error)
				go func() {
					_, err := nc.Write([]byte(hello + attack))
					written <- err
				}()
				s := r.session()
				<-s.over
				// A write that came half way is given as long again.
				if d := time.Since(start); d > 2*o.WriteStall+time.Second {
					t.Errorf("it was given up after %v, want at most twice %v", d, o.WriteStall)
				}
				if err := s.ended(); !errors.Is(err, transport.ErrStalled) && !errors.Is(err, transport.ErrProtocol) {
					t.Errorf("Recv = %v, want ErrStalled", err)
				}
				_ = nc.Close()
				<-written
				if n, want := stop(), int(time.Since(start)/time.Second); n < want-1 {
					t.Errorf("the neighbour made %d calls in %d s, want one a second", n, want)
				}
			})
		})
	}
}

// TestHandshakesAreBounded: strangers that say nothing do not keep others out
// for longer than the handshake may take.
func TestHandshakesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &transport.ListenOptions{Handshakes: 5, HandshakeTimeout: 3 * time.Second}, nil)
		for range 20 {
			r.dial()
		}
		p := r.dial()
		p.send(hello)
		time.Sleep(30 * time.Second)
		one(t, p.taken(), "CONNECTED")
	})
}

// TestCloseListenerDuringHandshake: it ends those under way at once.
func TestCloseListenerDuringHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, nil)
		p := r.dial()
		p.send("CONN")
		synctest.Wait()
		start := time.Now()
		_ = r.l.Close()
		if d := time.Since(start); d > time.Second {
			t.Errorf("Close took %v, want no more than the linger time", d)
		}
		ends(t, p)
	})
}

// TestMemoryOfBodies: taking in a body costs a small multiple of its length,
// and a length that is only claimed little.
func TestMemoryOfBodies(t *testing.T) {
	const size = 4 << 20
	body := strings.Repeat("x", size)
	for _, c := range []struct {
		name, in string
		most     uint64
	}{
		{"counted", "SEND\ndestination:rpc\ncontent-length:4194304\n\n" + body + "\x00", 3 * size},
		{"to the NUL", "SEND\ndestination:rpc\n\n" + body + "\x00", 3 * size},
		{"claimed", "SEND\ndestination:rpc\ncontent-length:4194304\n\n", 1 << 20},
		{"claimed and begun", "SEND\ndestination:rpc\ncontent-length:4194304\n\n" + body[:1000], 1 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			near, far := mem.PipeSize(len(c.in) + 1000)
			_, _ = near.Write([]byte(hello + c.in))
			conn, err := serve(t, far)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = near.(interface{ CloseWrite() error }).CloseWrite()
			before := allocated()
			m, err := conn.Recv(t.Context())
			got := allocated() - before
			if whole := len(c.in) > size; whole && (err != nil || len(m.Body) != size) || !whole && err == nil {
				t.Fatalf("Recv = %v", err)
			}
			if got > c.most {
				t.Errorf("%d bytes were allocated, want at most %d", got, c.most)
			}
			_ = near.Close()
		})
	}
}
