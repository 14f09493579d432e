package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/broker/brokerrpc"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

func TestBrokerConfig(t *testing.T) {
	const text = `
broker:
  enabled: true
  queue_depth: 10
  policy: block
  attempts: -1
  ttl: 1m
  operators: [ann]
  access:
    - {user: ann, send: ["#"], consume: [/queue/calc]}
    - {certificate: reader, subscribe: ["/topic/news.#"]}
services:
  Math: {depth: 3, workers: 2}
  Far.Away: {elsewhere: true}
`
	want := with(func(c *app.Config) {
		c.Broker = app.BrokerConfig{
			Enabled: true, QueueDepth: 10, Policy: "block", Attempts: -1, TTL: time.Minute, Operators: []string{"ann"},
			Access: broker.Rules{
				{User: "ann", Send: []string{"#"}, Consume: []string{"/queue/calc"}},
				{Certificate: "reader", Subscribe: []string{"/topic/news.#"}},
			},
		}
		c.Services = map[string]app.ServiceConfig{"Math": {Depth: 3, Workers: 2}, "Far.Away": {Elsewhere: true}}
	})
	got, err := app.Load(app.Sources{File: file(t, "c.yaml", text)})
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Load = %v, (-want +got):\n%s", err, diff)
	}
	got, err = app.Load(app.Sources{Environ: []string{
		"POLYPORT_BROKER_ENABLED=true", `POLYPORT_SERVICES={"Math":{"workers":2}}`,
		`POLYPORT_BROKER_ACCESS=[{"user":"*","send":["/queue/calc"]}]`,
	}})
	want = with(func(c *app.Config) {
		c.Broker = app.BrokerConfig{Enabled: true, Access: broker.Rules{{User: "*", Send: []string{"/queue/calc"}}}}
		c.Services = map[string]app.ServiceConfig{"Math": {Workers: 2}}
	})
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Load of the environment = %v, (-want +got):\n%s", err, diff)
	}
}

