package port_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/port"
)

// tap keeps what was read.
type tap struct {
	net.Conn
	mu  sync.Mutex
	raw []byte
}

func (t *tap) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.raw = append(t.raw, b[:n]...)
	return n, err
}

// longestRecord returns the length of the longest TLS record that was read.
func (t *tap) longestRecord() (most int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for raw := t.raw; len(raw) >= 5; {
		n := int(raw[3])<<8 | int(raw[4])
		most = max(most, n)
		raw = raw[min(5+n, len(raw)):]
	}
	return most
}

// TestProfileAtThePort: a port hands its profile to the wires that know it, and its TLS
// has records as long as that asks.
func TestProfileAtThePort(t *testing.T) {
	const size = 10_000
	call := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"Echo","params":[%q]}`, strings.Repeat("x", size))
	talk := "SUBSCRIBE\nid:1\ndestination:jms.topic.vdsm_responses\n\n\x00" +
		"SEND\ndestination:jms.topic.vdsm_requests\nreply-to:jms.topic.vdsm_responses\n\n" + call + "\x00"
	o := &port.Options{}
	o.Profile, o.TLS = transport.OVirt, serverTLS(t)
	dynamic := o.TLS.Clone()
	for _, c := range []struct {
		name string
		conf func(*tls.ClientHelloInfo) (*tls.Config, error)
	}{
		{"one configuration", nil},
		{"one for each client", func(*tls.ClientHelloInfo) (*tls.Config, error) { return dynamic, nil }},
	} {
		o.TLS.GetConfigForClient = c.conf
		addr := serve(t, o)
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, TLS %v", c.name, secure), func(t *testing.T) {
				nc, err := net.Dial("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				defer nc.Close()
				wiretap := &tap{Conn: nc}
				client := net.Conn(wiretap)
				if secure {
					client = tls.Client(wiretap, clientTLS(t, ""))
				}
				if _, err := io.WriteString(client, talk); err != nil {
					t.Fatal(err)
				}
				var got []byte
				for buf := make([]byte, 32<<10); !strings.Contains(string(got), "\x00"); {
					n, err := client.Read(buf)
					if got = append(got, buf[:n]...); err != nil {
						t.Fatalf("got %.200q, then %v", got, err)
					}
				}
				if !strings.HasPrefix(string(got), "MESSAGE\nsubscription:1\n") || len(got) < size {
					t.Errorf("got %.200q", got)
				}
				if most := wiretap.longestRecord(); secure && most < size {
					t.Errorf("the longest record has %d bytes, want the whole frame in one", most)
				}
			})
		}
	}
}
