package zmq_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
	"github.com/polyport/polyport/transport/zmq"
)

const beat = 9 * time.Second

// ping is the one of ends with that interval: 9.9 s to live.
var ping = command("PING", "\x00\x63")

// beating are the options of both ends with that interval.
func beating() (*transport.ListenOptions, *transport.DialOptions) {
	o := transport.Options{Heartbeat: beat}
	return &transport.ListenOptions{Options: o}, &transport.DialOptions{Options: o}
}

// oursWithBeat is X-Polyport with the interval.
var oursWithBeat = strings.Replace(oursAsServer, "beat=10000", "beat=9000", 1)

// An opener opens an end under test with heart-beats.
type opener struct {
	name string
	open func(t *testing.T) *end
}

// capable are ends whose peers are known to answer a PING.
var capable = []opener{
	{"server of a client of ours", func(t *testing.T) *end {
		o, _ := beating()
		return serving(t, o, null, readyAs("DEALER", oursWithBeat))
	}},
	{"server of a REQ of ours", func(t *testing.T) *end { o, _ := beating(); return serving(t, o, null, readyAs("REQ", oursWithBeat)) }},
	{"server of a SUB of ours", func(t *testing.T) *end { o, _ := beating(); return serving(t, o, null, readyAs("SUB", oursWithBeat)) }},
	{"server of a DEALER of 3.1", func(t *testing.T) *end { o, _ := beating(); return serving(t, o, greet(1, "NULL"), ready("DEALER")) }},
	{"client of a server of ours", func(t *testing.T) *end {
		_, o := beating()
		return dialing(t, "zmq://h", o, null, readyAs("ROUTER", oursWithBeat))
	}},
	{"client of a ROUTER of 3.1", func(t *testing.T) *end {
		_, o := beating()
		return dialing(t, "zmq://h", o, greet(1, "NULL"), ready("ROUTER"))
	}},
	{"SUB of a PUB of 3.1", func(t *testing.T) *end {
		_, o := beating()
		return dialing(t, "zmq://h?socket=sub", o, greet(1, "NULL"), ready("PUB"))
	}},
}

// foreign are ends whose peers might take a PING for an error.
var foreign = []opener{
	{"server of a DEALER of 3.0", func(t *testing.T) *end { o, _ := beating(); return serving(t, o, null, ready("DEALER")) }},
	{"server of a REQ of 3.0", func(t *testing.T) *end { o, _ := beating(); return serving(t, o, null, ready("REQ")) }},
	{"server of a SUB of 3.0", func(t *testing.T) *end { o, _ := beating(); return serving(t, o, null, ready("SUB")) }},
	{"client of a ROUTER of 3.0", func(t *testing.T) *end { _, o := beating(); return dialing(t, "zmq://h", o, null, ready("ROUTER")) }},
}

func TestPingAtTwoThirds(t *testing.T) {
	for _, c := range capable {
		bubble(t, c.name, func(t *testing.T) {
			e := c.open(t)
			conn := e.open()
			in := receive(conn)
			if i := conn.Info(); i.Beat != beat || i.PeerBeat != beat {
				t.Errorf("Info: Beat %v, PeerBeat %v, want %v", i.Beat, i.PeerBeat, beat)
			}
			for range 100 {
				time.Sleep(beat*2/3 - time.Nanosecond)
				e.expect("just before two thirds")
				time.Sleep(time.Nanosecond)
				e.expect("at two thirds", ping)
				e.send(command("PONG", ""))
			}
			if err := in.ended(); err != nil {
				t.Errorf("Recv = %v, want a connection that lasts", err)
			}
		})
	}
}

func TestSilentPeer(t *testing.T) {
	for _, c := range capable {
		bubble(t, c.name, func(t *testing.T) {
			e := c.open(t)
			start := time.Now()
			in := receive(e.open())
			<-in.over
			if d := time.Since(start); !errors.Is(in.err, transport.ErrHeartbeat) || d != beat*11/10 {
				t.Errorf("Recv = %v after %v, want ErrHeartbeat after %v", in.err, d, beat*11/10)
			}
			if !e.over() {
				t.Error("the connection is still open")
			}
		})
	}
}

