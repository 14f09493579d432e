package mem_test

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

// TestFeedURL: a URL says that the client only listens, and both ends know.
func TestFeedURL(t *testing.T) {
	for rawURL, want := range map[string]bool{
		"mem://host": false, "mem://host?socket=req": false, "mem://host?socket=sub": true, "mem://host/rpc?x=y&socket=sub": true,
	} {
		client, server, err := tryPair(t, rawURL, nil, nil)
		if err != nil {
			t.Fatalf("connect(%s): %v", rawURL, err)
		}
		if a, b := client.Info().Feed, server.Info().Feed; a != want || b != want {
			t.Errorf("%s: Feed = %v and %v, want %v", rawURL, a, b, want)
		}
	}
	if _, _, err := tryPair(t, "mem://host?socket=pub", nil, nil); !errors.Is(err, transport.ErrInvalid) {
		t.Errorf("socket=pub: err = %v, want %v", err, transport.ErrInvalid)
	}
}

// TestFeedAbilities: the ends declare no ability that makes no sense there.
func TestFeedAbilities(t *testing.T) {
	client, server, err := tryPair(t, "mem://host?socket=sub", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, end := range []transport.Conn{client, server} {
		_, subscribes := transport.As[transport.Subscriber](end)
		_, hears := transport.As[transport.Audience](end)
		_, confirms := transport.As[transport.Confirmer](end)
		_, grants := transport.As[transport.Crediter](end)
		_, flushes := transport.As[transport.Flusher](end)
		if subscribes != (end == client) || hears != (end == server) || confirms || grants || !flushes {
			t.Errorf("abilities: subscribe %v, audience %v, confirm %v, grant %v, flush %v", subscribes, hears, confirms, grants, flushes)
		}
	}
}

// TestFeedRefused: a server that speaks full duplex alone says so.
func TestFeedRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := mem.Pipe()
		told := make(chan error, 1)
		go func() {
			_, err := mem.Transport{Duplex: true}.Server(t.Context(), far, nil)
			told <- err
		}()
		_, err := mem.Transport{}.Client(t.Context(), near, &url.URL{Scheme: "mem", Host: "host", RawQuery: "socket=sub"}, nil)
		_ = near.Close()
		for _, err := range []error{err, <-told} {
			if !errors.Is(err, transport.ErrRefused) || !strings.Contains(err.Error(), "socket=") {
				t.Errorf("err = %v, want %v that names the socket", err, transport.ErrRefused)
			}
		}
	})
}

// TestFeedBroken: a server ends a feed whose client does more than listen, and
// says why.
func TestFeedBroken(t *testing.T) {
	for _, c := range []struct{ name, said, want string }{
		{"a message", string(frame(4, mem.Number(1<<4), mem.Text("rpc"))), "message frame from a client that only listens"},
		{"a grant", string(frame(8, mem.Text("s"), mem.Number(1))), "grant frame from a client that only listens"},
		{"acknowledgements", string(frame(5, mem.Text("s"), mem.Text("d"), "\x01\x00\x00")), "acknowledgements or credit"},
		{"credit", string(frame(5, mem.Text("s"), mem.Text("d"), "\x00\x05\x00")), "acknowledgements or credit"},
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
				_, _ = near.Write(slices.Concat(mem.AppendSubHello(nil), []byte(c.said)))
				if err := <-over; !errors.Is(err, transport.ErrProtocol) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("the server: err = %v, want %v with %q in it", err, transport.ErrProtocol, c.want)
				}
				_ = near.Close()
			})
		})
	}
}
