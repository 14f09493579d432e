package interop_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/port"
)

// TestOVirtFeatures are what oVirt's programs have, and what is to be better.
func TestOVirtFeatures(t *testing.T) {
	t.Parallel()
	runCases(t, ovirtFeatures)
}

var ovirtFeatures = []ovirtCase{
	{"transports", "The same methods answer by STOMP, AMQP 1.0, ZMTP and HTTP.", testTransports},
	{"one port, detection", "Plain and TLS at one port; a few bytes and EOLs before a command are no hindrance.", testDetection},
	{"TLS", "Mutual where it is wanted, for STOMP too; certificates are reloaded, and names are those of the SAN (transport/port).", testMutual},
	{"versions", "1.0, 1.1 and 1.2, as a list or alone.", testAllVersions},
	{"heart-beat", "Both ways, judged at 1.1 times, whatever else goes on.", testBeats},
	{"reconnect", "At once where the end is seen, with pauses that grow; subscriptions are made anew.", testReconnect},
	{"retry", "What the engine sends again while it is under way is executed once, and answered once. What it sends again after a reconnect is executed again, so methods have to bear that.", testRetry},
	{"batch", "Whole: an array of 100 has an array of 100 answers.", testBatchOfMany},
	{"notifications to the server", "Executed and not answered.", testNotification},
	{"parallel calls", "1,000 of vdsm's client at once are answered. vdsm's own 1100 is our client's `CodeBusy`.", testParallel},
	{"events", "Heard by the engine and by vdsm's client; our client has filters of four parts, judged by their place.", testEvents},
	{"broker", "With a broker behind, what clients send each other goes to subscribers, of parents too; without, the ERROR that is known.", testBroker},
	{"receipts", "Of every frame that asks.", testReceipts},
	{"limits", "A frame that is too large ends its connection with words, and no other.", testLimits},
	{"malformed input", "One error, to the asker, with the id where there is one.", testMalformed},
	{"flow id", "`ovirtCorrelationId` reaches the handler, and goes out with our client's calls.", testFlow},
	{"secrets in logs", "Params are in no record, at any level; only what a program logs itself is.", testSecrets},
	{"the sample", "`serve --profile ovirt` has Host.ping, Host.getCapabilities, Host.getStats, Test.echo, Test.sleep and Test.fail.", testSample},
}

func testTransports(t *testing.T) {
	a := startAgent(t, nil)
	for _, scheme := range []string{"stomp", "amqp", "zmq", "http"} {
		c, err := rpc.Dial(t.Context(), a.url(scheme), nil)
		if err != nil {
			t.Fatal(err)
		}
		check(t, c, `"`+scheme+`"`, "Test.echo", options{"msg": scheme})
		_ = c.Close()
	}
}

