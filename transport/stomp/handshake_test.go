package stomp_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/transport"
)

// connected is the answer to a CONNECT.
const connected = `
CONNECTED
version:%
heart-beat:…
session:…
server:polyport
content-length:0

^@`

func connectedAs(version string) string { return strings.Replace(connected, "%", version, 1) }

func TestServerNegotiatesVersion(t *testing.T) {
	for _, c := range []struct{ name, in, version string }{
		{"no accept-version", "CONNECT\n\n^@", "1.0"},
		{"empty accept-version", "CONNECT\naccept-version:\n\n^@", "1.0"},
		{"1.0", "CONNECT\naccept-version:1.0\n\n^@", "1.0"},
		{"1.1", "CONNECT\naccept-version:1.1\nhost:h\n\n^@", "1.1"},
		{"1.2", "CONNECT\naccept-version:1.2\nhost:h\n\n^@", "1.2"},
		{"the highest of two", "CONNECT\naccept-version:1.0,1.1\nhost:h\n\n^@", "1.1"},
		{"the highest in any order", "CONNECT\naccept-version:1.2,1.0,1.1\nhost:h\n\n^@", "1.2"},
		{"unknown ones are passed over", "CONNECT\naccept-version:1.1,1.3,2.0\nhost:h\n\n^@", "1.1"},
		{"blanks in the list", "CONNECT\naccept-version:1.1, 1.2\nhost:h\n\n^@", "1.2"},
		{"the first of repeated headers", "CONNECT\naccept-version:1.1\naccept-version:1.2\nhost:h\n\n^@", "1.1"},
		{"command STOMP", "STOMP\naccept-version:1.2\nhost:h\n\n^@", "1.2"},
		{"no host", "CONNECT\naccept-version:1.2\n\n^@", "1.2"},
		{"CR LF", "CONNECT\r\naccept-version:1.2\r\nhost:h\r\n\r\n^@", "1.2"},
		{"line ends before it", "\n\r\n\n\nCONNECT\naccept-version:1.2\nhost:h\n\n^@", "1.2"},
		{"line ends after it", "CONNECT\naccept-version:1.2\nhost:h\n\n^@\n\r\n\n", "1.2"},
		{"content-length 0", "CONNECT\naccept-version:1.2\nhost:h\ncontent-length:0\n\n^@", "1.2"},
		{"a receipt is not for CONNECT", "CONNECT\naccept-version:1.2\nhost:h\nreceipt:1\n\n^@", "1.2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil, nil)
				p := r.dial()
				p.send(wire(c.in))
				if got := p.taken(); !matches(got, connectedAs(c.version)) {
					t.Fatalf("got\n%s\nwant CONNECTED with version %s", printable(got), c.version)
				}
				if got := r.session().Info().Version; got != c.version {
					t.Errorf("Info().Version = %q, want %q", got, c.version)
				}
			})
		})
	}
}

