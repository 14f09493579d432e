package conformance

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/polyport/polyport/transport"
)

// endureRules are about what a server of JSON-RPC has to bear.
var endureRules = []Rule{
	{
		Name:  "Params",
		Text:  "Params arrive and results come back as they are, of any size that the wire takes.",
		check: checkParams,
	},
	{
		Name:  "ManyInFlight",
		Text:  "Of 200 requests sent before an answer is read each is answered once.",
		check: checkManyInFlight,
	},
	{
		Name:  "SameIDInFlight",
		Text:  "Requests under way that have the same id are each answered.",
		check: checkSameIDInFlight,
	},
	{
		Name:  "BadMessages",
		Text:  "A message that cannot be understood costs nobody the connection, neither its sender nor others.",
		check: checkBadMessages,
	},
	{
		Name:  "Depth",
		Text:  "Params nested 200,000 deep are answered, if only by an error, and the server goes on.",
		check: checkDepth,
	},
	{
		Name:  "Oversize",
		Text:  "A message of 16 MiB is answered, or costs its sender the connection; others go on.",
		check: checkOversize,
	},
	{
		Name:  "ClientLeaves",
		Text:  "A client that leaves without waiting for its answers disturbs nobody.",
		check: checkClientLeaves,
	},
}

func checkParams(r *rig) {
	a := r.asker()
	a.wantEcho()
	for i, params := range []string{
		`[]`, `{}`, `[null]`, `{"a":{"b":[1,2.5,-3e2,"x",true,false,null]},"":""}`,
		`["` + strings.Repeat("ü😀\\n", 20_000) + `"]`,
		`[9007199254740993,123456789012345678901234567890]`,
	} {
		id := strconv.Itoa(i)
		if got, want := a.answer(request("Echo", params, id)), id+"="+params; got != want {
			r.Errorf("Echo of %s got %s, want the same back", clip(params), clip(got))
		}
	}
	a.nothingMore()
}

// inFlight is how many requests a client sends at once.
const inFlight = 200

func checkManyInFlight(r *rig) {
	a := r.asker()
	if a.conn.Info().Lockstep {
		r.skipf("the wire is in lock-step: one request is in flight at a time")
	}
	r.Go(func() {
		for n := range inFlight {
			if err := a.say(request(noMethod, "", strconv.Itoa(n))); err != nil {
				r.Errorf("%v", err)
				return
			}
		}
	})
	missing := map[string]bool{}
	for n := range inFlight {
		missing[fmt.Sprintf("%d!-32601", n)] = true
	}
	for range inFlight {
		got := a.next(fmt.Sprintf("one of %d requests (%d are not answered)", inFlight, len(missing)))
		if !missing[got] {
			r.Errorf("an answer is %s, want -32601 for each request once", clip(got))
		}
		delete(missing, got)
	}
	a.nothingMore()
}

func checkSameIDInFlight(r *rig) {
	a := r.asker()
	for range 2 {
		if err := a.say(request(noMethod, "", "1")); err != nil {
			r.Fatalf("%v", err)
		}
	}
	for range 2 {
		if got := a.next("one of two requests with the id 1"); !strings.HasPrefix(got, "1!") && !strings.HasPrefix(got, "1=") {
			r.Errorf("a request with the id 1 got %s, want an answer with that id", clip(got))
		}
	}
	a.nothingMore()
}

// bad are bodies that cannot be understood.
var bad = []string{
	"", "{", "[", "]", `"`, "\x00\xff\xfe", "\xef\xbb\xbf{}", "null", "[null]", "1e999", `{"id":`, `{"jsonrpc":"2.0","id":{}}`,
	`[[[[`, "[1,", `{"jsonrpc":"2.0","method":{},"params":7,"id":[]}`, "GET / HTTP/1.1\r\n\r\n", strings.Repeat("{", 1000),
	strings.Repeat("A", 100_000),
}

func checkBadMessages(r *rig) {
	a, other := r.asker(), r.asker()
	for _, body := range bad {
		if err := a.say(body); err != nil {
			r.Fatalf("%v", err)
		}
		if _, err := a.hear(a.soon()); err != nil {
			r.Fatalf("%s: no answer: %v", quote(body), err)
		}
	}
	for name, c := range map[string]*asker{"the sender": a, "another client": other} {
		if got := c.answer(request(noMethod, "", "1")); got != "1!-32601" {
			r.Errorf("afterwards a request of %s got %s, want 1!-32601", name, clip(got))
		}
	}
}

func checkDepth(r *rig) {
	const deep = 200_000
	for _, body := range []string{
		request("Echo", strings.Repeat("[", deep)+strings.Repeat("]", deep), "1"),
		`{"jsonrpc":"2.0","method":"Echo","id":1,"params":` + strings.Repeat(`{"a":`, deep),
		strings.Repeat("[", deep),
	} {
		a := r.asker()
		if err := a.say(body); err != nil {
			r.Fatalf("%v", err)
		}
		got, err := a.hear(a.soon())
		if err != nil {
			r.Fatalf("no answer to %s: %v", quote(body), err)
		}
		if !bytes.Contains(got, []byte(`"jsonrpc"`)) {
			r.Errorf("%s got %s, want a Response", quote(body), quote(string(got)))
		}
		a.check(refused(request(noMethod, "", "2"), "2", -32601))
	}
}

func checkOversize(r *rig) {
	const size = 16 << 20
	a := r.asker()
	sender := r.visit(func(o *transport.Options) { o.Limits.Message = 2 * size })
	m := &transport.Message{ReplyTo: r.replyAddress(sender), Body: []byte(request(noMethod, `["`+strings.Repeat("x", size)+`"]`, "1"))}
	wait := r.patience()
	if r.h.Server.Queued { // nothing may come
		wait = min(wait, 2*time.Second)
	}
	if err := sender.Send(r.soon(), m); err == nil {
		if got, err := sender.Recv(r.within(wait)); err == nil {
			r.answersOversize(show(got.Body))
		} else if isLate(err) && !r.h.Server.Queued {
			r.Errorf("a message of %d bytes was neither answered nor was the connection ended within %v", len(m.Body), wait)
		}
	}
	a.check(refused(request(noMethod, "", "1"), "1", -32601))
	r.asker().check(refused(request(noMethod, "", "2"), "2", -32601))
}

// answersOversize judges an answer to a message that is larger than most servers
// take.
func (r *rig) answersOversize(got string) {
	r.Helper()
	if !strings.HasPrefix(got, "1!") && !strings.HasPrefix(got, "null!") {
		r.Errorf("a request of 16 MiB got %s, want an error", clip(got))
	}
}

func checkClientLeaves(r *rig) {
	a := r.asker()
	for range 5 {
		leaving := r.asker()
		for n := range 20 {
			m := &transport.Message{ReplyTo: leaving.back, Body: []byte(request(noMethod, "", strconv.Itoa(n)))}
			if err := leaving.conn.Send(r.soon(), m); err != nil {
				break // in lock-step the second has to wait
			}
		}
		r.closeAll(leaving.conn)
	}
	a.check(refused(request(noMethod, "", "1"), "1", -32601))
	r.asker().check(refused(request(noMethod, "", "2"), "2", -32601))
}
