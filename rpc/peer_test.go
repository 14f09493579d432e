package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// A peer is one end of a connection, at which a test says bodies and hears
// bodies as they are.
type peer struct {
	t    testing.TB
	conn transport.Conn
	to   string // where what is said goes
	back string // where answers to it are wanted
	// about is the CorrelationID of what is said.
	about  transport.ID
	fences int
}

// peer dials, as the caller of a server.
func (h *host) peer() *peer {
	h.t.Helper()
	return newPeer(h.t, h.conn(still()))
}

func newPeer(tb testing.TB, conn transport.Conn) *peer {
	tb.Helper()
	p := &peer{t: tb, conn: conn}
	if a, ok := transport.As[transport.ReplyAddresser](conn); ok {
		var err error
		if p.back, err = a.ReplyAddress(tb.Context()); err != nil {
			tb.Fatal(err)
		}
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return p
}

// scripted returns a client, and the other end of its connection in the hands
// of the test.
func scripted(tb testing.TB, w wire, o *rpc.ClientOptions) (*rpc.Client, *peer) {
	tb.Helper()
	l := w.open(tb, &transport.ListenOptions{Options: still()})
	tb.Cleanup(func() { _ = l.Close() })
	conn, err := l.dial(tb.Context(), &transport.DialOptions{Options: still()})
	if err != nil {
		tb.Fatal(err)
	}
	c := rpc.NewClient(conn, o)
	tb.Cleanup(func() { _ = c.Close() }) // after p has closed, which takes no time
	far, err := l.Accept(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	p := newPeer(tb, far)
	if conn.Info().Addressed {
		a, _ := transport.As[transport.ReplyAddresser](conn)
		p.to, _ = a.ReplyAddress(tb.Context())
	}
	return c, p
}

// say sends a body.
func (p *peer) say(body string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	m := &transport.Message{To: p.to, ReplyTo: p.back, CorrelationID: p.about, Body: []byte(body)}
	if err := p.conn.Send(ctx, m); err != nil {
		p.t.Fatalf("say %.200s: %v", body, err)
	}
}

// hear returns the next body. What is said from then on is about it.
func (p *peer) hear() string {
	p.t.Helper()
	body, err := p.listen(patience)
	if err != nil {
		p.t.Fatalf("hear: %v", err)
	}
	return body
}

func (p *peer) listen(d time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	m, err := p.conn.Recv(ctx)
	if err != nil {
		return "", err
	}
	_ = m.Settle(transport.Accepted)
	if m.ReplyTo != "" {
		p.to = m.ReplyTo
	}
	p.about = m.CorrelationID
	return string(m.Body), nil
}

// ask says a body and returns, in the notation of brief, all that is heard
// until the peer has dealt with it. The peer must serve the methods of
// journal.mux, one request after the other.
func (p *peer) ask(body string) []string {
	p.t.Helper()
	p.say(body)
	p.fences++
	fence := fmt.Sprintf(`"fence %d"`, p.fences)
	p.say(`{"jsonrpc":"2.0","method":"Fence","id":` + fence + `}`)
	var heard []string
	for {
		b := brief(p.hear())
		if b == fence+"=null" {
			return heard
		}
		heard = append(heard, b)
	}
}

// A request is what a test hears from a client.
type request struct {
	ID, Params jsontext.Value
	Method     string
}

// hearRequest returns the next body, which must be one request or notification.
func (p *peer) hearRequest() request {
	p.t.Helper()
	return p.parse(p.hear(), new([1]request)[:])[0]
}

// hearBatch returns the next body, which must be a batch.
func (p *peer) hearBatch() []request {
	p.t.Helper()
	return p.parse(p.hear(), nil)
}

func (p *peer) parse(body string, one []request) []request {
	p.t.Helper()
	text := body
	if one != nil {
		text = "[" + body + "]"
	}
	var all []struct {
		JSONRPC string         `json:"jsonrpc"`
		ID      jsontext.Value `json:"id"`
		Method  string         `json:"method"`
		Params  jsontext.Value `json:"params"`
	}
	if err := json.Unmarshal([]byte(text), &all, json.RejectUnknownMembers(true)); err != nil {
		p.t.Fatalf("heard %.200s, want requests: %v", body, err)
	}
	requests := make([]request, len(all))
	for i, r := range all {
		if r.JSONRPC != "2.0" || r.Method == "" {
			p.t.Fatalf("heard %.200s, want requests", body)
		}
		requests[i] = request{ID: r.ID, Params: r.Params, Method: r.Method}
	}
	return requests
}

// answer answers r with a result.
func (p *peer) answer(r request, result string) {
	p.t.Helper()
	p.say(resultOf(r, result))
}

func resultOf(r request, result string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, r.ID, result)
}

func errorOf(r request, fault string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":%s}`, r.ID, fault)
}

// brief writes an answer in short: ID=RESULT or ID!CODE, with the data of the
// error behind it if there is any, and [A, B] for an array of answers. What
// the specification does not allow in an answer (section 5) becomes "BAD …".
func brief(body string) string {
	if !strings.HasPrefix(body, "[") {
		s, err := briefOne([]byte(body))
		if err != nil {
			return fmt.Sprintf("BAD %s (%v)", body, err)
		}
		return s
	}
	var all []jsontext.Value
	if err := json.Unmarshal([]byte(body), &all); err != nil {
		return fmt.Sprintf("BAD %s (%v)", body, err)
	}
	for i, one := range all {
		all[i] = []byte(brief(string(one)))
	}
	var b strings.Builder
	for i, one := range all {
		if i > 0 {
			b.WriteString(", ")
		}
		b.Write(one)
	}
	return "[" + b.String() + "]"
}

func briefOne(body []byte) (string, error) {
	var r struct {
		JSONRPC jsontext.Value `json:"jsonrpc"`
		ID      jsontext.Value `json:"id"`
		Result  jsontext.Value `json:"result"`
		Error   *struct {
			Code    *int           `json:"code"`
			Message *string        `json:"message"`
			Data    jsontext.Value `json:"data"`
		} `json:"error"`
	}
	if err := json.Unmarshal(body, &r, json.RejectUnknownMembers(true)); err != nil {
		return "", err
	}
	switch {
	case string(r.JSONRPC) != `"2.0"`:
		return "", errors.New("not version 2.0")
	case r.ID == nil:
		return "", errors.New("no id")
	case (r.Result == nil) == (r.Error == nil):
		return "", errors.New("result and error, or neither")
	case r.Error == nil:
		return fmt.Sprintf("%s=%s", r.ID, r.Result), nil
	case r.Error.Code == nil || r.Error.Message == nil || *r.Error.Message == "":
		return "", errors.New("no code or message")
	}
	return fmt.Sprintf("%s!%d%s", r.ID, *r.Error.Code, string(r.Error.Data)), nil
}
