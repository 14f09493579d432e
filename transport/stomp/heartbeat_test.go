package stomp_test

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/stomp"
)

// TestServerHeartbeats holds one hour of silence against what was agreed on.
func TestServerHeartbeats(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		name   string
		ours   time.Duration // the option
		header string        // in CONNECT
		answer string        // in CONNECTED
		beat   time.Duration // what the server promises then
		peer   time.Duration // what the client has promised
	}{
		{"both at the default", 0, "10000,10000", "10000,10000", 10 * s, 10 * s},
		{"no header", 0, "", "0,0", 0, 0},
		{"client wants none", 0, "0,0", "0,0", 0, 0},
		{"client only listens", 0, "0,5000", "10000,0", 10 * s, 0},
		{"client only sends", 0, "5000,0", "0,10000", 0, 10 * s},
		{"the longer counts", 0, "30000,60000", "10000,10000", 60 * s, 30 * s},
		{"the server's is longer", 20 * s, "1000,1000", "20000,20000", 20 * s, 20 * s},
		{"no shorter than a second", time.Millisecond, "1,1", "1000,1000", s, s},
		{"server wants none", -1, "1000,1000", "0,0", 0, 0},
		{"blanks", 0, " 2000 , 3000 ", "10000,10000", 10 * s, 10 * s},
		{"the longest that fits", 0, "0,2147483647", "10000,0", 2147483647 * time.Millisecond, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &transport.ListenOptions{}
				o.Heartbeat = c.ours
				r := newRig(t, o, nil)
				p := r.dial()
				var lines []string
				if c.header != "" {
					lines = []string{"heart-beat:" + c.header}
				}
				f := one(t, p.say(connectFrame("1.2", lines...)), "CONNECTED")
				start := time.Now()
				if got := f.Header.Get("heart-beat"); got != c.answer {
					t.Errorf("CONNECTED has heart-beat:%s, want %s", got, c.answer)
				}
				session := r.session()
				if i := session.Info(); i.Beat != c.beat || i.PeerBeat != c.peer {
					t.Errorf("Info: Beat %v, PeerBeat %v, want %v, %v", i.Beat, i.PeerBeat, c.beat, c.peer)
				}
				if c.peer == 0 {
					judgeBeats(t, p, c.beat)
					if err := session.ended(); err != nil {
						t.Errorf("Recv = %v, want a connection that lasts", err)
					}
					return
				}
				<-session.over
				if err := session.ended(); !errors.Is(err, transport.ErrHeartbeat) {
					t.Errorf("Recv = %v, want ErrHeartbeat", err)
				}
				if d := time.Since(start); d < c.peer || d > c.peer*5/4+time.Second {
					t.Errorf("the silent client was given up after %v, want a little over %v", d, c.peer)
				}
			})
		})
	}
}

// judgeBeats checks that p gets a sign of life in each interval, and not many
// more than that, or none if the interval is 0.
func judgeBeats(t *testing.T, p *peer, interval time.Duration) {
	t.Helper()
	step := interval
	if step == 0 {
		step = time.Hour
	}
	total := 0
	for i := range 10 {
		time.Sleep(step)
		got := p.taken()
		total += len(got)
		if strings.Trim(got, "\n") != "" || interval > 0 && got == "" || interval == 0 && got != "" {
			t.Fatalf("interval %d of %v: got %q, want signs of life if promised and nothing else", i, interval, got)
		}
	}
	if total > 20 {
		t.Errorf("%d signs of life in 10 intervals, want at most 2 each", total)
	}
}

// TestHeartbeatsKeepAlive: both ends at the shortest interval, for an hour.
func TestHeartbeatsKeepAlive(t *testing.T) {
	for _, beat := range []string{"\n", "\r\n"} {
		t.Run(fmt.Sprintf("%q", beat), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &transport.ListenOptions{}
				o.Heartbeat = time.Second
				r := newRig(t, o, nil)
				p := r.connect("1.2", "heart-beat:1000,1000")
				for range 3600 {
					time.Sleep(time.Second)
					p.send(beat)
				}
				if err := r.session().ended(); err != nil {
					t.Errorf("Recv = %v, want a connection that lasts", err)
				}
				p.drain()
				one(t, p.say("SEND\ndestination:rpc\nreceipt:1\n\n^@"), "RECEIPT")
			})
		})
	}
}

