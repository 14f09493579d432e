package port_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/transport/port"
)

// forms are the two ways in which a connection comes.
var forms = []string{"plain", "TLS"}

// config returns what a client has to dial with.
func config(tb testing.TB, form string) *tls.Config {
	tb.Helper()
	if form == "plain" {
		return nil
	}
	return clientTLS(tb, "")
}

func withTLS(tb testing.TB) *port.Options {
	tb.Helper()
	o := new(port.Options)
	o.TLS = serverTLS(tb)
	return o
}

// An opening is answered however its bytes come.
func TestOpeningsCutAtEveryByte(t *testing.T) {
	for _, form := range forms {
		for _, o := range openings {
			t.Run(form+"/"+o.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					g := openGate(t, withTLS(t))
					for cut := 1; cut <= len(o.bytes); cut++ {
						nc := g.dial(t, config(t, form))
						say(t, nc, o.bytes[:cut])
						synctest.Wait()
						time.Sleep(time.Millisecond)
						say(t, nc, o.bytes[cut:])
						checkAnswer(t, fmt.Sprintf("cut after %d bytes", cut), nc, o.answered(form))
						_ = nc.Close()
						synctest.Wait()
					}
				})
			})
		}
	}
}

func TestOpeningsByteByByte(t *testing.T) {
	for _, form := range forms {
		for _, o := range openings {
			synctest.Test(t, func(t *testing.T) {
				g := openGate(t, withTLS(t))
				nc := g.dial(t, config(t, form))
				for i := range o.bytes {
					say(t, nc, o.bytes[i:i+1])
					time.Sleep(time.Millisecond)
				}
				checkAnswer(t, form+" "+o.name, nc, o.answered(form))
				_ = nc.Close()
			})
		}
	}
}

// say writes s, which the peer need not take.
func say(tb testing.TB, w io.Writer, s string) {
	tb.Helper()
	_, _ = io.WriteString(w, s)
}

func TestUnknownOpenings(t *testing.T) {
	for _, form := range forms {
		for _, opening := range []string{
			"x", "SSH-2.0-OpenSSH_9.2\r\n", "\x00", "GETX", "CONNECTX", "CONNECT\rx", "\n\n\nGET /", "connect\n",
			"AMQX", "AMQP\x04", "AMQP0", "PRI * HTTP/1", "SEARCH / HTTP/1.1\r\n",
			"\x01\x00", // ZMTP 1.0
			"\xff\x00\x00\x00\x00\x00\x00\x00\x05\x00", // ZMTP 1.0 with a long identity
			"\xff\xfb\x01\xff\xfd\x03\x00\x00\x00\x00", // Telnet
			"\x16\x02", "\x80\x2e\x01\x00\x02", // SSL 2 and what never was
			strings.Repeat("\xfe", 100),
		} {
			synctest.Test(t, func(t *testing.T) {
				g := openGate(t, withTLS(t))
				nc := g.dial(t, config(t, form))
				start := time.Now()
				say(t, nc, opening)
				checkCut(t, fmt.Sprintf("%s %q", form, opening), nc)
				if took := time.Since(start); took != 0 {
					t.Errorf("%s %q: cut after %v, want at once", form, opening, took)
				}
				synctest.Wait()
				checkLogged(t, form+" "+opening, g.logged, "no protocol that is served here (amqp, http, stomp, zmq) begins with")
			})
		}
	}
}

// The end of a prefix is the end of the connection, and of nothing else.
func TestPeerGoesAtEveryByte(t *testing.T) {
	for _, form := range forms {
		synctest.Test(t, func(t *testing.T) {
			g := openGate(t, withTLS(t))
			for _, o := range openings {
				for cut := range o.bytes {
					nc := g.dial(t, config(t, form))
					say(t, nc, o.bytes[:cut])
					_ = nc.Close()
				}
			}
			synctest.Wait()
			nc := g.dial(t, config(t, form))
			say(t, nc, openings[0].bytes)
			checkAnswer(t, "after all that", nc, openings[0].answer)
			_ = nc.Close()
		})
	}
}