func testDetection(t *testing.T) {
	a := startAgent(t, nil)
	a.forEach(t, func(t *testing.T, o options) {
		startOVirt(t, "engine.py", o).call(`true`, "Host.ping", nil)
	})
	w := newWire(t, a.number)
	for _, part := range []string{"\n", "CONNE", "CT\naccept-version:1.2\nhost:x\n\n\x00"} {
		if _, err := io.WriteString(w.c, part); err != nil {
			t.Error(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	w.expect("CONNECTED")
}

func testMutual(t *testing.T) {
	a := startAgent(t, func(o *port.Options) { o.TLS.ClientAuth = tls.RequireAndVerifyClientCert })
	startOVirt(t, "engine.py", a.options(true)).call(`true`, "Host.ping", nil)
	e := startOVirt(t, "engine.py", options{"port": a.number, "tls": options{"ca": a.ca}, "patience": 0.3})
	if got := e.do("call", options{"method": "Host.ping", "wait": 1}).result(); got == `true` {
		t.Error("the engine was served without a certificate")
	}
	v := secureVdsm(t)
	_, number := startVdsm(t, v)
	files := v["tls"].(options)
	cert, err := tls.LoadX509KeyPair(files["cert"].(string), files["key"].(string))
	if err != nil {
		t.Fatal(err)
	}
	o := &transport.DialOptions{}
	o.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true}
	c, err := rpc.Dial(t.Context(), fmt.Sprintf("stomps://127.0.0.1:%d?profile=ovirt", number), &rpc.ClientOptions{Transport: o})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	check(t, c, `true`, "Host.ping", nil)
}

func testAllVersions(t *testing.T) {
	a := startAgent(t, nil)
	for offer, want := range map[string]string{"1.0": "1.0", "1.1": "1.1", "1.2": "1.2", "1.0,1.1": "1.1", "1.2,1.1": "1.2"} {
		w := newWire(t, a.number)
		w.send("CONNECT\naccept-version:" + offer + "\nhost:x\n\n")
		if f := w.expect("CONNECTED"); f.headers["version"] != want {
			t.Errorf("to %s came %q", offer, f.text)
		}
	}
}

func testBeats(t *testing.T) {
	a := startAgent(t, nil)
	e := startOVirt(t, "engine.py", with(a.options(true), options{"heartbeat": 2000}))
	c := startOVirt(t, "agentclient.py", with(a.options(false), options{"heartbeat": 1500}))
	e.do("connect", nil)
	c.do("connect", nil)
	w := newWire(t, a.number)
	begin := time.Now()
	w.send("CONNECT\naccept-version:1.2\nhost:x\nheart-beat:1000,1000\n\n")
	w.expect("CONNECTED")
	w.ends("ERROR")
	if took := time.Since(begin); took < time.Second || took > 1500*time.Millisecond {
		t.Errorf("one who is silent was judged after %v, want 1.1 s", took)
	}
	time.Sleep(700 * time.Millisecond)
	for _, p := range []*program{e, c} {
		if s := p.do("state", nil); !s.Open {
			t.Errorf("%s, to which beats go: %+v", p.name, s)
		}
	}
}

func testReconnect(t *testing.T) {
	a := startAgent(t, nil)
	e := startOVirt(t, "engine.py", with(a.options(false), options{"heartbeat": 2000}))
	e.call(`true`, "Host.ping", nil)
	a.stop()
	e.do("lost", nil)
	a.again(t)
	e.call(`true`, "Host.ping", nil)
	a.publish(t, "|virt|VM_status|1", options{"1": "Up"})
	if heard := e.do("events", options{"n": 1}).Events; len(heard) != 1 {
		t.Errorf("after a reconnect the engine heard %+v", heard)
	}

	v, number := startVdsm(t, nil)
	c := dialVdsm(t, number, &rpc.ClientOptions{Reconnect: &transport.RedialOptions{First: 10 * time.Millisecond}})
	s, err := c.Subscribe(t.Context(), "*|virt|VM_status|*", nil)
	if err != nil {
		t.Fatal(err)
	}
	check(t, c, `true`, "Host.ping", nil)
	v.do("cut", nil)
	defer time.AfterFunc(patience, func() { _ = s.Close() }).Stop()
	gap := false
	for ev, err := range s.Events() {
		if g := (*rpc.GapError)(nil); errors.As(err, &g) {
			gap = true
			check(t, c, `true`, "Host.ping", nil) // SUBSCRIBE has come before it
			v.do("publish", options{"event": "|virt|VM_status|7"})
			continue
		}
		if err != nil || ev.Topic != "|virt|VM_status|7" || !gap {
			t.Errorf("after the loss came %+v, %v; a gap: %t", ev, err, gap)
		}
		return
	}
	t.Error("no event came after the loss")
}

func testRetry(t *testing.T) {
	a := startAgent(t, nil)
	e := startOVirt(t, "engine.py", with(a.options(false), options{"timeout": 700, "retries": 1}))
	e.do("connect", nil)
	got := e.do("call", options{"method": "Test.count", "params": options{"name": "again", "ms": 1300}}).result()
	if got != `1` {
		t.Errorf("the call came to %s, want the answer to both tries", got)
	}
	time.Sleep(1300 * time.Millisecond)
	if s := e.do("state", nil); s.Late != 0 || len(s.Problems)+len(s.Errors) > 0 {
		t.Errorf("%+v, want no late answer", s)
	}
	e.call(`2`, "Test.count", options{"name": "again", "ms": 0})
}

func testBatchOfMany(t *testing.T) {
	a := startAgent(t, nil)
	p := startOVirt(t, "agentclient.py", a.options(true))
	p.do("connect", nil)
	if got := p.do("batch", options{"requests": pings(100)}); got.Found["answered"] != 100 {
		t.Errorf("an array of 100: %+v", got.Found)
	}
}

func testParallel(t *testing.T) {
	a := startAgent(t, nil)
	a.forEach(t, func(t *testing.T, o options) {
		p := startOVirt(t, "agentclient.py", o)
		p.do("connect", nil)
		p.all(1000, nil)
	})
	_, number := startVdsm(t, nil)
	c := dialVdsm(t, number, nil)
	var mu sync.Mutex
	found := map[string]int{}
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			_, err := rpc.Call[int](t.Context(), c, "Test.sleep", options{"ms": 30})
			what := "answered"
			if e, ok := errors.AsType[*rpc.Error](err); ok && e.Code == rpc.CodeBusy {
				what = "busy"
			} else if err != nil {
				what = err.Error()
			}
			mu.Lock()
			defer mu.Unlock()
			found[what]++
		})
	}
	all.Wait()
	if found["busy"] == 0 || found["answered"] < 80 || found["busy"]+found["answered"] != 200 {
		t.Errorf("200 calls to vdsm came to %v", found)
	}
	_, number = startVdsm(t, options{"recovering": true})
	check(t, dialVdsm(t, number, nil), fmt.Sprintf("error %d", rpc.CodeShuttingDown), "Host.ping", nil)
}

