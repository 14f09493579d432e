package conformance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/polyport/polyport/transport"
)

// noMethod is a method that no server has.
const noMethod = "conformance.no.such.method"

// afterwards is how long a rule listens for what must not come.
const afterwards = 100 * time.Millisecond

// An asker is a client that says bodies to a server and hears bodies, as they
// are. In lock-step each body said is followed by one heard, which counts only
// if it is not empty.
type asker struct {
	*rig
	conn   transport.Conn
	back   string
	heard  [][]byte // in lock-step: not asked for yet
	fences int
}

func (r *rig) asker() *asker {
	r.Helper()
	conn := r.visit(nil)
	return &asker{rig: r, conn: conn, back: r.replyAddress(conn)}
}

// say sends a body, or returns why that cannot be done.
func (a *asker) say(body string) error {
	m := &transport.Message{ReplyTo: a.back, ContentType: "application/json", Body: []byte(body)}
	if err := a.conn.Send(a.soon(), m); err != nil {
		return fmt.Errorf("cannot send %s: %w", quote(body), err)
	}
	if !a.conn.Info().Lockstep {
		return nil
	}
	answer, err := a.recv(a.soon())
	if err != nil {
		return fmt.Errorf("nothing came back for %s, which ends its turn: %w", quote(body), err)
	}
	if len(answer) > 0 {
		a.heard = append(a.heard, answer)
	}
	return nil
}

// recv returns the next body of the server that is not a call of its own.
func (a *asker) recv(ctx context.Context) ([]byte, error) {
	for {
		m, err := a.conn.Recv(ctx)
		if err != nil {
			return nil, err
		}
		_ = m.Settle(transport.Accepted)
		if !isCall(m.Body) {
			return m.Body, nil
		}
	}
}

// hear returns the next body within ctx.
func (a *asker) hear(ctx context.Context) ([]byte, error) {
	if len(a.heard) > 0 {
		first := a.heard[0]
		a.heard = a.heard[1:]
		return first, nil
	}
	if a.conn.Info().Lockstep {
		return nil, fmt.Errorf("its turn is over: %w", context.DeadlineExceeded)
	}
	return a.recv(ctx)
}

// answer says a body and returns what comes back, in the words of show. It fails
// the rule for good when nothing does.
func (a *asker) answer(body string) string {
	a.Helper()
	if err := a.say(body); err != nil {
		a.Fatalf("%v", err)
	}
	return a.next(body)
}

// next returns the next answer, which must come, to one of those said before body.
func (a *asker) next(body string) string {
	a.Helper()
	got, err := a.hear(a.soon())
	if err != nil {
		a.Fatalf("no answer to %s: %v", quote(body), err)
	}
	return show(got)
}

// silent checks that nothing has come by the time a further request is answered.
func (a *asker) silent(about string) {
	a.Helper()
	a.fences++
	id := fmt.Sprintf(`"fence %d"`, a.fences)
	fence := request(noMethod, "", id)
	if err := a.say(fence); err != nil {
		a.Fatalf("after %s: %v", quote(about), err)
	}
	for {
		got := a.next(fence)
		if strings.HasPrefix(got, id) {
			return
		}
		a.Errorf("%s got %s, want nothing", quote(about), clip(got))
	}
}

// nothingMore checks at the end of a rule that nothing else comes.
func (a *asker) nothingMore() {
	a.Helper()
	a.silent("all of it")
	ctx := a.within(afterwards)
	for {
		got, err := a.hear(ctx)
		if err != nil {
			return
		}
		a.Errorf("after everything else came %s, which answers nothing", clip(show(got)))
	}
}

// quote shows a body: as it is, if it can be read.
func quote(body string) string {
	if len(body) > 200 || !utf8.ValidString(body) || strings.ContainsFunc(body, unicode.IsControl) || strings.TrimSpace(body) == "" {
		return brief([]byte(body))
	}
	return body
}

// clip is s, cut where a person has to read it.
func clip(s string) string {
	const enough = 300
	if len(s) <= enough {
		return s
	}
	return fmt.Sprintf("%s… (%d bytes)", s[:enough], len(s))
}

// request writes a request without white space. Empty params and an empty id are
// left out.
func request(method, params, id string) string {
	s := `{"jsonrpc":"2.0","method":"` + method + `"`
	if params != "" {
		s += `,"params":` + params
	}
	if id != "" {
		s += `,"id":` + id
	}
	return s + "}"
}

// A probe is a body and what may come back for it, in the words of show. Without
// any nothing may.
type probe struct {
	body string
	want []string
}

// A probe of one of the errors that a request can be refused by, with its id or,
// if it has none that can be read, null.
func refused(body, id string, codes ...int) probe {
	p := probe{body: body}
	for _, code := range codes {
		p.want = append(p.want, fmt.Sprintf("%s!%d", id, code))
	}
	return p
}

// check says the body and judges what comes back.
func (a *asker) check(p probe) {
	a.Helper()
	if p.want == nil {
		if err := a.say(p.body); err != nil {
			a.Fatalf("%v", err)
		}
		a.silent(p.body)
		return
	}
	if got := a.answer(p.body); !slices.Contains(p.want, got) {
		a.Errorf("%s got %s, want %s", quote(p.body), clip(got), clip(strings.Join(p.want, " or ")))
	}
}

// asks makes the check of a rule that is a table.
func asks(probes ...probe) func(*rig) {
	return func(r *rig) {
		a := r.asker()
		for _, p := range probes {
			a.check(p)
		}
		a.nothingMore()
	}
}

// asksEcho is asks for a table that calls Echo.
func asksEcho(probes ...probe) func(*rig) {
	return func(r *rig) {
		a := r.asker()
		a.wantEcho()
		for _, p := range probes {
			a.check(p)
		}
		a.nothingMore()
	}
}

// wantEcho skips the rule if the server has no method Echo.
func (a *asker) wantEcho() {
	a.Helper()
	if got := a.answer(request("Echo", "[1]", "1")); got == "1!-32601" {
		a.skipf("the server has no method Echo, which gives back its params")
	}
}