// TestAnyBytesAreLife: parts of a frame count as well as line ends.
func TestAnyBytesAreLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &transport.ListenOptions{}
		o.Heartbeat = time.Second
		r := newRig(t, o, nil)
		p := r.connect("1.2", "heart-beat:1000,0")
		for _, b := range "SEND\ndestination:rpc\n\nhello\x00" {
			time.Sleep(time.Second)
			p.send(string(b))
		}
		if m := r.session().received(); len(m) != 1 || string(m[0].Body) != "hello" {
			t.Errorf("received %v, want the one message", m)
		}
	})
}

// TestMessagesAreBeats: no line end is sent while messages show life.
func TestMessagesAreBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, nil)
		p := r.connect("1.2", "heart-beat:0,10000")
		p.say(subscribeFrame("d"))
		for range 100 {
			time.Sleep(3 * time.Second)
			if err := r.session().Send(t.Context(), &transport.Message{To: "d"}); err != nil {
				t.Fatal(err)
			}
		}
		if all := p.taken(); strings.Contains(all, "\x00\n") {
			t.Errorf("signs of life between messages that come every 3 s:\n%.300s", printable(all))
		}
	})
}

// TestClientHeartbeats is TestServerHeartbeats from the other end.
func TestClientHeartbeats(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		name   string
		ours   time.Duration
		offer  string // in CONNECT
		header string // in CONNECTED
		beat   time.Duration
		peer   time.Duration
	}{
		{"both at the default", 0, "10000,10000", "heart-beat:10000,10000\n", 10 * s, 10 * s},
		{"no header", 0, "10000,10000", "", 0, 0},
		{"server wants none", 0, "10000,10000", "heart-beat:0,0\n", 0, 0},
		{"server only listens", 2 * s, "2000,2000", "heart-beat:0,3000\n", 3 * s, 0},
		{"server only sends", 2 * s, "2000,2000", "heart-beat:1000,0\n", 0, 2 * s},
		{"the longer counts", 5 * s, "5000,5000", "heart-beat:7000,1\n", 5 * s, 7 * s},
		{"client wants none", -1, "0,0", "heart-beat:1000,1000\n", 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &transport.DialOptions{}
				o.Heartbeat = c.ours
				f := newFakeServer(t, "stomp://h", o)
				if got := one(t, f.taken(), "CONNECT").Header.Get("heart-beat"); got != c.offer {
					t.Errorf("CONNECT has heart-beat:%s, want %s", got, c.offer)
				}
				f.send(wire("CONNECTED\nversion:1.2\n" + c.header + "\n^@"))
				conn := f.conn()
				if i := conn.Info(); i.Beat != c.beat || i.PeerBeat != c.peer {
					t.Errorf("Info: Beat %v, PeerBeat %v, want %v, %v", i.Beat, i.PeerBeat, c.beat, c.peer)
				}
				start := time.Now()
				recv := make(chan error, 1)
				go func() {
					_, err := conn.Recv(t.Context())
					recv <- err
				}()
				if c.peer == 0 {
					judgeBeats(t, f.peer, c.beat)
					return
				}
				if err := <-recv; !errors.Is(err, transport.ErrHeartbeat) {
					t.Errorf("Recv = %v, want ErrHeartbeat", err)
				}
				if d := time.Since(start); d < c.peer || d > c.peer*5/4+time.Second {
					t.Errorf("the silent server was given up after %v, want a little over %v", d, c.peer)
				}
			})
		})
	}
}

// TestBothEndsIdle: our two ends keep each other alive for a day.
func TestBothEndsIdle(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		r := newRig(t, nil, echo)
		nc, err := r.network.Dial(t.Context(), "server")
		if err != nil {
			t.Fatal(err)
		}
		u, _ := url.Parse("stomp://h?version=" + version)
		c, err := stomp.Transport{}.Client(t.Context(), nc, u, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		recv := make(chan string, 1)
		go func() {
			m, err := c.Recv(t.Context())
			if err != nil {
				recv <- err.Error()
				return
			}
			recv <- string(m.Body)
		}()
		time.Sleep(24 * time.Hour)
		if err := c.Send(t.Context(), &transport.Message{ReplyTo: "/temp-queue/a", Body: []byte("still there")}); err != nil {
			t.Fatal(err)
		}
		if got := <-recv; got != "still there" {
			t.Errorf("after a day: %s", got)
		}
	})
}