func TestTimeLimits(t *testing.T) {
	const detection, handshake = 5 * time.Second, 10 * time.Second
	drip := func(s string) func(*testing.T, *gate) io.ReadWriteCloser {
		return func(t *testing.T, g *gate) io.ReadWriteCloser {
			nc := g.dial(t, nil)
			go func() {
				for i := range s {
					if _, err := io.WriteString(nc, s[i:i+1]); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			}()
			return nc
		}
	}
	tests := []struct {
		name   string
		peer   func(t *testing.T, g *gate) io.ReadWriteCloser
		after  time.Duration
		logged string
	}{
		{"silent", drip(""), detection, "the peer sent 0 bytes in 5s, which do not tell its protocol"},
		{"dripping", drip("CONNECT\naccept-version:1.2"), detection, "the peer sent 5 bytes in 5s"},
		{"dripping line ends", drip(strings.Repeat("\n", 100)), detection, "the peer sent 5 bytes in 5s"},
		{"dripping on after detection", drip("AMQP\x00\x01\x00\x00"), handshake, "the handshake was not over in time"},
		{"dripping a ClientHello", drip("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03xxxxxxxxxxx"), handshake, "no answer in time"},
		{"silent in the handshake of TLS", func(t *testing.T, g *gate) io.ReadWriteCloser {
			nc := g.dial(t, nil)
			say(t, nc, "\x16\x03\x01\x02\x00")
			return nc
		}, handshake, "no answer in time"},
		{"silent after TLS", func(t *testing.T, g *gate) io.ReadWriteCloser {
			return g.dial(t, clientTLS(t, ""))
		}, detection, "the peer sent 0 bytes in 5s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := openGate(t, withTLS(t))
				start := time.Now()
				nc := tt.peer(t, g)
				_, _ = io.Copy(io.Discard, nc)
				if took := time.Since(start); took != tt.after {
					t.Errorf("cut after %v, want %v", took, tt.after)
				}
				time.Sleep(time.Minute) // lets the peer end
				checkLogged(t, tt.name, g.logged, tt.logged)
			})
		})
	}
}

// The limit of detection is not that of the connection.
func TestConnectionOutlivesDetection(t *testing.T) {
	for _, form := range forms {
		synctest.Test(t, func(t *testing.T) {
			g := openGate(t, withTLS(t))
			nc := g.dial(t, config(t, form))
			say(t, nc, "CONNECT\naccept-version:1.2\nhost:x\n\n\x00")
			checkAnswer(t, form, nc, "CONNECTED\n")
			time.Sleep(time.Hour)
			say(t, nc, "DISCONNECT\nreceipt:1\n\n\x00")
			rest, _ := io.ReadAll(nc)
			if !strings.Contains(string(rest), "RECEIPT\n") {
				t.Errorf("%s: after an hour: %q, want a RECEIPT", form, rest)
			}
		})
	}
}

func TestGarbageAfterClientHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, garbage := range []string{
			"\x16\x03\x01\x00\x02hi", "\x16\x03\x01\xff\xff" + strings.Repeat("x", 1<<16), "\x16\x03\x01\x00\x00", "\x16\x03\x01\x00\x04\x01\xff\xff\xff",
			"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
		} {
			g := openGate(t, withTLS(t))
			nc := g.dial(t, nil)
			go func() { say(t, nc, garbage); _ = nc.(interface{ CloseWrite() error }).CloseWrite() }()
			start := time.Now()
			_, _ = io.Copy(io.Discard, nc)
			if took := time.Since(start); took != 0 {
				t.Errorf("%q: cut after %v, want at once", garbage[:5], took)
			}
			_ = nc.Close()
			synctest.Wait()
			checkLogged(t, garbage[:5], g.logged, "TLS handshake: ")
			g.close()
		}
	})
}
