package transport_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/polyport/polyport/transport"
)

func TestDialPlaintextPassword(t *testing.T) {
	for _, tt := range []struct {
		name, host, user string
		allowed          bool
		want             error
	}{
		{"a password for another machine", "192.0.2.1:1", "ann:secret@", false, transport.ErrPlaintext},
		{"a name only", "192.0.2.1:1", "ann@", false, transport.ErrPlaintext},
		{"a password for it, if allowed", "192.0.2.1:1", "ann:secret@", true, nil},
		{"nobody", "192.0.2.1:1", "", false, nil},
		{"a password in memory", "near:1", "ann:secret@", false, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ln, err := pipes.Listen(tt.host)
				if err != nil {
					t.Fatal(err)
				}
				heard := make(chan string)
				go func() {
					nc, err := ln.Accept()
					if err != nil {
						t.Error(err)
					}
					said := make([]byte, 64)
					n, _ := nc.Read(said)
					_, _ = nc.Write([]byte("welcome\n"))
					heard <- string(said[:n])
					_ = nc.Close()
				}()
				o := new(transport.DialOptions)
				o.PlaintextPasswords = tt.allowed
				c, err := transport.Dial(t.Context(), "pipe://"+tt.user+tt.host, o)
				if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
					t.Errorf("Dial = %v, want %v", err, tt.want)
				}
				if said := <-heard; (said == "") != (tt.want != nil) {
					t.Errorf("the peer heard %q", said)
				}
				if tt.want != nil && (!transport.NotSent(err) || strings.Contains(err.Error(), "secret")) {
					t.Errorf("Dial = %v, want an error that says that nothing was sent, and no password", err)
				}
				if c != nil {
					_ = c.Close()
				}
				_ = ln.Close()
			})
		})
	}
}

// TestDialPlaintextAdvice: the error says what to do.
func TestDialPlaintextAdvice(t *testing.T) {
	ln, err := pipes.Listen("192.0.2.1:2")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, err = transport.Dial(t.Context(), "pipe://ann:secret@192.0.2.1:2", nil)
	for _, word := range []string{"in the clear", "TLS", "PlaintextPasswords"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("Dial = %v, want a word about %q", err, word)
		}
	}
}

// TestAdmit: of what an Authenticator is asked, and what a peer is told.
func TestAdmit(t *testing.T) {
	tcp := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 7} }
	password := transport.Credentials{User: "ann", Password: "secret"}
	for _, tt := range []struct {
		name   string
		from   net.Addr
		secure bool
		allow  bool
		shown  transport.Credentials
		want   error
	}{
		{"127.0.0.1", tcp("127.0.0.1"), false, false, password, nil},
		{"127.8.0.1", tcp("127.8.0.1"), false, false, password, nil},
		{"::1", tcp("::1"), false, false, password, nil},
		{"::ffff:127.0.0.1", tcp("::ffff:127.0.0.1"), false, false, password, nil},
		{"a Unix socket", &net.UnixAddr{Net: "unix", Name: "/run/x"}, false, false, password, nil},
		{"192.0.2.1", tcp("192.0.2.1"), false, false, password, transport.ErrPlaintext},
		{"fe80::1%lo", &net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "lo"}, false, false, password, transport.ErrPlaintext},
		{"0.0.0.0", tcp("0.0.0.0"), false, false, password, transport.ErrPlaintext},
		{"an unknown address", nil, false, false, password, transport.ErrPlaintext},
		{"another kind of network", &net.IPAddr{IP: net.IPv4(127, 0, 0, 1)}, false, false, password, transport.ErrPlaintext},
		{"192.0.2.1 with TLS", tcp("192.0.2.1"), true, false, password, nil},
		{"192.0.2.1, if allowed", tcp("192.0.2.1"), false, true, password, nil},
		{"192.0.2.1, no password", tcp("192.0.2.1"), false, false, transport.Credentials{User: "ann"}, transport.ErrRefused},
		{"127.0.0.1, wrong password", tcp("127.0.0.1"), false, false, transport.Credentials{User: "ann", Password: "x"}, transport.ErrRefused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log strings.Builder
			o := &transport.ListenOptions{Authenticator: transport.Users(map[string]string{"ann": "secret"})}
			o.Logger, o.PlaintextPasswords = slog.New(slog.NewTextHandler(&log, nil)), tt.allow
			i := &transport.Info{Scheme: "line", Remote: tt.from}
			if tt.secure {
				client, _, _ := tlsPipe(t, 0)
				state := client.ConnectionState()
				i.TLS = &state
			}
			user, err := o.Admit(t.Context(), i, tt.shown)
			switch {
			case tt.want == nil && (err != nil || user != "ann"):
				t.Errorf("Admit = %q, %v, want ann", user, err)
			case tt.want != nil && (!errors.Is(err, tt.want) || !errors.Is(err, transport.ErrRefused) || user != ""):
				t.Errorf("Admit = %q, %v, want %v", user, err, tt.want)
			case tt.want != nil && (!strings.Contains(log.String(), "access refused") || strings.Contains(log.String(), "secret")):
				t.Errorf("the log has %q, want the refusal without the password", &log)
			}
			plain := errors.Is(err, transport.ErrPlaintext)
			if plain != (tt.want == transport.ErrPlaintext) || plain && !strings.Contains(transport.Reason(err), "TLS") { //nolint:errorlint // the sentinel itself
				t.Errorf("Admit = %v, want %v", err, tt.want)
			}
		})
	}
}

func TestAdmitWithoutAuthenticator(t *testing.T) {
	o := new(transport.ListenOptions)
	far := &transport.Info{Remote: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}}
	user, err := o.Admit(t.Context(), far, transport.Credentials{User: "ann", Password: "secret"})
	if user != "" || err != nil {
		t.Errorf("Admit = %q, %v, want nobody", user, err)
	}
}

// sees is an Authenticator that notes what it was shown.
type sees struct{ transport.Credentials }

func (s *sees) Authenticate(_ context.Context, c transport.Credentials) (string, error) {
	s.Credentials = c
	return c.User, nil
}

// TestAdmitShowsAll: the Authenticator sees all that is known of the peer.
func TestAdmitShowsAll(t *testing.T) {
	_, server, _ := tlsPipe(t, 0)
	a, o := new(sees), new(transport.ListenOptions)
	o.Authenticator = a
	state := server.ConnectionState()
	i := &transport.Info{TLS: &state, Remote: elsewhere{}.RemoteAddr()}
	if _, err := o.Admit(t.Context(), i, transport.Credentials{User: "ann", Password: "secret"}); err != nil {
		t.Error(err)
	}
	if a.TLS != i.TLS || a.Remote != i.Remote || a.Password != "secret" {
		t.Errorf("the Authenticator saw %+v, want all that is known", a.Credentials)
	}
}
