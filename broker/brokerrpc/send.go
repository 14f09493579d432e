package brokerrpc

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// Method is the name of the method.
const Method = "broker.send"

// The codes of messages that the broker does not take, besides [rpc.CodeBusy] if there
// is no room and [rpc.CodeInvalidParams] for what it never takes.
const (
	CodeDenied  rpc.Code = 403 // the caller may not send there
	CodeNoRoute rpc.Code = 404 // there is no such place
)

// params are what the method takes.
type params struct {
	To string `json:"to"`
	// At most one of these three is there; without any the body is empty.
	Body   json.RawMessage `json:"body,omitzero"`   // any JSON value, as it is
	Text   *string         `json:"text,omitzero"`   // in UTF-8
	Base64 *[]byte         `json:"base64,omitzero"` // any bytes

	Headers map[string]string `json:"headers,omitzero"`
	// ContentType is application/json for a body and text/plain for a text, if it is
	// not there.
	ContentType string `json:"content_type,omitzero"`
	ReplyTo     string `json:"reply_to,omitzero"`
	ExpiresMS   int64  `json:"expires_ms,omitzero"` // 0 means never
}

// Register adds the method broker.send, which sends to b with the rights of its
// caller:
//
//	{"to": T, "body": any or "text": T or "base64": T, "headers": {T: T},
//	 "content_type": T, "reply_to": T, "expires_ms": n}
//
// All but "to" may be left out. The result is null once the broker has the message. If
// the caller's deadline passes first, it may get there all the same. A request
// that came through a broker is refused with [CodeDenied]: nobody knows whose rights
// it has. It panics if the name is taken.
func Register(mux *rpc.Mux, b transport.Broker) {
	rpc.Handle(mux, Method, func(ctx context.Context, p params) (any, error) {
		r, _ := rpc.FromContext(ctx)
		if r.Brokered {
			return nil, rpc.Errorf(CodeDenied, "%s is not for requests that came through a broker: send to %.100q yourself", Method, p.To)
		}
		m, err := p.message()
		if err != nil {
			return nil, err
		}
		return nil, send(ctx, b, r.Info, m)
	})
}

// message is the one that p describes.
func (p *params) message() (*transport.Message, error) {
	m := &transport.Message{To: p.To, ReplyTo: p.ReplyTo, ContentType: p.ContentType}
	bodies, usual := 0, ""
	if p.Base64 != nil {
		m.Body = *p.Base64
		bodies++
	}
	if p.Text != nil {
		m.Body, usual = []byte(*p.Text), "text/plain"
		bodies++
	}
	if p.Body != nil {
		m.Body, usual = p.Body, "application/json"
		bodies++
	}
	const most = int64(1<<63-1) / int64(time.Millisecond)
	switch {
	case p.To == "":
		return nil, rpc.Errorf(rpc.CodeInvalidParams, `"to" is empty: want a destination, such as "/topic/news"`)
	case bodies > 1:
		return nil, rpc.Errorf(rpc.CodeInvalidParams, `want one of "body", "text" and "base64"`)
	case p.ExpiresMS < 0 || p.ExpiresMS > most:
		return nil, rpc.Errorf(rpc.CodeInvalidParams, `"expires_ms" must be from 0 to %d`, most)
	case p.ExpiresMS > 0:
		m.Expires = time.Now().Add(time.Duration(p.ExpiresMS) * time.Millisecond)
	}
	if m.ContentType == "" {
		m.ContentType = usual
	}
	for _, name := range slices.Sorted(maps.Keys(p.Headers)) {
		m.Headers = append(m.Headers, transport.Header{Name: name, Value: p.Headers[name]})
	}
	return m, nil
}

// send hands m over and waits until the broker has it.
func send(ctx context.Context, b transport.Broker, info *transport.Info, m *transport.Message) error {
	session := b.Join(info)
	defer session.Leave()
	done := make(chan error, 1)
	to := m.To
	session.Send(m, func(err error) { done <- err })
	select {
	case err := <-done:
		return refusal(to, err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// refusal is the error object for why the broker did not take a message.
func refusal(to string, err error) error {
	code := rpc.CodeHandler
	switch {
	case err == nil:
		return nil
	case errors.Is(err, transport.ErrBusy):
		code = rpc.CodeBusy
	case errors.Is(err, transport.ErrRefused):
		code = CodeDenied
	case errors.Is(err, transport.ErrNoRoute):
		code = CodeNoRoute
	case errors.Is(err, transport.ErrTooLarge), errors.Is(err, transport.ErrInvalid):
		code = rpc.CodeInvalidParams
	}
	return rpc.Errorf(code, "the broker did not take the message to %.100q: %v", to, err)
}