// TestForeignPeer: no PING goes to a peer that may not know it, however long it
// is silent; once it has sent one itself, it gets them, and is judged.
func TestForeignPeer(t *testing.T) {
	for _, c := range foreign {
		bubble(t, c.name, func(t *testing.T) {
			e := c.open(t)
			conn := e.open()
			in := receive(conn)
			time.Sleep(24 * time.Hour)
			e.expect("a day of silence")
			if err := in.ended(); err != nil || conn.Info().Beat != 0 {
				t.Fatalf("Recv = %v, Beat = %v; want a connection that lasts, and no promise", err, conn.Info().Beat)
			}
			start := time.Now()
			e.send(command("PING", "\x00\x0acontext"))
			e.expect("answer", command("PONG", "context"))
			time.Sleep(beat * 2 / 3)
			e.expect("two thirds later", ping)
			<-in.over
			if d := time.Since(start); !errors.Is(in.err, transport.ErrHeartbeat) || d != beat*11/10 {
				t.Errorf("Recv = %v %v after the PING, want ErrHeartbeat after %v", in.err, d, beat*11/10)
			}
		})
	}
}

// TestPong: each PING is answered at once with its context.
func TestPong(t *testing.T) {
	for _, context := range []string{"", "c", "0123456789abcdef", "\x00\xff"} {
		for _, c := range append(capable, foreign...) {
			bubble(t, c.name, func(t *testing.T) {
				e := c.open(t)
				receive(e.open())
				for _, ttl := range []string{"\x00\x00", "\x00\x01", "\xff\xff"} {
					e.send(command("PING", ttl+context))
					e.expect("answer", command("PONG", context))
				}
			})
		}
	}
}

// TestNoBeats: who wants none sends none and judges nobody, and answers.
func TestNoBeats(t *testing.T) {
	none := transport.Options{Heartbeat: -1}
	for _, c := range []opener{
		{"server", func(t *testing.T) *end {
			return serving(t, &transport.ListenOptions{Options: none}, greet(1, "NULL"), readyAs("DEALER", oursWithBeat))
		}},
		{"client", func(t *testing.T) *end {
			return dialing(t, "zmq://h", &transport.DialOptions{Options: none}, greet(1, "NULL"), readyAs("ROUTER", oursWithBeat))
		}},
		{"server whose client wants none", func(t *testing.T) *end {
			return serving(t, nil, null, readyAs("DEALER", strings.Replace(oursAsClient, "beat=10000", "beat=0", 1)))
		}},
	} {
		bubble(t, c.name, func(t *testing.T) {
			e := c.open(t)
			in := receive(e.open())
			e.send(command("PING", "\x00\x0ax"))
			e.expect("answer", command("PONG", "x"))
			time.Sleep(24 * time.Hour)
			e.expect("a day of silence")
			if err := in.ended(); err != nil {
				t.Errorf("Recv = %v, want a connection that lasts", err)
			}
		})
	}
}

// TestIntervals: the longer of two wishes counts.
func TestIntervals(t *testing.T) {
	for _, c := range []struct {
		name        string
		ours, wants time.Duration
		theirs      string
	}{
		{"the peer's is longer", beat, 30 * time.Second, "30000"},
		{"ours is longer", 60 * time.Second, 60 * time.Second, "1000"},
		{"no shorter than a second", time.Millisecond, time.Second, "1"},
	} {
		bubble(t, c.name, func(t *testing.T) {
			o := &transport.ListenOptions{}
			o.Heartbeat = c.ours
			e := serving(t, o, null, readyAs("DEALER", strings.Replace(oursAsClient, "beat=10000", "beat="+c.theirs, 1)))
			if got := e.open().Info().Beat; got != c.wants {
				t.Errorf("Beat = %v, want %v", got, c.wants)
			}
		})
	}
}

// TestPublisherKeepsSubscriber: a SUB says nothing of its own accord, and is a
// while away; PINGs reach it although events flow all the time.
func TestPublisherKeepsSubscriber(t *testing.T) {
	for _, every := range []time.Duration{100 * time.Millisecond, time.Second, beat / 3} {
		for _, away := range []time.Duration{time.Nanosecond, 50 * time.Millisecond, time.Second} {
			bubble(t, every.String()+" "+away.String(), func(t *testing.T) {
				o, _ := beating()
				e := serving(t, o, greet(1, "NULL"), ready("SUB"))
				conn := e.open()
				in := receive(conn)
				e.send(last("\x01"))
				synctest.Wait()
				pings := 0
				for range int(20 * beat / every) {
					time.Sleep(every)
					if err := conn.Send(t.Context(), &transport.Message{To: "topic", Body: []byte("x")}); err != nil {
						t.Fatalf("Send = %v after %d PINGs", err, pings)
					}
					if n := bytes.Count(e.taken(), ping); n > 0 {
						pings += n
						time.AfterFunc(away, func() { e.send(command("PONG", "")) })
					}
				}
				if err := in.ended(); err != nil || pings < 15 || pings > 30 {
					t.Errorf("Recv = %v after %d PINGs in 20 intervals, want a connection that lasts by 15 to 30", err, pings)
				}
				time.Sleep(2 * time.Second)
			})
		}
	}
}