// TestServerRefusesHandshake is about first frames that get one ERROR.
func TestServerRefusesHandshake(t *testing.T) {
	for _, c := range []struct{ name, in, says string }{
		{"unknown version", "CONNECT\naccept-version:3.0\nhost:h\n\n^@", "version"},
		{"no version at all", "CONNECT\naccept-version:,\nhost:h\n\n^@", "version"},
		{"SEND first", "SEND\ndestination:/queue/rpc\n\nhello^@", "CONNECT"},
		{"SUBSCRIBE first", "SUBSCRIBE\nid:1\ndestination:d\n\n^@", "CONNECT"},
		{"a server's frame", "CONNECTED\nversion:1.2\n\n^@", "CONNECT"},
		{"unknown command", "HELLO\n\n^@", "HELLO"},
		{"lower case", "connect\n\n^@", "command"},
		{"a longer word", "CONNECTION\n\n^@", "CONNECTION"},
		{"HTTP", "GET /rpc HTTP/1.1\r\nHost: h\r\n\r\n", "command"},
		{"HTTP's CONNECT", "CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", "command"},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "command"},
		{"AMQP", "AMQP\x00\x01\x00\x00", "command"},
		{"ZMTP", "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f", "command"},
		{"a JSON text", `{"jsonrpc":"2.0","method":"Math.Sum","id":1}`, "command"},
		{"words without end", strings.Repeat("A", 100), "command"},
		{"a body", "CONNECT\naccept-version:1.2\nhost:h\n\nhello^@", "body"},
		{"a counted body", "CONNECT\naccept-version:1.2\nhost:h\ncontent-length:5\n\nhello^@", "body"},
		{"header without colon", "CONNECT\naccept-version\n\n^@", "colon"},
		{"header without name", "CONNECT\n:1.2\n\n^@", "name"},
		{"heart-beat of one number", "CONNECT\naccept-version:1.2\nhost:h\nheart-beat:1000\n\n^@", "heart-beat"},
		{"heart-beat of words", "CONNECT\naccept-version:1.2\nhost:h\nheart-beat:a,b\n\n^@", "heart-beat"},
		{"heart-beat below zero", "CONNECT\naccept-version:1.2\nhost:h\nheart-beat:-1,0\n\n^@", "heart-beat"},
		{"heart-beat of three numbers", "CONNECT\naccept-version:1.2\nhost:h\nheart-beat:1,2,3\n\n^@", "heart-beat"},
		{"heart-beat too long to count", "CONNECT\naccept-version:1.2\nhost:h\nheart-beat:99999999999999999999,0\n\n^@", "heart-beat"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil, nil)
				p := r.dial()
				p.send(wire(c.in))
				f := refused(t, p.taken())
				explains(t, f, c.says)
				if got := f.Header.Get("version"); got != "1.0,1.1,1.2" {
					t.Errorf("ERROR has version:%s, want the versions supported", got)
				}
				if n := len(r.sessions()); n != 0 {
					t.Errorf("%d connections were accepted, want none", n)
				}
			})
		})
	}
}

func TestServerIsToldWhoCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, nil)
		r.connect("1.2")
		got := r.session().Info()
		if got.Scheme != "stomp" || !got.Addressed || got.Lockstep || got.User != "" || got.TLS != nil {
			t.Errorf("Info() = %+v, want an addressed stomp connection of nobody", got)
		}
		if got.Remote.String() != "dialer:1" || got.Local.String() != "server" {
			t.Errorf("Info(): local %v, remote %v, want the ends of the byte stream", got.Local, got.Remote)
		}
		if diff := cmp.Diff(transport.Limits{}.WithDefaults(), got.Limits); diff != "" {
			t.Errorf("Info().Limits differ (-default +got):\n%s", diff)
		}
	})
}

func TestSessionsDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, nil)
		seen := map[string]bool{}
		for range 10 {
			p := r.dial()
			seen[one(t, p.say("CONNECT\n\n^@"), "CONNECTED").Header.Get("session")] = true
		}
		if len(seen) != 10 || seen[""] {
			t.Errorf("10 connections had the sessions %v, want 10 different ones", seen)
		}
	})
}

func TestVirtualHosts(t *testing.T) {
	for _, c := range []struct {
		name, header string
		hosts        []string
		ok           bool
	}{
		{"any", "host:whatever\n", nil, true},
		{"any, none asked for", "", nil, true},
		{"one of them", "host:b.example\n", []string{"a.example", "b.example"}, true},
		{"none of them", "host:c.example\n", []string{"a.example", "b.example"}, false},
		{"none asked for", "", []string{"a.example"}, false},
		{"a part of one", "host:a\n", []string{"a.example"}, false},
		{"the nameless one", "", []string{"", "a.example"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, &transport.ListenOptions{VirtualHosts: c.hosts}, nil)
				p := r.dial()
				got := p.say("CONNECT\naccept-version:1.2\n" + c.header + "\n^@")
				if c.ok {
					one(t, got, "CONNECTED")
				} else {
					explains(t, refused(t, got), "virtual host")
				}
			})
		})
	}
}

// A judge is an Authenticator that remembers what it was shown.
type judge struct {
	mu    sync.Mutex
	shown []transport.Credentials
	user  string
	err   error
}

func (j *judge) Authenticate(_ context.Context, c transport.Credentials) (string, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	c.Remote = nil // which is another one each time
	j.shown = append(j.shown, c)
	return j.user, j.err
}

