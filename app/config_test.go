package app_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// defaults is what an empty configuration means, spelled out: these numbers
// are promised in the documentation.
var defaults = app.Config{
	Listen:      []string{"127.0.0.1:7070"},
	StopTimeout: 15 * time.Second,
	Heartbeat:   10 * time.Second,
	Log:         app.LogConfig{Level: slog.LevelInfo, Format: "text"},
	Limits: app.Limits{
		Message: 4 << 20, HeaderBytes: 64 << 10, Headers: 128, Subscriptions: 1024, Unsettled: 1024,
		Connections: 10_000, Handshakes: 1024, HandshakeTimeout: 10 * time.Second,
		Depth: 1000, Batch: 1000, InFlight: 1024,
	},
	Queue:    app.QueueConfig{Depth: 1024, Workers: 256},
	Consumer: app.ConsumerConfig{Prefetch: 128},
}

// with is the defaults, changed.
func with(change func(*app.Config)) app.Config {
	c := defaults
	change(&c)
	return c
}

func TestDefaults(t *testing.T) {
	if diff := cmp.Diff(defaults, app.Config{}.WithDefaults()); diff != "" {
		t.Errorf("Config{}.WithDefaults() (-want +got):\n%s", diff)
	}
	got, err := app.Load(app.Sources{})
	if err != nil {
		t.Fatalf("Load() = %v", err)
	}
	if diff := cmp.Diff(defaults, got); diff != "" {
		t.Errorf("Load of nothing (-want +got):\n%s", diff)
	}
	if err := (app.Config{}).Validate(); err != nil {
		t.Errorf("Config{}.Validate() = %v, want nil", err)
	}
}

