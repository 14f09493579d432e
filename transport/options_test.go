package transport_test

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/polyport/polyport/transport"
)

var (
	defaultLimits = transport.Limits{
		Message: 4 << 20, HeaderBytes: 64 << 10, Headers: 128, Subscriptions: 1024, Unsettled: 1024,
	}
	defaultOptions = transport.Options{
		Limits: defaultLimits, Heartbeat: 10 * time.Second, WriteStall: 30 * time.Second,
		FrameTimeout: time.Minute, SendBuffer: 1 << 20, Linger: time.Second,
	}
	defaultListenOptions = transport.ListenOptions{
		Options: defaultOptions, Destinations: []string{"rpc"},
		HandshakeTimeout: 10 * time.Second, Handshakes: 1024, Connections: 10_000,
	}
	withoutLogger = cmp.Options{
		cmpopts.IgnoreFields(transport.Options{}, "Logger", "TLS"),
		cmpopts.IgnoreFields(transport.ListenOptions{}, "Authenticator"),
	}
)

func TestLimitsWithDefaults(t *testing.T) {
	own := transport.Limits{Message: 1, HeaderBytes: 2, Headers: 3, Subscriptions: 4, Unsettled: 5}
	tests := []struct {
		name      string
		got, want transport.Limits
	}{
		{"zero", transport.Limits{}, defaultLimits},
		{"own", own, own},
		{"negative", transport.Limits{Message: -1, Headers: -1}, defaultLimits},
		{"some", transport.Limits{Headers: 3}, func() transport.Limits { l := defaultLimits; l.Headers = 3; return l }()},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, tt.got.WithDefaults()); diff != "" {
			t.Errorf("%s: WithDefaults (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestDialOptionsWithDefaults(t *testing.T) {
	own := transport.DialOptions{Timeout: 1, VirtualHost: "v"}
	own.Options = transport.Options{
		Limits: defaultLimits, Heartbeat: time.Minute, WriteStall: 1, FrameTimeout: 2, SendBuffer: 3, Linger: 4,
	}
	defaults := transport.DialOptions{Options: defaultOptions, Timeout: 10 * time.Second}
	tests := []struct {
		name string
		o    *transport.DialOptions
		want transport.DialOptions
	}{
		{"nil", nil, defaults},
		{"zero", &transport.DialOptions{}, defaults},
		{"own", &own, own},
	}
	for _, tt := range tests {
		got := tt.o.WithDefaults()
		if diff := cmp.Diff(tt.want, *got, withoutLogger); diff != "" {
			t.Errorf("%s: WithDefaults (-want +got):\n%s", tt.name, diff)
		}
		if got == tt.o || got.Logger == nil {
			t.Errorf("%s: WithDefaults is no copy, or has no Logger", tt.name)
		}
	}
}

func TestListenOptionsWithDefaults(t *testing.T) {
	own := transport.ListenOptions{
		Options: defaultOptions, VirtualHosts: []string{"v"}, Destinations: []string{"d"},
		HandshakeTimeout: 1, Handshakes: 2, Connections: 3, Authenticator: transport.Users(nil),
	}
	own.Logger, own.TLS = slog.New(slog.DiscardHandler), &tls.Config{}
	tests := []struct {
		name string
		o    *transport.ListenOptions
		want transport.ListenOptions
	}{
		{"nil", nil, defaultListenOptions},
		{"zero", &transport.ListenOptions{}, defaultListenOptions},
		{"own", &own, own},
	}
	for _, tt := range tests {
		got := tt.o.WithDefaults()
		if diff := cmp.Diff(tt.want, *got, withoutLogger); diff != "" {
			t.Errorf("%s: WithDefaults (-want +got):\n%s", tt.name, diff)
		}
		if got == tt.o || got.Logger == nil {
			t.Errorf("%s: WithDefaults is no copy, or has no Logger", tt.name)
		}
	}
	got := own.WithDefaults()
	if got.Logger != own.Logger || got.TLS != own.TLS || got.Authenticator == nil {
		t.Error("WithDefaults lost the Logger, the TLS configuration or the Authenticator")
	}
}

func TestHeartbeatOption(t *testing.T) {
	tests := []struct{ got, want time.Duration }{
		{0, 10 * time.Second},
		{-time.Hour, -1},
		{-1, -1},
		{1, transport.MinHeartbeat},
		{time.Second, time.Second},
		{time.Hour, time.Hour},
	}
	for _, tt := range tests {
		o := &transport.DialOptions{}
		o.Heartbeat = tt.got
		if got := o.WithDefaults().Heartbeat; got != tt.want {
			t.Errorf("Heartbeat %v means %v, want %v", tt.got, got, tt.want)
		}
		if again := o.WithDefaults().WithDefaults().Heartbeat; again != tt.want {
			t.Errorf("Heartbeat %v means %v after two WithDefaults, want %v", tt.got, again, tt.want)
		}
	}
}

func TestUsers(t *testing.T) {
	passwords := map[string]string{"alice": "wonder", "empty": ""}
	a := transport.Users(passwords)
	passwords["mallory"] = "late" // the map was copied
	tests := []struct {
		user, password string
		ok             bool
	}{
		{"alice", "wonder", true},
		{"alice", "wonderful", false},
		{"alice", "wonde", false},
		{"alice", "", false},
		{"Alice", "wonder", false},
		{"empty", "", true},
		{"empty", "x", false},
		{"bob", "wonder", false},
		{"bob", "", false},
		{"", "", false},
		{"mallory", "late", false},
	}
	for _, tt := range tests {
		user, err := a.Authenticate(t.Context(), transport.Credentials{User: tt.user, Password: tt.password, VirtualHost: "any"})
		if tt.ok {
			if user != tt.user || err != nil {
				t.Errorf("Authenticate(%q, %q) = %q, %v, want the user", tt.user, tt.password, user, err)
			}
			continue
		}
		if user != "" || !errors.Is(err, transport.ErrRefused) {
			t.Errorf("Authenticate(%q, %q) = %q, %v, want %v", tt.user, tt.password, user, err, transport.ErrRefused)
		}
		if got, want := transport.Reason(err), "wrong user or password"; got != want { // the same for both
			t.Errorf("Authenticate(%q, %q): reason %q, want %q", tt.user, tt.password, got, want)
		}
	}
	if _, err := transport.Users(nil).Authenticate(t.Context(), transport.Credentials{}); err == nil {
		t.Error("Users(nil) let somebody in")
	}
}

func TestRegisterPanics(t *testing.T) {
	tests := []struct {
		name   string
		scheme transport.Scheme
	}{
		{"no name", transport.Scheme{Transport: lineWire{}}},
		{"no transport", transport.Scheme{Name: "nothing"}},
		{"taken", transport.Scheme{Name: "line", Transport: lineWire{}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := transport.Schemes()
			defer func() {
				if recover() == nil {
					t.Error("Register did not panic")
				}
				if diff := cmp.Diff(before, transport.Schemes()); diff != "" {
					t.Errorf("Schemes changed (-before +after):\n%s", diff)
				}
			}()
			transport.Register(tt.scheme)
		})
	}
}
