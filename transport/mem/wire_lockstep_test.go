package mem_test

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

// TestLockstepURL: a URL says how the ends talk, and both know.
func TestLockstepURL(t *testing.T) {
	for _, c := range []struct {
		url  string
		want bool
		err  error
	}{
		{"mem://host", false, nil},
		{"mem://host?socket=", false, nil},
		{"mem://host?socket=req", true, nil},
		{"mem://host/rpc?x=y&socket=req", true, nil},
		{"mem://host?socket=rep", false, transport.ErrInvalid},
		{"mem://host?socket=REQ", false, transport.ErrInvalid},
	} {
		t.Run(c.url, func(t *testing.T) {
			client, server, err := tryPair(t, c.url, nil, nil)
			if !errors.Is(err, c.err) {
				t.Fatalf("connect = %v, want %v", err, c.err)
			}
			if err != nil {
				return
			}
			if a, b := client.Info().Lockstep, server.Info().Lockstep; a != c.want || b != c.want {
				t.Errorf("Lockstep = %v and %v, want %v", a, b, c.want)
			}
		})
	}
}

// TestLockstepAbilities: the ends declare no ability that makes no sense there.
func TestLockstepAbilities(t *testing.T) {
	client, server, err := tryPair(t, "mem://host?socket=req", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, end := range []transport.Conn{client, server} {
		_, subscribes := transport.As[transport.Subscriber](end)
		_, publishes := transport.As[transport.Publisher](end)
		_, confirms := transport.As[transport.Confirmer](end)
		_, grants := transport.As[transport.Crediter](end)
		_, flushes := transport.As[transport.Flusher](end)
		if subscribes || publishes || confirms || grants || !flushes {
			t.Errorf("abilities: subscribe %v, publish %v, confirm %v, grant %v, flush %v, want flush alone",
				subscribes, publishes, confirms, grants, flushes)
		}
	}
}

// TestLockstepRefused: a server that does not go in lock-step says so.
func TestLockstepRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := mem.Pipe()
		told := make(chan error, 1)
		go func() {
			_, err := mem.Transport{Duplex: true}.Server(t.Context(), far, nil)
			told <- err
		}()
		u := &url.URL{Scheme: "mem", Host: "host", RawQuery: "socket=req"}
		_, err := mem.Transport{}.Client(t.Context(), near, u, nil)
		_ = near.Close()
		for _, err := range []error{err, <-told} {
			if !errors.Is(err, transport.ErrRefused) || !strings.Contains(err.Error(), "socket=") {
				t.Errorf("err = %v, want %v that names the socket", err, transport.ErrRefused)
			}
		}
	})
}

// TestLockstepBroken: an end whose peer is out of step ends the connection and
// says why.
func TestLockstepBroken(t *testing.T) {
	message := frame(4, mem.Number(1<<4), mem.Text("rpc"))
	for _, c := range []struct {
		name string
		said []byte
		want string
	}{
		{"two questions", slices.Concat(message, message), "before the last was answered"},
		{"a subscription", frame(5, mem.Text("s"), mem.Text("d"), "\x00\x00\x00"), "subscribe frame from a client in lock-step"},
		{"a grant", frame(8, mem.Text("s"), mem.Number(1)), "grant frame from a client in lock-step"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := mem.Pipe()
				over := make(chan error, 1)
				go func() {
					server, err := mem.Transport{}.Server(t.Context(), far, nil)
					for err == nil {
						_, err = server.Recv(t.Context())
					}
					if server != nil {
						_ = server.Close()
					}
					over <- err
				}()
				_, _ = near.Write(mem.AppendReqHello(nil))
				_, _ = near.Write(c.said)
				if err := <-over; !errors.Is(err, transport.ErrProtocol) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("the server: err = %v, want %v with %q in it", err, transport.ErrProtocol, c.want)
				}
				_ = near.Close()
			})
		})
	}
	t.Run("an answer to nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			near, far := mem.Pipe()
			go func() {
				_, _ = far.Write(mem.AppendWelcome(nil, 1, "rpc"))
				_, _ = far.Write(message)
			}()
			client, err := mem.Transport{}.Client(t.Context(), near, &url.URL{Scheme: "mem", RawQuery: "socket=req"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if _, err := client.Recv(context.Background()); !errors.Is(err, transport.ErrProtocol) || !strings.Contains(err.Error(), "an answer to nothing") {
					t.Errorf("Recv = %v, want %v with the reason", err, transport.ErrProtocol)
				}
			}
			_ = client.Close()
			_ = far.Close()
		})
	})
}