// TestAnyBytesAreLife: parts of a frame count as well as a PONG.
func TestAnyBytesAreLife(t *testing.T) {
	bubble(t, "trickle", func(t *testing.T) {
		o, _ := beating()
		o.FrameTimeout = time.Hour
		e := serving(t, o, null, readyAs("DEALER", oursWithBeat))
		in := receive(e.open())
		for _, b := range last("a message of some length") {
			time.Sleep(beat)
			e.send([]byte{b})
		}
		if m := in.next(); m == nil || string(m.Body) != "a message of some length" {
			t.Errorf("Recv = %v, %v, want the message", m, in.ended())
		}
	})
}

// TestSlowFrame: a frame that begins and does not end is given up.
func TestSlowFrame(t *testing.T) {
	for name, say := range map[string][]byte{
		"in a head": {0}, "in a long head": {2, 0, 0}, "in a body": {0, 5, 'x'}, "in a part": {1, 5, 'x'}, "in a command": {4, 5, 4},
		"after a part": more("id"),
	} {
		bubble(t, name, func(t *testing.T) {
			o := &transport.ListenOptions{}
			o.FrameTimeout = 5 * time.Second
			e := serving(t, o, null, ready("DEALER"))
			in := receive(e.open())
			time.Sleep(time.Hour)
			start := time.Now()
			e.send(say)
			<-in.over
			if d := time.Since(start); !errors.Is(in.err, transport.ErrSlow) || d != 5*time.Second {
				t.Errorf("Recv = %v after %v, want ErrSlow after 5 s", in.err, d)
			}
		})
	}
}

// TestPingFlood: answers to a peer that does not read them are bounded.
func TestPingFlood(t *testing.T) {
	bubble(t, "flood", func(t *testing.T) {
		near, far := mem.Pipe()
		defer near.Close()
		o := &transport.ListenOptions{}
		o.SendBuffer, o.WriteStall = 64<<10, time.Hour
		served := make(chan error)
		go func() {
			c, err := zmq.Transport{}.Server(context.Background(), far, o)
			if err == nil {
				defer c.Close()
				_, err = c.Recv(context.Background())
			}
			served <- err
		}()
		go func() {
			many := bytes.Repeat(command("PING", "\x00\x0a0123456789abcdef"), 1000)
			_, _ = near.Write(join(null, ready("DEALER")))
			for range 1000 { // 26 MB
				if _, err := near.Write(many); err != nil {
					return
				}
			}
			t.Error("the server took all PINGs")
		}()
		if err := <-served; !errors.Is(err, transport.ErrStalled) {
			t.Errorf("Recv = %v, want ErrStalled", err)
		}
	})
	bubble(t, "a peer that reads", func(t *testing.T) {
		e := serving(t, nil, null, ready("DEALER"))
		in := receive(e.open())
		want := bytes.Repeat(command("PONG", "0123456789abcdef"), 1000)
		for range 100 {
			e.send(bytes.Repeat(command("PING", "\x00\x0a0123456789abcdef"), 1000))
			if got := e.taken(); !bytes.Equal(got, want) {
				t.Fatalf("%d bytes of answers, want %d; Recv = %v", len(got), len(want), in.ended())
			}
		}
	})
}

// TestBothEndsIdle: our two ends keep each other alive for hours, in each
// pattern.
func TestBothEndsIdle(t *testing.T) {
	for _, socket := range []string{"dealer", "req", "sub"} {
		bubble(t, socket, func(t *testing.T) {
			near, far := mem.Pipe()
			served := make(chan transport.Conn, 1)
			go func() {
				c, err := zmq.Transport{}.Server(context.Background(), far, nil)
				if err != nil {
					t.Error(err)
				}
				served <- c
			}()
			client, server := dialTo(t, near, socket), <-served
			defer client.Close()
			defer server.Close()
			a, b := receive(client), receive(server)
			time.Sleep(2 * time.Hour)
			if a.ended() != nil || b.ended() != nil {
				t.Errorf("after two hours: %v, %v, want a connection that lasts", a.ended(), b.ended())
			}
		})
	}
}

func dialTo(t *testing.T, nc net.Conn, socket string) transport.Conn {
	t.Helper()
	c, err := zmq.Transport{}.Client(t.Context(), nc, &url.URL{Scheme: "zmq", Host: "h", RawQuery: "socket=" + socket}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
