package interop_test

import (
	"bytes"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/polyport/polyport/internal/issuer"
)

// TestOVirtPrograms holds the programs in testdata/ovirt against each other: they have
// to have the faults that are known of oVirt's, or the other tests could not fail.
func TestOVirtPrograms(t *testing.T) {
	t.Parallel()
	runCases(t, ovirtPrograms)
}

var ovirtPrograms = []ovirtCase{
	{name: "calls", run: func(t *testing.T) {
		_, number := startVdsm(t, nil)
		e, c := startOVirt(t, "engine.py", options{"port": number}), startOVirt(t, "agentclient.py", options{"port": number})
		c.do("connect", nil)
		for _, p := range []*program{e, c} {
			p.call(`true`, "Host.ping", nil)
			p.call(`[1, 2]`, "Test.echo", options{"msg": []int{1, 2}})
			p.call(`error 7: no`, "Test.fail", options{"code": 7, "message": "no"})
			p.call(`error -32603: Internal JSON-RPC error: {'reason': "echo() got an unexpected keyword argument 'mg'"}`, "Test.echo", options{"mg": 1})
		}
	}},
	{name: "glued frames wait in the engine", run: func(t *testing.T) {
		for name, o := range map[string]options{"plain": {}, "TLS": secureVdsm(t)} {
			_, number := startVdsm(t, o)
			e := startOVirt(t, "engine.py", with(o, options{"port": number}))
			e.do("connect", nil)
			a := e.do("parallel", options{"method": "Test.echo", "n": 80, "wait": 0.7})
			if a.Found["lost"] == 0 || a.Found["answered"] == 0 {
				t.Errorf("%s: 80 calls at once came to %v, want that some are lost", name, a.Found)
			}
			t.Logf("%s: %v", name, a.Found)
			_, number = startVdsm(t, with(o, options{"nudge": true}))
			e = startOVirt(t, "engine.py", with(o, options{"port": number}))
			e.all(80, nil)
		}
	}},
	{name: "a frame in two writes breaks the engine", run: func(t *testing.T) {
		_, number := startVdsm(t, options{"split": true})
		e := startOVirt(t, "engine.py", options{"port": number})
		if got := e.do("call", options{"method": "Host.ping"}).result(); !strings.HasPrefix(got, "error 5022: internal: Index 5 out of bounds") {
			t.Errorf("a call came to %s", got)
		}
	}},
	{name: "an EOL with CONNECTED breaks the engine", run: func(t *testing.T) {
		_, number := startVdsm(t, options{"glue": true})
		e := startOVirt(t, "engine.py", options{"port": number, "patience": 0.5})
		e.do("connect", nil)
		if s := e.do("state", nil); s.Open || !slices.ContainsFunc(s.Problems, func(p string) bool { return strings.Contains(p, "getContentLength") }) {
			t.Errorf("after CONNECTED and an EOL: %+v", s)
		}
	}},
	{name: "the engine is deaf after 1024 EOLs", run: testDeaf},
	{name: "order of frames", run: func(t *testing.T) {
		v, number := startVdsm(t, nil)
		for want, o := range map[string]options{
			"SUBSCRIBE jms.queue.events SUBSCRIBE jms.topic.vdsm_responses CONNECT ": {},
			"SUBSCRIBE jms.queue.events SUBSCRIBE jms.topic.vdsm_responses ":         {"lose": "CONNECT", "patience": 0.2},
			"SUBSCRIBE jms.topic.vdsm_responses CONNECT ":                            {"lose": "events"},
		} {
			v.do("frames", nil) // forgets them
			e := startOVirt(t, "engine.py", with(o, options{"port": number}))
			e.call(`true`, "Host.ping", nil)
			var sent []string
			for _, f := range v.do("frames", nil).Frames {
				if f.Command != "SEND" {
					sent = append(sent, strings.TrimSpace(f.Command+" "+f.Headers["destination"]))
				}
			}
			if got := strings.Join(sent, " ") + " "; got != want {
				t.Errorf("the engine with %v sent %s, want %s", o, got, want)
			}
		}
		secure := secureVdsm(t)
		v, number = startVdsm(t, secure)
		startOVirt(t, "engine.py", with(secure, options{"port": number})).call(`true`, "Host.ping", nil)
		if f := v.do("frames", nil).Frames; len(f) != 4 || f[0].Command != "CONNECT" || f[1].Headers["destination"] != "jms.queue.events" {
			t.Errorf("with TLS it sent %+v", f)
		}
	}},
	{name: "the engine passes over the end until its heart-beat", run: func(t *testing.T) {
		v, number := startVdsm(t, nil)
		e := startOVirt(t, "engine.py", options{"port": number, "heartbeat": 2000})
		e.do("connect", nil)
		v.do("cut", nil)
		if a := e.do("lost", nil); !a.Noticed || a.Seconds < 1.2 || a.Seconds > 3 {
			t.Errorf("noticed: %+v, want after 1.5 s", a)
		}
	}},
	{name: "the engine's heart-beat shrinks", run: func(t *testing.T) {
		_, number := startVdsm(t, nil)
		e := startOVirt(t, "engine.py", options{"port": number})
		e.do("connect", nil)
		e.do("reconnect", options{"n": 11})
		want := []string{"0,15000", "0,11250", "0,8438", "0,6329", "0,4747", "0,3561", "0,2671", "0,2004", "0,1503", "0,1128", "0,846", "0,750"}
		if got := e.do("state", nil).Asked; !slices.Equal(got, want) {
			t.Errorf("it asked for %v, want %v", got, want)
		}
	}},
	{name: "the engine sends again what took too long", run: func(t *testing.T) {
		v, number := startVdsm(t, nil)
		e := startOVirt(t, "engine.py", options{"port": number, "timeout": 1000, "retries": 1})
		e.call(`1800`, "Test.sleep", options{"ms": 1800})
		ids := map[string]int{}
		for _, f := range v.do("frames", nil).Frames {
			if f.Command == "SEND" {
				ids[f.Body]++
			}
		}
		if len(ids) != 1 || ids[mostOf(ids)] != 2 {
			t.Errorf("it sent %v", ids)
		}
	}},
	{name: "a notification ends vdsm's dispatcher", run: func(t *testing.T) {
		v, number := startVdsm(t, nil)
		c := startOVirt(t, "agentclient.py", options{"port": number})
		c.do("connect", nil)
		c.call(`true`, "Host.ping", nil)
		c.do("notify", options{"event": "Host.ping", "destination": "jms.topic.vdsm_requests"})
		c.call(`nothing`, "Host.ping", nil, "wait", 0.5)
		if v.do("state", nil).Connected {
			t.Error("the dispatcher lives")
		}
	}},
	{name: "vdsm answers no array of two", run: func(t *testing.T) {
		_, number := startVdsm(t, nil)
		c := startOVirt(t, "agentclient.py", options{"port": number})
		c.do("connect", nil)
		if a := c.do("batch", options{"requests": pings(1)}); a.Found["answered"] != 1 || !strings.HasPrefix(a.Body, "{") {
			t.Errorf("an array of one: %+v", a)
		}
		if a := c.do("batch", options{"requests": pings(2), "wait": 0.5}); a.Found["lost"] != 2 {
			t.Errorf("an array of two: %+v", a)
		}
	}},
	{name: "vdsm mistakes the same id of two clients", run: func(t *testing.T) {
		_, number := startVdsm(t, nil)
		one, two := connectedWire(t, number), connectedWire(t, number)
		for i, w := range []*wire{one, two} {
			queue := []string{"one", "two"}[i]
			w.send("SUBSCRIBE\nid:1\ndestination:"+queue+"\n\n",
				"SEND\ndestination:jms.topic.vdsm_requests\nreply-to:"+queue+"\n\n"+`{"jsonrpc":"2.0","id":1,"method":"Test.sleep","params":{"ms":`+[]string{"500", "501"}[i]+`}}`)
			time.Sleep(100 * time.Millisecond) // they cross when both are under way
		}
		if f := two.expect("MESSAGE"); !strings.Contains(f.body, "500") {
			t.Errorf("the second got %s, want the answer to the first", f.body)
		}
	}},
	{name: "vdsm is busy", run: func(t *testing.T) {
		_, number := startVdsm(t, nil)
		c := startOVirt(t, "agentclient.py", options{"port": number})
		c.do("connect", nil)
		a := c.do("parallel", options{"method": "Test.sleep", "params": options{"ms": 150}, "n": 120})
		if a.Found["error 1100"] == 0 || a.Found["answered"] < 80 || a.Found["answered"]+a.Found["error 1100"] != 120 {
			t.Errorf("120 calls that take a while came to %v", a.Found)
		}
		_, number = startVdsm(t, options{"recovering": true})
		c = startOVirt(t, "agentclient.py", options{"port": number})
		c.do("connect", nil)
		c.call(`error 99: Recovering from crash or Initializing`, "Host.ping", nil)
	}},
	{name: "vdsm's detector", run: func(t *testing.T) {
		_, number := startVdsm(t, options{"detect": 0.5})
		for _, first := range []string{"STOMP\naccept-version:1.2\n\n\x00", "\nCONNECT\naccept-version:1.2\n\n\x00", "CONNE"} {
			w := newWire(t, number)
			if _, err := w.c.Write([]byte(first)); err != nil {
				t.Error(err)
			}
			if f, err := w.next(); err == nil {
				t.Errorf("after %q came %q, want the end", first, f.text)
			}
		}
	}},
	{name: "what vdsm says", run: func(t *testing.T) {
		_, number := startVdsm(t, nil)
		w := newWire(t, number)
		w.send("CONNECT\naccept-version:1.0,1.1,1.2\n\n")
		if f := w.expect("ERROR"); f.text != "ERROR\ncontent-length:19\n\nVersion unsupported\x00" {
			t.Errorf("to a list of versions it says %q", f.text)
		}
		w.send("CONNECT\naccept-version:1.2\nheart-beat:5,x\n\n")
		if f := w.expect("CONNECTED"); f.text != "CONNECTED\nversion:1.2\nheart-beat:0,1000\n\n\x00" {
			t.Errorf("it says %q", f.text)
		}
		w.send("SUBSCRIBE\nid:1\n\n", "SUBSCRIBE\nid:1\ndestination:a.b\nreceipt:9\n\n", "SUBSCRIBE\nid:1\ndestination:x\n\n", "UNSUBSCRIBE\n\n",
			"SEND\ndestination:nobody\n\nx", "SEND\ndestination:a.b.c\nreceipt:4\n\nx", "SEND\ndestination:jms.topic.vdsm_requests.host.stats\nreply-to:a.b\n\n"+`{"jsonrpc":"2.0","id":7,"method":"Host.ping"}`)
		for _, want := range []string{
			"ERROR\ncontent-length:45\n\nMissing destination or subscription id header\x00", "ERROR\ncontent-length:30\n\nSubscription id already exists\x00",
			"ERROR\ncontent-length:17\n\nMissing id header\x00", "ERROR\ncontent-length:26\n\nSubscription not available\x00",
			"MESSAGE\nsubscription:1\ndestination:a.b.c\nreceipt:4\ncontent-length:1\n\nx\x00",
			"MESSAGE\ndestination:a.b\ncontent-type:application/json\nsubscription:1\ncontent-length:43\n\n" + `{"jsonrpc": "2.0", "id": 7, "result": true}` + "\x00",
		} {
			if f, err := w.next(); err != nil || f.text != want {
				t.Errorf("came %q, %v; want %q", f.text, err, want)
			}
		}
		w.send("DISCONNECT\nreceipt:bye\n\n")
		if f := w.expect("RECEIPT"); f.text != "RECEIPT\nreceipt-id:bye\n\n\x00" {
			t.Errorf("to DISCONNECT it says %q", f.text)
		}
		w.send("SUBSCRIBE\nid:a:b\ndestination:x\n\n")
		w.ends()
	}},
	{name: "vdsm has no grace", run: func(t *testing.T) {
		_, number := startVdsm(t, nil)
		w := newWire(t, number)
		begin := time.Now()
		w.send("CONNECT\naccept-version:1.2\nheart-beat:1000,1000\n\n")
		w.expect("CONNECTED")
		w.ends()
		if took := time.Since(begin); took < 900*time.Millisecond || took > 1500*time.Millisecond {
			t.Errorf("it ended the connection after %v, want 1 s", took)
		}
	}},
}