func TestBrokerConfigErrors(t *testing.T) {
	for _, tt := range []struct{ name, text, key, why string }{
		{"unknown policy", "broker: {policy: drop}", "broker.policy", "drop-oldest, block or disconnect"},
		{"negative depth", "broker: {queue_depth: -1}", "broker.queue_depth", "negative"},
		{"a rule with an unknown member", "broker: {access: [{users: ann}]}", "broker.access", "users"},
		{"a pattern that is none", "broker: {access: [{send: [calc]}]}", "broker.access", "calc"},
		{"no list", "broker: {access: everybody}", "broker.access", "a list of rules"},
		{"a service that cannot be", "services: {Math: {depth: -1}}", "services", "Math"},
		{"no services", "services: [Math]", "services", "services by name"},
		{"an unknown key", "broker: {on: true}", "", `unknown key "broker.on"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := app.Load(app.Sources{File: file(t, "c.yaml", tt.text)})
			e, ok := errors.AsType[*app.ConfigError](err)
			if !ok || e.Key != tt.key || !strings.Contains(err.Error(), tt.why) {
				t.Errorf("Load = %v, want a ConfigError of %q with %q", err, tt.key, tt.why)
			}
		})
	}
}

func TestBrokerAnnounced(t *testing.T) {
	r := start(t, app.Config{Broker: app.BrokerConfig{Enabled: true}})
	if lines := strings.Split(r.out.String(), "\n"); len(lines) < 2 || lines[1] != "broker /queue/NAME /topic/NAME" {
		t.Errorf("it prints %q, want the line broker after that of the address", lines)
	}
	r = start(t, app.Config{})
	c := dial(t, r.url(), nil)
	if err := c.Call(t.Context(), "broker.stats", nil, nil); codeOf(err) != rpc.CodeMethodNotFound || strings.Contains(r.out.String(), "broker") {
		t.Errorf("broker.stats without a broker = %v, and it prints %q", err, r.out)
	}
}

func codeOf(err error) rpc.Code {
	if e, ok := errors.AsType[*rpc.Error](err); ok {
		return e.Code
	}
	return 0
}

// withUsers is a broker with rules, ann who may do what she needs, bob who may send,
// and eve who may nothing.
func withUsers(t *testing.T) (host string) {
	t.Helper()
	return start(t, app.Config{
		Users: map[string]app.Secret{"ann": "a", "bob": "b", "eve": "e"},
		Broker: app.BrokerConfig{Enabled: true, Operators: []string{"ann"}, Access: broker.Rules{
			{User: "ann", Send: []string{"#"}, Consume: []string{"/queue/Calc", "/queue/Math"}, Subscribe: []string{"#"}},
			{User: "bob", Send: []string{"/queue/Calc", "/topic/news.#"}, Subscribe: []string{"/topic/news.*"}},
		}},
		Services: map[string]app.ServiceConfig{"Math": {}},
	}).Endpoints()[0].Addr
}

// at is a URL of a user.
func at(user, wire, host, path string) string {
	return wire + "://" + user + ":" + user[:1] + "@" + host + path
}

// TestAccess: the rules hold over every wire, and for those who subscribe and send by
// methods, too.
func TestAccess(t *testing.T) {
	host := withUsers(t)
	call := func(user, wire, method string, params any) rpc.Code {
		return codeOf(dial(t, at(user, wire, host, ""), nil).Call(t.Context(), method, params, nil))
	}
	to := func(d string) map[string]any { return map[string]any{"to": d, "text": "x"} }
	filter := func(f string) map[string]any { return map[string]any{"filter": f} }
	for _, tt := range []struct {
		user, wire, method string
		params             any
		want               rpc.Code
	}{
		{"bob", "ws", "broker.send", to("/queue/Calc"), 0},
		{"bob", "ws", "broker.send", to("/queue/Other"), brokerrpc.CodeDenied},
		{"bob", "http", "broker.send", to("/topic/news.today"), 0},
		{"eve", "http", "broker.send", to("/topic/news.today"), brokerrpc.CodeDenied},
		{"bob", "ws", "rpc.subscribe", filter("news.today"), 0},
		{"bob", "stomp", "rpc.subscribe", filter("news.*"), 0},
		{"bob", "stomp", "rpc.subscribe", filter("news.#"), brokerrpc.CodeDenied},
		{"bob", "amqp", "rpc.subscribe", filter("#"), brokerrpc.CodeDenied},
		{"eve", "ws", "rpc.subscribe", filter("news.today"), brokerrpc.CodeDenied},
		{"ann", "ws", "rpc.subscribe", filter("#"), 0},
		{"ann", "ws", "broker.stats", nil, 0},
		{"bob", "ws", "broker.stats", nil, brokerrpc.CodeDenied},
		{"ann", "http", "service.list", nil, 0},
		{"bob", "http", "service.list", nil, brokerrpc.CodeDenied},
		{"bob", "http", "service.drain", map[string]string{"name": "Math"}, brokerrpc.CodeDenied},
		{"ann", "http", "service.drain", map[string]string{"name": "Nothing"}, rpc.CodeInvalidParams},
	} {
		if got := call(tt.user, tt.wire, tt.method, tt.params); got != tt.want {
			t.Errorf("%s by %s calls %s %v: code %d, want %d", tt.user, tt.wire, tt.method, tt.params, got, tt.want)
		}
	}
	for _, tt := range []struct {
		user, wire, path string
		may              bool
	}{
		{"ann", "stomp", "/queue/Calc", true}, {"ann", "amqp", "/queue/Calc", true},
		{"bob", "stomp", "/queue/Calc", false}, {"bob", "amqp", "/queue/Calc", false},
		{"eve", "stomp", "/topic/news.x", false}, {"bob", "amqp", "/topic/news.x", true},
	} {
		if err := consumes(t, at(tt.user, tt.wire, host, tt.path)); (err == nil) != tt.may || err != nil && !errors.Is(err, transport.ErrRefused) {
			t.Errorf("%s by %s subscribes to %s: %v, want it allowed: %t", tt.user, tt.wire, tt.path, err, tt.may)
		}
	}
}

// consumes subscribes, and returns why it is refused.
func consumes(t *testing.T, url string) error {
	t.Helper()
	c := connect(t, url)
	sub, _ := transport.As[transport.Subscriber](c)
	if _, err := sub.Subscribe(t.Context(), transport.Subscription{Ack: transport.AckEach}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	switch _, err := c.Recv(ctx); { // a refusal may come later
	case err == nil, errors.Is(err, context.DeadlineExceeded):
		return nil
	default:
		return err
	}
}

// TestAccessOfFeeds: what a listener may not have does not come, for nobody asks it
// what it wants.
func TestAccessOfFeeds(t *testing.T) {
	host := withUsers(t)
	s, err := dial(t, at("bob", "http", host, "?format=sse"), nil).Subscribe(t.Context(), "#", nil)
	if err != nil {
		t.Fatal(err)
	}
	ann := dial(t, at("ann", "ws", host, ""), nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			for _, topic := range []string{"secret", "news.today"} {
				_ = ann.Call(ctx, "broker.send", map[string]any{"to": "/topic/" + topic, "text": "x"}, nil)
			}
		}
	}()
	n := 0
	for e, err := range s.Events() {
		if err != nil || e.Topic != "news.today" {
			t.Errorf("bob hears %q, %v, want news.today alone", e.Topic, err)
		}
		if n++; n == 5 {
			break
		}
	}
	cancel()
	<-done
}

// TestForward: a method that the server does not have is called where its service
// consumes a queue, if the caller may send there.
func TestForward(t *testing.T) {
	host := withUsers(t)
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Calc.Twice", func(_ context.Context, n []int) (int, error) { return 2 * n[0], nil })
	serveQueue(t, at("ann", "stomp", host, "/queue/Calc"), mux)
	for _, wire := range []string{"http", "ws", "stomp", "amqp"} {
		c := dial(t, at("bob", wire, host, ""), nil)
		if got, err := rpc.Call[int](t.Context(), c, "Calc.Twice", []int{21}); err != nil || got != 42 {
			t.Errorf("%s: Calc.Twice = %d, %v, want 42", wire, got, err)
		}
		if err := c.Call(t.Context(), "Nobody.Knows", nil, nil); codeOf(err) != rpc.CodeMethodNotFound {
			t.Errorf("%s: a method of nobody = %v", wire, err)
		}
	}
	if err := dial(t, at("eve", "ws", host, ""), nil).Call(t.Context(), "Calc.Twice", []int{1}, nil); codeOf(err) != rpc.CodeMethodNotFound {
		t.Errorf("who may not send to the queue calls Calc.Twice = %v, want not found", err)
	}
}

// serveQueue serves a queue of a broker until the test ends.
func serveQueue(t *testing.T, url string, mux *rpc.Mux) {
	t.Helper()
	conn := connect(t, url)
	sub, _ := transport.As[transport.Subscriber](conn)
	if _, err := sub.Subscribe(t.Context(), transport.Subscription{Ack: transport.AckEach}); err != nil {
		t.Fatal(err)
	}
	server := rpc.NewServer(mux, nil)
	served := make(chan error, 1)
	go func() { served <- server.ServeConn(conn) }()
	t.Cleanup(func() {
		if err := server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		<-served
	})
	if err := dial(t, url, nil).Call(t.Context(), "rpc.discover", nil, nil); err != nil { // it has subscribed when it answers
		t.Fatal(err)
	}
}

// TestServiceMoves: a service is drained here, served elsewhere, and started here
// again, and its callers notice nothing.
func TestServiceMoves(t *testing.T) {
	host := withUsers(t)
	ann := dial(t, at("ann", "ws", host, ""), nil)
	sum := func() int {
		t.Helper()
		n, err := rpc.Call[int](t.Context(), ann, "Math.Sum", []int{1, 2})
		if err != nil {
			t.Errorf("Math.Sum = %v", err)
		}
		return n
	}
	if got := sum(); got != 3 {
		t.Errorf("Math.Sum = %d, want 3", got)
	}
	name := map[string]string{"name": "Math"}
	if err := ann.Call(t.Context(), "service.drain", name, nil); err != nil {
		t.Fatal(err)
	}
	if err := ann.Call(t.Context(), "Math.Sum", []int{1, 2}, nil); codeOf(err) != rpc.CodeShuttingDown {
		t.Errorf("Math.Sum of a drained service that is nowhere else = %v, want code %d", err, rpc.CodeShuttingDown)
	}
	elsewhere := rpc.NewMux(nil)
	rpc.Handle(elsewhere, "Math.Sum", func(context.Context, []int) (int, error) { return 1000, nil })
	serveQueue(t, at("ann", "amqp", host, "/queue/Math"), elsewhere)
	if got := sum(); got != 1000 {
		t.Errorf("Math.Sum = %d while it is served elsewhere, want 1000", got)
	}
	var list map[string]struct {
		State string `json:"state"`
	}
	if err := ann.Call(t.Context(), "service.list", nil, &list); err != nil || list["Math"].State != "stopped" {
		t.Errorf("service.list = %v, %v, want Math to be stopped", list, err)
	}
	if err := ann.Call(t.Context(), "service.start", name, nil); err != nil {
		t.Fatal(err)
	}
	if got := sum(); got != 3 {
		t.Errorf("Math.Sum = %d after it was started again, want 3", got)
	}
}

// TestBrokerStats: the numbers of the broker are there for whoever asks.
func TestBrokerStats(t *testing.T) {
	r := start(t, app.Config{Broker: app.BrokerConfig{Enabled: true}})
	c := dial(t, r.url(), nil)
	for range 3 {
		if err := c.Call(t.Context(), "broker.send", map[string]any{"to": "/queue/calc", "body": []int{1}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := rpc.Call[json.RawMessage](t.Context(), c, "broker.stats", nil)
	if err != nil {
		t.Fatal(err)
	}
	var stats broker.Stats
	if err := json.Unmarshal(raw, &stats); err != nil || len(stats.Queues) != 1 || stats.Queues[0].Depth != 3 || stats.Queues[0].Name != "calc" {
		t.Errorf("broker.stats = %s, %v, want the queue calc with 3 messages", raw, err)
	}
}

// TestBrokerFull: what does not fit is refused, and said to be.
func TestBrokerFull(t *testing.T) {
	r := start(t, app.Config{Broker: app.BrokerConfig{Enabled: true, QueueDepth: 2, SendWait: 50 * time.Millisecond}})
	c := dial(t, r.url(), nil)
	var codes []rpc.Code
	for range 3 {
		codes = append(codes, codeOf(c.Call(t.Context(), "broker.send", map[string]any{"to": "/queue/calc", "text": "x"}, nil)))
	}
	if want := []rpc.Code{0, 0, rpc.CodeBusy}; !cmp.Equal(codes, want) {
		t.Errorf("broker.send to a queue for 2: codes %v, want %v", codes, want)
	}
}