func TestAuthenticatorSeesCredentials(t *testing.T) {
	type credentials = transport.Credentials
	login := func(user, password, host string) credentials {
		return credentials{User: user, Password: password, VirtualHost: host}
	}
	for _, c := range []struct {
		name, in string
		want     credentials
	}{
		{"none", "CONNECT\naccept-version:1.2\nhost:h\n\n^@", credentials{VirtualHost: "h"}},
		{"both", "CONNECT\naccept-version:1.2\nhost:h\nlogin:ann\npasscode:secret\n\n^@", login("ann", "secret", "h")},
		{"CR LF", "CONNECT\r\naccept-version:1.2\r\nlogin:ann\r\npasscode:secret\r\n\r\n^@", login("ann", "secret", "")},
		{"never escaped", "CONNECT\naccept-version:1.2\nlogin:a\\cb\npasscode:c\\\\d:\\n\n\n^@", login(`a\cb`, `c\\d:\n`, "")},
		{"blanks belong to them", "CONNECT\naccept-version:1.2\nlogin: ann \npasscode: x\n\n^@", login(" ann ", " x", "")},
		{"UTF-8", "CONNECT\naccept-version:1.1\nlogin:Ännchen\npasscode:日本\n\n^@", login("Ännchen", "日本", "")},
		{"first of repeated", "CONNECT\naccept-version:1.2\nlogin:ann\nlogin:bob\n\n^@", credentials{User: "ann"}},
		// The specification of 1.0 prints its CONNECT frame with a blank.
		{"a blank in 1.0", "CONNECT\nlogin: ann\npasscode: secret\n\n^@", login("ann", "secret", "")},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := &judge{user: "Ann Oakley"}
				r := newRig(t, &transport.ListenOptions{Authenticator: j}, nil)
				one(t, r.dial().say(c.in), "CONNECTED")
				if diff := cmp.Diff([]credentials{c.want}, j.shown); diff != "" {
					t.Errorf("Authenticate was shown (-want +got):\n%s", diff)
				}
				if got := r.session().Info().User; got != "Ann Oakley" {
					t.Errorf("Info().User = %q, want the name that the Authenticator gave", got)
				}
			})
		})
	}
}

func TestWithoutAuthenticatorNobodyIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, nil)
		r.connect("1.2", "login:root", "passcode:x")
		if got := r.session().Info().User; got != "" {
			t.Errorf("Info().User = %q, want none: nobody has checked it", got)
		}
	})
}

// TestRefusalDoesNotTellWhy: the same bytes for each reason, so that nobody
// can find out which users there are.
func TestRefusalDoesNotTellWhy(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		var log strings.Builder
		o := &transport.ListenOptions{Authenticator: transport.Users(map[string]string{"ann": "secret"})}
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		r := newRig(t, o, nil)
		answers := map[string]bool{}
		for _, lines := range [][]string{
			{"login:ann", "passcode:sesame"},
			{"login:ann", "passcode:"},
			{"login:ann"},
			{"login:bob", "passcode:secret"},
			{"login:bob", "passcode:"},
			{"passcode:secret"},
			{},
		} {
			got := r.dial().say(connectFrame(version, lines...))
			explains(t, refused(t, got), "password")
			answers[got] = true
		}
		if len(answers) != 1 {
			t.Errorf("%d different answers, want one:\n%v", len(answers), answers)
		}
		for _, word := range []string{"secret", "sesame"} {
			if strings.Contains(log.String(), word) {
				t.Errorf("the log has the passcode %q:\n%s", word, &log)
			}
		}
		if n := strings.Count(log.String(), "access refused"); n != 7 {
			t.Errorf("%d records of refused access, want 7:\n%s", n, &log)
		}
		r.connect(version, "login:ann", "passcode:secret")
		if got := r.session().Info().User; got != "ann" {
			t.Errorf("Info().User = %q, want ann", got)
		}
	})
}

func TestAuthenticatorsErrorStaysInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &judge{err: errors.New("ldap at 10.1.2.3 is down")}
		r := newRig(t, &transport.ListenOptions{Authenticator: j}, nil)
		if got := r.dial().say(connectFrame("1.2")); strings.Contains(got, "ldap") {
			t.Errorf("the peer was told\n%s", printable(got))
		}
	})
}