func testEvents(t *testing.T) {
	a := startAgent(t, nil)
	e := startOVirt(t, "engine.py", a.options(true))
	c := startOVirt(t, "agentclient.py", a.options(false))
	e.do("connect", nil)
	c.do("connect", nil)
	c.do("subscribe", nil)
	for _, p := range []*program{e, c} {
		p.call(`true`, "Host.ping", nil)
	}
	for i := range 100 {
		a.publish(t, fmt.Sprintf("|virt|VM_status|%d", i), options{"notify_time": i})
	}
	for p, receiver := range map[*program]string{e: "127.0.0.1", c: ""} {
		heard := p.do("events", options{"n": 100}).Events
		for i, ev := range heard {
			if ev.ID != fmt.Sprintf("%s|virt|VM_status|%d", receiver, i) {
				t.Errorf("%s heard %s as number %d", p.name, ev.ID, i)
			}
		}
		if len(heard) != 100 {
			t.Errorf("%s heard %d of 100 events", p.name, len(heard))
		}
	}
	c.do("unsubscribe", nil)
	c.call(`true`, "Host.ping", nil)
	a.publish(t, "|virt|VM_status|x", nil)
	if heard := c.do("events", options{"n": 1, "wait": 0.2}).Events; len(heard) > 0 {
		t.Errorf("after UNSUBSCRIBE it heard %+v", heard)
	}
	testFilters(t)
}

// testFilters has vdsm.py tell our client of machines.
func testFilters(t *testing.T) {
	t.Helper()
	v, number := startVdsm(t, nil)
	client := dialVdsm(t, number, nil)
	const last = "|last|event|0"
	heard := make(chan [2]string, 100)
	for _, filter := range []string{"*|virt|VM_status|*", "*|VM_status|virt|*", "*|*|*|1", "127.0.0.1|*|*|2", "other|*|*|2", "*|last|*|*"} {
		s, err := client.SubscribeFunc(t.Context(), filter, nil, func(ev rpc.Event, _ error) { heard <- [2]string{filter, ev.Topic} })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
	}
	check(t, client, `true`, "Host.ping", nil)
	for _, name := range []string{"|virt|VM_status|1", "|jobs|status|2", "|virt|VM_status|2", last} {
		v.do("publish", options{"event": name})
	}
	got := map[string]string{}
	for range 6 { // so many are for somebody
		select {
		case h := <-heard:
			got[h[0]] += h[1] + " "
		case <-time.After(patience):
			t.Errorf("%v were heard", got)
		}
	}
	check(t, client, `true`, "Host.ping", nil)
	want := map[string]string{
		"*|virt|VM_status|*": "|virt|VM_status|1 |virt|VM_status|2 ", "*|*|*|1": "|virt|VM_status|1 ",
		"127.0.0.1|*|*|2": "|jobs|status|2 |virt|VM_status|2 ", "*|last|*|*": last + " ",
	}
	if !maps.Equal(got, want) || len(heard) > 0 {
		t.Errorf("the filters let through %v and %d more, want %v", got, len(heard), want)
	}
}