// mostOf returns the key with the highest count.
func mostOf(m map[string]int) (key string) {
	for k, n := range m {
		if key == "" || n > m[key] {
			key = k
		}
	}
	return key
}

// pings are n calls, with numbers as ids.
func pings(n int) (all []options) {
	for i := range n {
		all = append(all, options{"jsonrpc": "2.0", "id": i + 1, "method": "Host.ping"})
	}
	return all
}

// secureVdsm are the options of vdsm.py for TLS; those of its clients are the same.
func secureVdsm(t *testing.T) options {
	t.Helper()
	authority, err := issuer.New("interop")
	if err != nil {
		t.Fatal(err)
	}
	var p onePort
	p.write(t, authority)
	return options{"tls": options{"ca": p.ca, "cert": p.cert, "key": p.key}}
}

// testDeaf is a server that sends EOLs and then an answer.
func testDeaf(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	e := startOVirt(t, "engine.py", options{"port": l.Addr().(*net.TCPAddr).Port, "patience": 0.2})
	for _, c := range []struct {
		eols  int
		heard bool
	}{{900, true}, {1024, false}} {
		e.say(options{"do": "connect"})
		nc, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		e.hear()
		_, _ = nc.Write(bytes.Repeat([]byte("\n"), c.eols)) // they pile up, together or not
		time.Sleep(100 * time.Millisecond)
		_, _ = nc.Write([]byte("CONNECTED\ncontent-length:0\nx:y\n\n\x00"))
		time.Sleep(100 * time.Millisecond)
		if s := e.do("state", nil); s.Connected != c.heard {
			t.Errorf("after %d EOLs: %+v, want that CONNECTED was heard: %t", c.eols, s, c.heard)
		}
		e.do("close", nil)
		_ = nc.Close()
	}
}
