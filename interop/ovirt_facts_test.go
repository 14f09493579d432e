package interop_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// TestOVirtFacts are the facts that decide whether oVirt's programs get along with a
// server or a client of ours, each as oVirt has it in testdata/ovirt.
func TestOVirtFacts(t *testing.T) {
	t.Parallel()
	runCases(t, ovirtFacts)
}

var ovirtFacts = []ovirtCase{
	{
		"fact 1: accept-version is exactly 1.2",
		"The client offers `1.2` alone. Without the profile the ERROR is told in words. The server takes lists, too.", testVersions,
	},
	{
		"fact 2: the command is CONNECT",
		"The client sends CONNECT; the server takes STOMP, too.", testCommand,
	},
	{
		"fact 3: SUBSCRIBE before CONNECT or without",
		"Served in any order, and with either frame lost; plain and TLS.", testOrder,
	},
	{
		"fact 4: glued frames wait in the Java client",
		"1,000 calls at once have 1,000 answers, plain and with TLS: after a burst EOLs follow, as many as it can have left frames.", testGlued,
	},
	{
		"fact 5: one frame, one write",
		"Frames of all sizes arrive whole and keep the connection, plain and with TLS.", testWholeFrames,
	},
	{
		"fact 6: content-length everywhere",
		"CONNECTED, MESSAGE, ERROR and RECEIPT have it, and an EOL after any of them does no harm.", testContentLength,
	},
	{
		"fact 7: escapes and line ends",
		"The server says nothing that needs an escape, ends lines with LF, and takes a raw colon; the client escapes all frames.", testEscapes,
	},
	{
		"fact 8: the Java client passes over the end",
		"It notices at its heart-beat, and is served when it is back. Our client notices vdsm's end at once.", testEnd,
	},
	{
		"fact 9: heart-beats that shrink at each reconnect",
		"After 100 reconnects the server promises what it did before; our client asks for the same each time.", testDecay,
	},
	{
		"fact 10: a notification ends vdsm's dispatcher",
		"The client does not send any, and says why. The server passes over those that it gets.", testNotification,
	},
	{
		"fact 11: batches",
		"The client sends the calls of a batch each alone. The server answers an array of one by an object, one of more by an array.", testBatches,
	},
	{
		"fact 12: ids of several clients",
		"The server answers each who asked, whatever the id. The client's ids are UUIDs.", testIDs,
	},
}

func testVersions(t *testing.T) {
	v, number := startVdsm(t, nil)
	check(t, dialVdsm(t, number, nil), `true`, "Host.ping", nil)
	if f := v.do("frames", nil).Frames; f[0].Headers["accept-version"] != "1.2" {
		t.Errorf("our client began with %+v", f[0])
	}
	_, err := transport.Dial(t.Context(), fmt.Sprintf("stomp://127.0.0.1:%d", number), nil)
	if err == nil || !strings.Contains(err.Error(), "Version unsupported") {
		t.Errorf("without the profile Dial = %v, want vdsm's words", err)
	}
	a := startAgent(t, nil)
	for offer, want := range map[string]string{"1.2": "1.2", "1.0,1.1,1.2": "1.2"} {
		w := newWire(t, a.number)
		w.send("CONNECT\naccept-version:" + offer + "\nhost:x\n\n")
		if f := w.expect("CONNECTED"); f.headers["version"] != want {
			t.Errorf("to %s came %q", offer, f.text)
		}
	}
}

func testCommand(t *testing.T) {
	v, number := startVdsm(t, nil)
	check(t, dialVdsm(t, number, nil), `true`, "Host.ping", nil)
	if f := v.do("frames", nil).Frames; f[0].Command != "CONNECT" {
		t.Errorf("our client began with %+v", f[0])
	}
	w := newWire(t, startAgent(t, nil).number)
	w.send("STOMP\naccept-version:1.2\nhost:x\n\n")
	w.expect("CONNECTED")
}