func TestLoadPrecedence(t *testing.T) {
	const text = "queue: {depth: 2, workers: 20}\nlisten: [a:1, b:2]\nstop_timeout: 2s\n"
	env := func(s ...string) []string { return s }
	flags := func(key string, v any) map[string]any { return map[string]any{key: v} }
	queue := func(depth, workers int) func(*app.Config) {
		return func(c *app.Config) { c.Queue = app.QueueConfig{Depth: depth, Workers: workers} }
	}
	base := func(change func(*app.Config)) app.Config {
		return with(func(c *app.Config) {
			c.Queue, c.Listen, c.StopTimeout = app.QueueConfig{Depth: 2, Workers: 20}, []string{"a:1", "b:2"}, 2*time.Second
			change(c)
		})
	}
	tests := []struct {
		name string
		file string
		env  []string
		flag map[string]any
		want app.Config
	}{
		{"the file beats the defaults, and leaves what it does not name", text, nil, nil, base(func(*app.Config) {})},
		{"the environment beats the file", text, env("POLYPORT_QUEUE_DEPTH=3"), nil, base(queue(3, 20))},
		{"a flag beats the environment", text, env("POLYPORT_QUEUE_DEPTH=3"), flags("queue.depth", 4), base(queue(4, 20))},
		{"a flag beats the defaults", "", nil, flags("queue.depth", 4), with(queue(4, 256))},
		{"the environment beats the defaults", "", env("POLYPORT_QUEUE_WORKERS=3"), nil, with(queue(1024, 3))},
		{
			"a list is replaced as a whole", text, env("POLYPORT_LISTEN= c:3 ,"), nil,
			base(func(c *app.Config) { c.Listen = []string{"c:3"} }),
		},
		{
			"a list by flag", text, env("POLYPORT_LISTEN=c:3,d:4"), flags("listen", []string{"e:5"}),
			base(func(c *app.Config) { c.Listen = []string{"e:5"} }),
		},
		{
			"a duration of each source", text, env("POLYPORT_HEARTBEAT=-1s"), flags("limits.handshake_timeout", 3*time.Second),
			base(func(c *app.Config) { c.Heartbeat, c.Limits.HandshakeTimeout = -time.Second, 3*time.Second }),
		},
		{
			"with something to consume, nothing is listened at unless asked for", "consume: ['stomp://a/queue/b', 'stomp://c/d']", nil, nil,
			with(func(c *app.Config) { c.Listen, c.Consume = nil, []app.Secret{"stomp://a/queue/b", "stomp://c/d"} }),
		},
		{
			"both, of other sources", "listen: [a:1]", env("POLYPORT_CONSUME=stomp://x/y"), flags("consume", []string{"stomp://u:p,q@a/b"}),
			with(func(c *app.Config) { c.Listen, c.Consume = []string{"a:1"}, []app.Secret{"stomp://u:p,q@a/b"} }),
		},
		{
			"users of all sources are let in", "users: {ann: a, al.bert: b}", env("POLYPORT_USERS=bob:b:c, eve:"), nil,
			with(func(c *app.Config) {
				c.Users = map[string]app.Secret{"ann": "a", "al.bert": "b", "bob": "b:c", "eve": ""}
			}),
		},
		{
			"a password by two sources", "users: {ann: a}", env("POLYPORT_USERS=ann:b"), nil,
			with(func(c *app.Config) { c.Users = map[string]app.Secret{"ann": "b"} }),
		},
		{
			"a level, a truth and a text", "log: {level: debug}", env("POLYPORT_LIMITS_NULL_PARAMS=true"), flags("log.format", "json"),
			with(func(c *app.Config) {
				c.Log, c.Limits.NullParams = app.LogConfig{Level: slog.LevelDebug, Format: "json"}, true
			}),
		},
		{
			"users by flag", "users: {ann: a}", nil, flags("users", map[string]app.Secret{"bob": "b"}),
			with(func(c *app.Config) { c.Users = map[string]app.Secret{"ann": "a", "bob": "b"} }),
		},
		{
			"a version as a number and as a text", "tls: {min_version: 1.2}", env("POLYPORT_CONSUMER_MIN_VERSION=1.3"), nil,
			with(func(c *app.Config) { c.TLS.MinVersion, c.Consumer.MinVersion = "1.2", "1.3" }),
		},
		{
			"a profile and queues", "profile: odl", env("POLYPORT_DESTINATIONS=a,b"), flags("profile", "ovirt"),
			with(func(c *app.Config) { c.Profile, c.Destinations = transport.OVirt, []string{"a", "b"} }),
		},
		{"zero means the default", "queue: {depth: 0}\nstop_timeout: 0s\nlisten: []", nil, nil, defaults},
		{"variables of others are none of ours", "", env("POLYPORT_PORT=tcp://10.0.0.1:7070", "PATH=/bin", "POLYPORT_"), nil, defaults},
		{"headings with nothing below", "queue:\nlog:\n", nil, nil, defaults},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			from := app.Sources{Environ: tt.env, Flags: tt.flag}
			if tt.file != "" {
				from.File = file(t, "polyport.yaml", tt.file)
			}
			got, err := app.Load(from)
			if err != nil {
				t.Fatalf("Load() = %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Load() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadErrors(t *testing.T) {
	tests := []struct {
		name string
		file string
		env  string
		flag map[string]any
		want []string // all in the error
	}{
		{"unknown key", "lissen: [a:1]", "", nil, []string{"polyport.yaml", `"lissen"`, "known are", "listen"}},
		{"unknown key in a section", "queue: {dept: 1}", "", nil, []string{"polyport.yaml", `"queue.dept"`, "queue.depth, queue.workers"}},
		{"unknown flag", "", "", map[string]any{"queue.dept": 1}, []string{`"queue.dept"`}},
		{"a value in the place of a section", "queue: 5", "", nil, []string{"queue: expected settings below it: depth, workers"}},
		{"a section in the place of a value", "listen: {a: 1}", "", nil, []string{"listen: expected a list of texts"}},
		{"a list of numbers", "listen: [1, 2]", "", nil, []string{"listen: expected a list of texts"}},
		{"a text in the place of a number", "queue: {depth: many}", "", nil, []string{"queue.depth: expected a whole number, got many"}},
		{"half a worker", "queue: {workers: 1.5}", "", nil, []string{"queue.workers: expected a whole number, got 1.5"}},
		{"a duration without a unit", "stop_timeout: 15", "", nil, []string{"stop_timeout: expected a duration such as"}},
		{"no duration", "stop_timeout:", "", nil, []string{"stop_timeout", "got nothing"}},
		{"no such level", "log: {level: loud}", "", nil, []string{"log.level: expected debug, info"}},
		{"no such format", "log: {format: xml}", "", nil, []string{"log.format: expected text or json"}},
		{"a truth by number", "limits: {null_params: 1}", "", nil, []string{"limits.null_params: expected true or false"}},
		{"a text by number", "users_file: 5", "", nil, []string{"users_file: expected text"}},
		{"a negative limit", "limits: {message: -1}", "", nil, []string{"limits.message: must not be negative"}},
		{"a negative timeout", "", "POLYPORT_STOP_TIMEOUT=-1s", nil, []string{"stop_timeout: must not be negative"}},
		{"a bad variable", "", "POLYPORT_QUEUE_DEPTH=x", nil, []string{"POLYPORT_QUEUE_DEPTH: expected a whole number"}},
		{"a bad flag", "", "", map[string]any{"queue.depth": "x"}, []string{"queue.depth: expected a whole number"}},
		{"a key twice", "heartbeat: 1s\nheartbeat: 2s", "", nil, []string{"polyport.yaml", "heartbeat"}},
		{"no YAML", "listen: [", "", nil, []string{"polyport.yaml"}},
		{"an address without a port", "listen: localhost", "", nil, []string{"listen", `"localhost"`, "HOST:PORT"}},
		{"an address with a wrong port", "listen: 'localhost:http'", "", nil, []string{"listen: cannot parse"}},
		{"an unknown wire", "listen: 'gopher://localhost:70'", "", nil, []string{`unknown scheme "gopher"`, "stomp"}},
		{"an address with a path", "listen: 'stomp://localhost:70/queue/x'", "", nil, []string{"expected stomp://HOST:PORT"}},
		{"an address without a host and port", "listen: 'stomp://'", "", nil, []string{"expected stomp://HOST:PORT"}},
		{"an unknown version of TLS", "tls: {min_version: 1.1}", "", nil, []string{"tls.min_version", "expected 1.2 or 1.3"}},
		{"an unknown version for brokers", "", "", map[string]any{"consumer.min_version": "TLS"}, []string{"consumer.min_version"}},
		{"TLS without a certificate", "listen: 'stomps://localhost:70'", "", nil, []string{"tls.cert"}},
		{"a certificate without its key", "tls: {cert: a.pem}", "", nil, []string{"tls", "go together"}},
		{"authorities without a certificate", "tls: {client_ca: a.pem}", "", nil, []string{"tls.client_ca"}},
		{"an unknown profile", "profile: vdsm", "", nil, []string{`profile: unknown profile "vdsm"; known are ovirt, odl`}},
		{"a profile by number", "profile: 5", "", nil, []string{"profile: expected text"}},
		{"an unknown profile of an address", "listen: ['localhost:70?profile=x']", "", nil, []string{`listen: unknown profile "x"; known are`}},
		{"a profile of another wire", "listen: ['amqp://localhost:70?profile=ovirt']", "", nil, []string{"listen: the wire amqp has no profile ovirt"}},
		{"a parameter that is none", "listen: ['stomp://localhost:70?profil=ovirt']", "", nil, []string{`listen: unknown parameter "profil"`}},
		{"a queue without a name", "destinations: [rpc, '']", "", nil, []string{"destinations: a queue needs a name"}},
		{"a user without a name", "users: {'': a}", "", nil, []string{"users", "name"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			from := app.Sources{Environ: []string{tt.env}, Flags: tt.flag}
			if tt.file != "" {
				from.File = file(t, "polyport.yaml", tt.file)
			}
			_, err := app.Load(from)
			if _, ok := errors.AsType[*app.ConfigError](err); !ok {
				t.Fatalf("Load() = %v, want a *ConfigError", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Load() = %q, want it to contain %q", err, want)
				}
			}
		})
	}
	t.Run("no such file", func(t *testing.T) {
		_, err := app.Load(app.Sources{File: "no/such/file.yaml"})
		if err == nil || !strings.Contains(err.Error(), "no/such/file.yaml") {
			t.Errorf("Load() = %v, want an error with the file's name", err)
		}
	})
}

// Whatever is wrong with a password's setting, the password is not told.
func TestLoadErrorsShowNoPassword(t *testing.T) {
	const password = "hunter2"
	tests := []struct{ name, file, env string }{
		{"a list", "users: [hunter2]", ""},
		{"a map in the place of a password", "users: {ann: {hunter2: hunter2}}", ""},
		{"a text without a name", "users: hunter2", ""},
		{"a number", "users: {ann: 0x1hunter2, bob: 5}", ""},
		{"a variable without a name", "", "POLYPORT_USERS=hunter2"},
		{"a user in an address", "listen: 'stomp://ann:hunter2@localhost:70'", ""},
		{"a user in an address that cannot be parsed", "listen: 'stomp://ann:hunter2@local host:70'", ""},
		{"a user in an address without a scheme", "listen: 'ann:hunter2@localhost:70'", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			from := app.Sources{Environ: []string{tt.env}}
			if tt.file != "" {
				from.File = file(t, "polyport.yaml", tt.file)
			}
			_, err := app.Load(from)
			if err == nil {
				t.Fatal("Load() = nil, want an error")
			}
			if strings.Contains(err.Error(), password) {
				t.Errorf("Load() = %q, which shows the password", err)
			}
		})
	}
}

func TestSecretIsHidden(t *testing.T) {
	c := app.Config{Users: map[string]app.Secret{"ann": "hunter2"}}
	encoded, err := json.Marshal(c.Users)
	if err != nil {
		t.Fatal(err)
	}
	var log buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "config", c, "secret", c.Users["ann"])
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "config", c, "secret", c.Users["ann"])
	for _, shown := range []string{fmt.Sprintf("%v %+v %#v %s", c, c, c, c.Users["ann"]), string(encoded), log.String()} {
		if strings.Contains(shown, "hunter2") || !strings.Contains(shown, "***") {
			t.Errorf("shown as %s", shown)
		}
	}
	if got := string(c.Users["ann"]); got != "hunter2" {
		t.Errorf("string(secret) = %q, want the text", got)
	}
}