func testBroker(t *testing.T) {
	hub := broker.New(nil)
	defer func() { _ = hub.Close() }()
	a := startAgent(t, func(o *port.Options) { o.Broker = hub })
	one, two := startOVirt(t, "agentclient.py", a.options(false)), startOVirt(t, "agentclient.py", a.options(true))
	for _, p := range []*program{one, two} {
		p.do("connect", nil)
	}
	for _, destination := range []string{"jms.queue.mine", "jms.queue"} {
		two.do("subscribe", options{"destination": destination})
	}
	two.call(`true`, "Host.ping", nil)
	one.do("notify", options{"event": "|a|b|c", "destination": "jms.queue.mine"})
	if heard := two.do("events", options{"n": 2}).Events; len(heard) != 2 || heard[0].ID != "|a|b|c" {
		t.Errorf("the subscriber of a destination and of its parent heard %+v", heard)
	}
	one.call(`true`, "Host.ping", nil) // and it still calls
	one.do("notify", options{"event": "|a|b|c", "destination": "nobody"})
	if s := one.do("lost", options{"wait": 3}); !s.Noticed {
		t.Error("sending to nobody was no ERROR")
	}
	if s := one.do("state", nil); !slices.Equal(s.Problems, []string{"StompError('Subscription not available')"}) &&
		!slices.Equal(s.Problems, []string{`StompError('Subscription not available\n')`}) {
		t.Errorf("the ERROR was %q", s.Problems)
	}
	w := connectedWire(t, startAgent(t, nil).number)
	w.send("SEND\ndestination:nobody\n\nx", "SUBSCRIBE\nid:1\ndestination:q\n\n", "SEND\ndestination:jms.topic.vdsm_requests\nreply-to:q\n\n"+`{"jsonrpc":"2.0","id":1,"method":"Host.ping"}`)
	if f := w.expect("ERROR"); !strings.Contains(f.body, "Subscription not available") {
		t.Errorf("without a broker: %q", f.text)
	}
	w.expect("MESSAGE")
}

func testReceipts(t *testing.T) {
	w := newWire(t, startAgent(t, nil).number)
	w.send("CONNECT\naccept-version:1.2\nhost:x\n\n", "SUBSCRIBE\nid:1\ndestination:q\nreceipt:a\n\n",
		"SEND\ndestination:jms.topic.vdsm_requests\nreply-to:q\nreceipt:b\n\n"+`{"jsonrpc":"2.0","method":"Host.ping"}`,
		"UNSUBSCRIBE\nid:1\nreceipt:c\n\n", "DISCONNECT\nreceipt:d\n\n")
	w.expect("CONNECTED")
	for _, want := range []string{"a", "b", "c", "d"} {
		if f := w.expect("RECEIPT"); f.headers["receipt-id"] != want {
			t.Errorf("came %q, want the receipt %s", f.text, want)
		}
	}
}

func testLimits(t *testing.T) {
	a := startAgent(t, func(o *port.Options) { o.Limits = transport.Limits{Message: 1000, HeaderBytes: 1000, Headers: 10} })
	e := startOVirt(t, "engine.py", a.options(false))
	e.call(`true`, "Host.ping", nil)
	for name, f := range map[string]string{
		"body":    "SEND\ndestination:jms.topic.vdsm_requests\ncontent-length:2000\n\n" + strings.Repeat("x", 2000),
		"header":  "SEND\ndestination:" + strings.Repeat("x", 2000) + "\n\n",
		"headers": "SEND\n" + strings.Repeat("a:b\n", 20) + "\n",
	} {
		w := connectedWire(t, a.number)
		_, _ = io.WriteString(w.c, f+"\x00")
		if f := w.expect("ERROR"); f.body == "" {
			t.Errorf("%s: an ERROR without words: %q", name, f.text)
		}
		w.ends()
	}
	e.call(`true`, "Host.ping", nil)
}