func testOrder(t *testing.T) {
	a := startAgent(t, nil)
	for _, o := range []options{{}, {"lose": "CONNECT", "patience": 0.2}, {"lose": "events"}, a.options(true)} {
		e := startOVirt(t, "engine.py", with(a.options(false), o))
		e.call(`true`, "Host.ping", nil)
		a.publish(t, "|virt|VM_status|1", options{"1": "Up"})
		heard := e.do("events", options{"n": 1, "wait": 0.5}).Events
		if want := o["lose"] != "events"; (len(heard) == 1) != want {
			t.Errorf("with %v the engine heard %+v", o, heard)
		}
		if s := e.do("state", nil); len(s.Problems)+len(s.Errors) > 0 || s.Connected != (o["lose"] != "CONNECT") {
			t.Errorf("with %v: %+v", o, s)
		}
	}
}

func testGlued(t *testing.T) {
	a := startAgent(t, nil)
	a.forEach(t, func(t *testing.T, o options) {
		e := startOVirt(t, "engine.py", o)
		e.do("connect", nil)
		e.all(1000, nil)
		for range 4 { // line ends that nobody needed are no hindrance
			time.Sleep(150 * time.Millisecond)
			e.call(`true`, "Host.ping", nil, "wait", 2)
		}
		if s := e.do("state", nil); len(s.Problems)+len(s.Errors)+s.Late > 0 {
			t.Errorf("%+v", s)
		}
	})
}

func testWholeFrames(t *testing.T) {
	a := startAgent(t, nil)
	a.forEach(t, func(t *testing.T, o options) {
		e := startOVirt(t, "engine.py", o)
		for _, size := range []int{1, 10, 700, 780, 800, 860, 1000, 4000, 16_000, 17_000, 200_000} {
			e.call(`"`+strings.Repeat("x", size)+`"`, "Test.echo", options{"msg": strings.Repeat("x", size)}, "wait", 2)
			e.all(10, options{"pad": size})
		}
		if s := e.do("state", nil); len(s.Problems)+len(s.Errors) > 0 {
			t.Errorf("%+v", s)
		}
	})
}

func testContentLength(t *testing.T) {
	a := startAgent(t, nil)
	w := newWire(t, a.number)
	w.send("CONNECT\naccept-version:1.2\nhost:x\nheart-beat:0,1000\n\n")
	judge := func(command string) {
		t.Helper()
		if f := w.expect(command); f.headers["content-length"] != strconv.Itoa(len(f.body)) {
			t.Errorf("no content-length of %d in %q", len(f.body), f.text)
		}
	}
	judge("CONNECTED")
	w.send("SUBSCRIBE\ndestination:q\nid:1\n\n", "SEND\ndestination:jms.topic.vdsm_requests\nreply-to:q\n\n"+`{"jsonrpc":"2.0","id":1,"method":"Host.ping"}`)
	judge("MESSAGE")
	w.send("SUBSCRIBE\ndestination:q\n\n")
	judge("ERROR")
	w.send("DISCONNECT\nreceipt:bye\n\n")
	judge("RECEIPT")

	e := startOVirt(t, "engine.py", with(a.options(false), options{"heartbeat": 2000}))
	e.call(`1200`, "Test.sleep", options{"ms": 1200}) // a beat comes meanwhile
	e.call(`true`, "Host.ping", nil)
	if s := e.do("state", nil); len(s.Problems) > 0 {
		t.Errorf("%+v", s)
	}
}