func TestEnvName(t *testing.T) {
	for key, want := range map[string]string{"listen": "POLYPORT_LISTEN", "limits.header_bytes": "POLYPORT_LIMITS_HEADER_BYTES"} {
		if got := app.EnvName(key); got != want {
			t.Errorf("EnvName(%q) = %q, want %q", key, got, want)
		}
	}
}

func TestLimits(t *testing.T) {
	l := app.Limits{Message: 1, HeaderBytes: 2, Headers: 3, Subscriptions: 4, Unsettled: 5, Depth: 6, Batch: 7, InFlight: 8, NullParams: true, ScalarParams: true}
	wantTransport := transport.Limits{Message: 1, HeaderBytes: 2, Headers: 3, Subscriptions: 4, Unsettled: 5}
	if diff := cmp.Diff(wantTransport, l.Transport()); diff != "" {
		t.Errorf("Transport() (-want +got):\n%s", diff)
	}
	wantRPC := rpc.Limits{Depth: 6, Batch: 7, InFlight: 8, NullParams: true, ScalarParams: true}
	if diff := cmp.Diff(wantRPC, l.RPC()); diff != "" {
		t.Errorf("RPC() (-want +got):\n%s", diff)
	}
}

func TestWires(t *testing.T) {
	wires := app.Wires()
	for _, want := range []string{"mem", "stomp"} {
		if !strings.Contains(strings.Join(wires, " "), want) {
			t.Errorf("Wires() = %v, want %s among them", wires, want)
		}
	}
	for scheme, want := range map[string]bool{"stomps": true, "stomp": false, "mem": false, "mems": false, "s": false, "": false} {
		if got := app.IsTLS(scheme); got != want {
			t.Errorf("IsTLS(%q) = %v, want %v", scheme, got, want)
		}
	}
}