func testMalformed(t *testing.T) {
	w := connectedWire(t, startAgent(t, nil).number)
	w.send("SUBSCRIBE\nid:1\ndestination:q\n\n")
	for _, c := range []struct {
		body string
		code rpc.Code
		id   any
	}{
		{`{"jsonrpc":`, rpc.CodeParse, nil},
		{`7`, rpc.CodeInvalidRequest, nil},
		{`{"jsonrpc":"1.0","id":"a","method":"Host.ping"}`, rpc.CodeInvalidRequest, "a"},
		{`{"jsonrpc":"2.0","id":"b","method":"Host.ping","params":null}`, 0, "b"},
		{`{"jsonrpc":"2.0","id":"c","method":"Host.ping","params":7}`, rpc.CodeInvalidRequest, "c"},
		{`{"jsonrpc":"2.0","id":"d","method":"No.such"}`, rpc.CodeMethodNotFound, "d"},
		{`{"jsonrpc":"2.0","id":"e","method":"Test.sleep","params":{"ms":"x"}}`, rpc.CodeInvalidParams, "e"},
	} {
		w.send("SEND\ndestination:jms.topic.vdsm_requests\nreply-to:q\n\n" + c.body)
		var got struct {
			ID    any        `json:"id"`
			Error *rpc.Error `json:"error"`
		}
		f := w.expect("MESSAGE")
		if err := json.Unmarshal([]byte(f.body), &got); err != nil || got.ID != c.id {
			t.Errorf("%s came to %s", c.body, f.body)
		}
		if c.code != 0 && (got.Error == nil || got.Error.Code != c.code) {
			t.Errorf("%s came to %s, want code %d", c.body, f.body, c.code)
		}
	}
}

func testFlow(t *testing.T) {
	a := startAgent(t, nil)
	startOVirt(t, "engine.py", a.options(true)).call(`true`, "Host.ping", nil, "flow", "one")
	c := startOVirt(t, "agentclient.py", a.options(false))
	c.do("connect", nil)
	c.call(`true`, "Host.ping", nil, "flow", "two: and \\ more")
	a.mu.Lock()
	if want := []string{"one", "two: and \\ more"}; !slices.Equal(a.flows, want) {
		t.Errorf("the flows came as %q, want %q", a.flows, want)
	}
	a.mu.Unlock()
	v, number := startVdsm(t, nil)
	flow := func(ctx context.Context, c *rpc.Invocation) error {
		c.Set("ovirtCorrelationId", "three")
		return c.Next(ctx)
	}
	check(t, dialVdsm(t, number, &rpc.ClientOptions{Interceptors: []rpc.Interceptor{flow}}), `true`, "Host.ping", nil)
	if got := v.do("state", nil).Flows; !slices.Equal(got, []string{"three"}) {
		t.Errorf("at vdsm the flow came as %q", got)
	}
}

func testSecrets(t *testing.T) {
	var mu sync.Mutex
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(locked{&mu, &log}, &slog.HandlerOptions{Level: slog.LevelDebug - 10}))
	a := startServing(t, func(o *port.Options) { o.Logger = logger }, &rpc.ServerOptions{Logger: logger})
	p := startOVirt(t, "agentclient.py", a.options(false))
	p.do("connect", nil)
	for _, method := range []string{"Test.echo", "No.such", "Test.sleep"} {
		p.do("call", options{"method": method, "params": options{"password": "hunter2", "_X_key": "hunter2"}})
	}
	logger.Info("looked at")
	mu.Lock()
	defer mu.Unlock()
	if text := log.String(); strings.Contains(text, "hunter2") || !strings.Contains(text, "looked at") {
		t.Errorf("the log has %s", text)
	}
}

// locked is a Writer for several goroutines.
type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