func testEscapes(t *testing.T) {
	a := startAgent(t, nil)
	w := newWire(t, a.number)
	w.send("CONNECT\naccept-version:1.2\nhost:[::1]:54321\nheart-beat:0,1000\n\n")
	if f := w.expect("CONNECTED"); strings.ContainsAny(f.text, "\\\r") {
		t.Errorf("CONNECTED has an escape or CR: %q", f.text)
	}
	w.send("SUBSCRIBE\ndestination:jms.topic.vdsm_responses\nid:1\n\n",
		"SEND\ndestination:jms.topic.vdsm_requests\novirtCorrelationId:a:b\nreply-to:jms.topic.vdsm_responses\n\n"+`{"jsonrpc":"2.0","id":1,"method":"Host.ping"}`)
	if f := w.expect("MESSAGE"); strings.ContainsAny(f.text, "\\\r") {
		t.Errorf("MESSAGE has an escape or CR: %q", f.text)
	}
	a.mu.Lock()
	if !slices.Equal(a.flows, []string{"a:b"}) {
		t.Errorf("the flow came as %q", a.flows)
	}
	a.mu.Unlock()

	v, number := startVdsm(t, nil)
	conn, err := transport.Dial(t.Context(), fmt.Sprintf("stomp://127.0.0.1:%d?profile=ovirt&host=a%%3Ab", number), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if f := v.do("frames", nil).Frames; f[0].Headers["host"] != "a:b" { // vdsm.py closes at a raw colon, and undoes escapes
		t.Errorf("CONNECT came as %+v", f[0])
	}
	back, err := conn.(transport.ReplyAddresser).ReplyAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m := &transport.Message{ReplyTo: back, Body: []byte(`{"jsonrpc":"2.0","id":"1","method":"Host.ping"}`)}
	m.Headers = []transport.Header{{Name: "ovirtCorrelationId", Value: `x:y\z`}}
	if err := conn.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Recv(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := v.do("state", nil).Flows; !slices.Equal(got, []string{`x:y\z`}) {
		t.Errorf("the flow came as %q", got)
	}
}

func testEnd(t *testing.T) {
	a := startAgent(t, nil)
	e := startOVirt(t, "engine.py", with(a.options(false), options{"heartbeat": 2000}))
	e.call(`true`, "Host.ping", nil)
	a.stop()
	if s := e.do("lost", options{"wait": 5}); !s.Noticed || s.Seconds > 3 {
		t.Errorf("the engine noticed: %+v, want within 1.5 s and one", s)
	}
	if got := e.do("call", options{"method": "Host.ping"}).result(); !strings.HasPrefix(got, "error 5022: connection: ") {
		t.Errorf("a call to nobody came to %s", got)
	}
}

func testDecay(t *testing.T) {
	const n = 100
	a := startAgent(t, nil)
	e := startOVirt(t, "engine.py", a.options(false))
	e.do("connect", nil)
	e.do("reconnect", options{"n": n})
	s := e.do("state", nil)
	promised := slices.Compact(slices.Clone(s.Promised))
	if len(s.Promised) != n+1 || !slices.Equal(promised, []string{"1000,0"}) || s.Deadline != 1500 {
		t.Errorf("in %d connections the server promised %v, and the engine waits for %d ms", len(s.Promised), promised, s.Deadline)
	}
	e.call(`true`, "Host.ping", nil)
	c := startOVirt(t, "agentclient.py", a.options(false))
	c.do("connect", nil)
	if all := c.do("reconnect", options{"n": n}).Promised; len(all) != n || len(slices.Compact(all)) != 1 {
		t.Errorf("to the Python client it promised %v", all)
	}

	v, number := startVdsm(t, nil)
	o := &transport.DialOptions{}
	o.Heartbeat = 3 * time.Second
	var closing sync.WaitGroup
	for range n {
		conn, err := transport.Dial(t.Context(), fmt.Sprintf("stomp://127.0.0.1:%d?profile=ovirt", number), o)
		if err != nil {
			t.Fatal(err)
		}
		closing.Go(func() { _ = conn.Close() }) // vdsm does not close when it is told so
	}
	closing.Wait()
	asked := map[string]int{}
	for _, f := range v.do("frames", nil).Frames {
		if f.Command == "CONNECT" {
			asked[f.Headers["heart-beat"]]++
		}
	}
	if len(asked) != 1 || asked[mostOf(asked)] != n {
		t.Errorf("our client asked for %v", asked)
	}
}

func testNotification(t *testing.T) {
	v, number := startVdsm(t, nil)
	c := dialVdsm(t, number, nil)
	if err := c.Notify(t.Context(), "Host.ping", nil); !errors.Is(err, transport.ErrUnsupported) || !strings.Contains(err.Error(), "notification") {
		t.Errorf("Notify = %v, want words", err)
	}
	var b rpc.Batch
	b.Notify("Host.ping", nil)
	if err := c.Do(t.Context(), &b); err == nil {
		t.Error("a notification in a batch was sent")
	}
	check(t, c, `true`, "Host.ping", nil)
	if !v.do("state", nil).Connected {
		t.Error("vdsm's dispatcher has ended")
	}

	a := startAgent(t, nil)
	p := startOVirt(t, "agentclient.py", a.options(false))
	p.do("connect", nil)
	p.do("notify", options{"event": "Test.count", "destination": "jms.topic.vdsm_requests", "params": options{"name": "notified", "ms": 0}})
	p.do("notify", options{"event": "No.such", "destination": "jms.topic.vdsm_requests"})
	p.call(`true`, "Host.ping", nil)
	p.call(`2`, "Test.count", options{"name": "notified", "ms": 0})
	if s := p.do("state", nil); len(s.Errors)+len(s.Problems) > 0 {
		t.Errorf("it was answered: %+v", s)
	}
}

func testBatches(t *testing.T) {
	v, number := startVdsm(t, nil)
	c := dialVdsm(t, number, nil)
	var b rpc.Batch
	one, two := rpc.Add[bool](&b, "Host.ping", nil), rpc.Add[int](&b, "Test.sleep", options{"ms": 1})
	if err := c.Do(t.Context(), &b); err != nil {
		t.Errorf("Do = %v", err)
	}
	if got, err := one.Get(t.Context()); !got || err != nil {
		t.Errorf("the first = %t, %v", got, err)
	}
	if got, err := two.Get(t.Context()); got != 1 || err != nil {
		t.Errorf("the second = %d, %v", got, err)
	}
	for _, f := range v.do("frames", nil).Frames {
		if f.Command == "SEND" && !strings.HasPrefix(f.Body, "{") {
			t.Errorf("our client sent %s", f.Body)
		}
	}

	a := startAgent(t, nil)
	p := startOVirt(t, "agentclient.py", a.options(false))
	p.do("connect", nil)
	for n, first := range map[int]string{1: "{", 3: "["} {
		if got := p.do("batch", options{"requests": pings(n)}); got.Found["answered"] != n || !strings.HasPrefix(got.Body, first) {
			t.Errorf("an array of %d: %+v", n, got)
		}
	}
}

var uuidText = regexp.MustCompile(`"id":"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"`)

func testIDs(t *testing.T) {
	a := startAgent(t, nil)
	one, two := connectedWire(t, a.number), connectedWire(t, a.number)
	wires := []*wire{one, two}
	for i, w := range wires { // even the same queue
		w.send("SUBSCRIBE\nid:1\ndestination:q\n\n",
			"SEND\ndestination:jms.topic.vdsm_requests\nreply-to:q\n\n"+fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"Test.sleep","params":{"ms":%d}}`, 300+i))
	}
	for i, w := range wires {
		if f := w.expect("MESSAGE"); f.body != fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"result":%d}`, 300+i) {
			t.Errorf("client %d got %s", i, f.body)
		}
	}
	v, number := startVdsm(t, nil)
	c := dialVdsm(t, number, nil)
	for range 3 {
		check(t, c, `true`, "Host.ping", nil)
	}
	ids := map[string]int{}
	for _, f := range v.do("frames", nil).Frames {
		if f.Command == "SEND" {
			ids[uuidText.FindString(f.Body)]++
		}
	}
	if len(ids) != 3 || ids[""] > 0 {
		t.Errorf("the ids were %v", ids)
	}
}

// TestOVirtGone: who has heart-beats notices within 1.1 times the interval that the
// other is gone without a word. POLYPORT_LONG=1 has it with 10 s, too.
func TestOVirtGone(t *testing.T) {
	t.Parallel()
	need(t, python)
	beats := []time.Duration{time.Second}
	if os.Getenv("POLYPORT_LONG") == "1" {
		beats = append(beats, 10*time.Second)
	}
	for _, beat := range beats {
		t.Run(beat.String(), func(t *testing.T) {
			t.Parallel()
			v, number := startVdsm(t, nil)
			o := &transport.DialOptions{}
			o.Heartbeat = beat
			conn, err := transport.Dial(t.Context(), fmt.Sprintf("stomp://127.0.0.1:%d?profile=ovirt", number), o)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			ctx, cancel := context.WithTimeout(t.Context(), 2*beat)
			if _, err := conn.Recv(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("while vdsm beats, Recv = %v", err)
			}
			cancel()
			begin := time.Now()
			v.do("freeze", options{"seconds": 60})
			_, err = conn.Recv(t.Context())
			// vdsm's last beat may have been just before.
			if took := time.Since(begin); !errors.Is(err, transport.ErrHeartbeat) || took > beat*11/10+200*time.Millisecond {
				t.Errorf("Recv = %v after %v, want ErrHeartbeat within 1.1 times %v", err, took, beat)
			}
		})
	}
}
