package app_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

func TestNewLogger(t *testing.T) {
	tests := []struct {
		name string
		conf app.LogConfig
		want string // in the record, which has level info
	}{
		{"text is the default", app.LogConfig{}, "level=INFO msg=hello a=1"},
		{"json", app.LogConfig{Format: "json"}, `"level":"INFO","msg":"hello","a":1}`},
		{"below the level", app.LogConfig{Level: slog.LevelWarn}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b buffer
			app.NewLogger(tt.conf, &b).Info("hello", "a", 1)
			if got := b.String(); !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") {
				t.Errorf("logged %q, want %q", got, tt.want)
			}
		})
	}
	app.NewLogger(app.LogConfig{}, nil).Error("to nobody") // must not panic
}

func TestUsers(t *testing.T) {
	users := file(t, "users", "# staff\nbob:b:c\n\n  \neve:\n")
	r := start(t, app.Config{Users: map[string]app.Secret{"ann": "a"}, UsersFile: users, Log: app.LogConfig{Level: slog.LevelDebug}})
	host := strings.TrimPrefix(r.url(), "stomp://")
	tests := []struct {
		name, login string
		ok          bool
	}{
		{"of the configuration", "ann:a@", true},
		{"of the file", "bob:b%3Ac@", true},
		{"with an empty password", "eve:@", true},
		{"wrong password", "ann:hunter2@", false},
		{"unknown", "dan:a@", false},
		{"nobody", "", false},
		{"a comment", "%23%20staff:@", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := rpc.Dial(t.Context(), "stomp://"+tt.login+host, nil)
			if err == nil {
				defer c.Close()
			}
			if ok := err == nil; ok != tt.ok || !ok && !errors.Is(err, transport.ErrRefused) {
				t.Errorf("Dial = %v, want let in: %v", err, tt.ok)
			}
		})
	}
	for _, password := range []string{"hunter2", "b:c"} {
		if strings.Contains(r.log.String(), password) {
			t.Errorf("the log shows the password %s:\n%s", password, r.log)
		}
	}
}

func TestUsersFileErrors(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"no colon", "ann:a\nhunter2\n", "line 2: expected NAME:PASSWORD"},
		{"no name", ":hunter2\n", "line 1"},
		{"twice", "ann:a\nann:hunter2\n", `line 2: user "ann" is there twice`},
		{"in the configuration, too", "cat:hunter2\n", `user "cat"`},
		{"nobody", "# nobody\n", "has no users"},
		{"endless", strings.Repeat("ann", 8<<20) + "\n", "larger than"},
		{"one long line", strings.Repeat("x", 1<<20) + ":hunter2\n", "too long"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			name := file(t, "users", tt.text)
			_, err := app.NewListenOptions(app.Config{UsersFile: name, Users: map[string]app.Secret{"cat": "c"}}, nil)
			if _, ok := errors.AsType[*app.ConfigError](err); !ok || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), name) {
				t.Errorf("NewListenOptions() = %v, want a *ConfigError with %q and the file's name", err, tt.want)
			} else if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("NewListenOptions() = %v, which shows the password", err)
			}
		})
	}
}

func TestTLSFileErrors(t *testing.T) {
	cert, key := certificate(t)
	none := file(t, "empty.pem", "")
	tests := []struct {
		name string
		conf app.TLSConfig
		want string
	}{
		{"no certificate", app.TLSConfig{Cert: none, Key: key}, "tls"},
		{"no file", app.TLSConfig{Cert: cert, Key: "no/such.pem"}, "no/such.pem"},
		{"no authority", app.TLSConfig{Cert: cert, Key: key, ClientCA: none}, "holds no PEM certificate"},
		{"no file of authorities", app.TLSConfig{Cert: cert, Key: key, ClientCA: "no/such.pem"}, "no/such.pem"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := app.NewListenOptions(app.Config{TLS: tt.conf}, nil)
			if _, ok := errors.AsType[*app.ConfigError](err); !ok || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("NewListenOptions() = %v, want a *ConfigError with %q", err, tt.want)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	cert, key := certificate(t)
	pem, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		conf  app.TLSConfig
		shown []tls.Certificate
		ok    bool
	}{
		{"certificate of the server", app.TLSConfig{}, nil, true},
		{"certificates of both", app.TLSConfig{ClientCA: cert}, []tls.Certificate{pair}, true},
		{"client shows none", app.TLSConfig{ClientCA: cert}, nil, false},
		{"client need not show any", app.TLSConfig{ClientCA: cert, ClientOptional: true}, nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.conf.Cert, tt.conf.Key = cert, key
			r := start(t, app.Config{Listen: []string{"stomps://127.0.0.1:0"}, TLS: tt.conf})
			o := &transport.DialOptions{Options: transport.Options{TLS: &tls.Config{RootCAs: roots, Certificates: tt.shown}}}
			c, err := rpc.Dial(t.Context(), r.url(), &rpc.ClientOptions{Transport: o})
			if err == nil {
				defer c.Close()
				err = c.Call(t.Context(), "Echo", nil, nil)
			}
			if (err == nil) != tt.ok {
				t.Errorf("call = %v, want let in: %v", err, tt.ok)
			}
		})
	}
}
