package interop_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/polyport/polyport/transport"
)

// TestPyzmqCalls: sockets of libzmq call our server; each call is executed and
// answered once.
func TestPyzmqCalls(t *testing.T) {
	t.Parallel()
	needPyzmq(t)
	for _, c := range []struct {
		name string
		o    options
	}{
		{"REQ", options{"socket": "REQ"}},
		{"REQ with heart-beats", options{"socket": "REQ", "heartbeat": 100, "timeout": 5000}},
		{"DEALER", options{"socket": "DEALER", "window": 64}},
		{"DEALER with heart-beats", options{"socket": "DEALER", "window": 64, "heartbeat": 100, "timeout": 5000}},
		{"DEALER with an empty frame", options{"socket": "DEALER", "window": 64, "envelope": []string{""}}},
		{"DEALER with an envelope", options{"socket": "DEALER", "window": 64, "envelope": []string{"a route", "another", ""}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			y := make(tally, volume())
			if c.o["heartbeat"] != nil {
				y = y[:lessVolume()]
			}
			o := maps.Clone(c.o)
			maps.Copy(o, options{"endpoint": tcp(serve(t, "zmq://127.0.0.1:0", nil, y.mux())), "method": "Enter", "first": 0, "calls": len(y)})
			rate := judgeClient(t, startScript(t, "zmq_client.py", o), len(y))
			y.check(t)
			t.Logf("%d calls, %.0f a second", len(y), rate)
		})
	}
}

// TestPyzmqThroughDevice: clients of libzmq call our server through a device,
// which has one connection to it. Everybody gets the answers to its own calls.
func TestPyzmqThroughDevice(t *testing.T) {
	t.Parallel()
	needPyzmq(t)
	y := make(tally, volume())
	_, front := listen(t, "zmq_proxy.py", options{"connect": tcp(serve(t, "zmq://127.0.0.1:0", nil, y.mux()))})
	const clients = 4
	share := len(y) / clients
	var all [clients]*script
	for i := range all {
		o := options{"endpoint": tcp(front), "method": "Enter", "first": i * share, "calls": share, "socket": "REQ"}
		if i%2 == 1 {
			maps.Copy(o, options{"socket": "DEALER", "window": 64, "envelope": []string{""}})
		}
		all[i] = startScript(t, "zmq_client.py", o)
	}
	for i, s := range all {
		t.Logf("client %d: %d calls, %.0f a second", i, share, judgeClient(t, s, share))
	}
	y.check(t)
}

// TestPyzmqWaits: a socket of libzmq, which beats every 100 ms or not at all,
// and our server, which does each second, stay together while nothing is said
// and while a handler is busy.
func TestPyzmqWaits(t *testing.T) {
	t.Parallel()
	needPyzmq(t)
	type pair struct {
		name string
		s    *script
		y    tally
	}
	var all []pair
	for _, socket := range []string{"REQ", "DEALER"} {
		for _, beat := range []int{0, 100} {
			beats := &transport.ListenOptions{}
			beats.Heartbeat = time.Second
			y := make(tally, 1)
			s := startScript(t, "zmq_client.py", options{
				"endpoint": tcp(serve(t, "zmq://127.0.0.1:0", beats, y.mux())), "socket": socket, "heartbeat": beat, "timeout": 500,
				"method": "Dawdle", "first": 0, "calls": len(y), "idle": 1.5,
			})
			all = append(all, pair{fmt.Sprintf("%s, %d ms", socket, beat), s, y})
		}
	}
	for _, p := range all { // they wait at the same time
		t.Log(p.name)
		judgeClient(t, p.s, len(p.y))
		p.y.check(t)
	}
}

// TestPyzmqStopped: of a peer that beat and is stopped we know after 1.1 times
// our interval.
func TestPyzmqStopped(t *testing.T) {
	t.Parallel()
	needPyzmq(t)
	for _, socket := range []string{"REQ", "DEALER"} {
		t.Run(socket, func(t *testing.T) {
			t.Parallel()
			beats := &transport.ListenOptions{}
			beats.Heartbeat = time.Second
			l, err := transport.Listen(t.Context(), "zmq://127.0.0.1:0", beats)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			s := startScript(t, "zmq_client.py", options{
				"endpoint": "tcp://" + l.Addr().String(), "socket": socket, "heartbeat": 100, "timeout": 60_000,
				"method": "Enter", "first": 0, "calls": 1,
			})
			conn, err := l.Accept(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if _, err := conn.Recv(t.Context()); err != nil {
				t.Fatal(err)
			}
			// Without an answer the client stays silent but for its heart-beats.
			ctx, cancel := context.WithTimeout(t.Context(), 1300*time.Millisecond)
			defer cancel()
			if _, err := conn.Recv(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("Recv = %v while the client beat, want it to wait", err)
			}
			if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			stopped := time.Now()
			ctx, cancel = context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, err = conn.Recv(ctx)
			found := time.Since(stopped)
			if !errors.Is(err, transport.ErrHeartbeat) {
				t.Errorf("Recv = %v, want %v", err, transport.ErrHeartbeat)
			}
			// The last sign of life was a PING at most 100 ms before.
			if found < 950*time.Millisecond || found > 1600*time.Millisecond {
				t.Errorf("the silence was found after %v, want 1.1 s after the last sign of life", found)
			}
			t.Logf("found %v after SIGSTOP", found.Round(time.Millisecond))
		})
	}
}

// TestPyzmqLogin: users by PLAIN, and without any.
func TestPyzmqLogin(t *testing.T) {
	t.Parallel()
	needPyzmq(t)
	users := &transport.ListenOptions{Authenticator: transport.Users(map[string]string{"ann": "secret:pass word"})}
	for _, c := range []struct {
		name    string
		o       options
		sockets []string
		// told is what libzmq may make of the ERROR, none if all is well. That of
		// PLAIN libzmq 4.3.4 does not understand: it looks for "^RROR".
		told []string
	}{
		{"right", options{"user": "ann", "password": "secret:pass word"}, []string{"REQ", "DEALER"}, nil},
		{"wrong password", options{"user": "ann", "password": "no"}, []string{"DEALER"}, []string{"refused", "confused"}},
		{"unknown user", options{"user": "bob", "password": "secret:pass word"}, []string{"DEALER"}, []string{"refused", "confused"}},
		{"NULL", options{}, []string{"REQ"}, []string{"refused"}},
	} {
		for _, socket := range c.sockets {
			t.Run(c.name+" by "+socket, func(t *testing.T) {
				t.Parallel()
				y := make(tally, 20)
				o := maps.Clone(c.o)
				maps.Copy(o, options{"endpoint": tcp(serve(t, "zmq://127.0.0.1:0", users, y.mux())), "method": "Enter", "first": 0, "calls": len(y), "socket": socket, "patience": 1})
				s := startScript(t, "zmq_client.py", o)
				if c.told == nil {
					judgeClient(t, s, len(y))
					y.check(t)
					return
				}
				e := s.await("done", patience)
				told := s.monitored()
				if e.Answered > 0 || len(told) == 0 || !slices.Contains(c.told, told[0]) || slices.Contains(told, "connected") {
					t.Errorf("%d answers, and libzmq saw %+v of its connection, want one of %q", e.Answered, s.seen, c.told)
				}
				for n := range y {
					if times := y[n].Load(); times > 0 {
						t.Errorf("call %d was executed %d times", n, times)
					}
				}
			})
		}
	}
}
