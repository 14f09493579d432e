package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

type batch struct {
	common

	URL  target `arg:"" help:"SCHEME://[USER:PASSWORD@]HOST:PORT[/DESTINATION]"`
	File string `arg:"" optional:"" default:"-" help:"A file with a JSON array of requests; - is standard input."`

	Durable bool `help:"Ask a broker to keep the request across its restart."`
}

// Help is shown by batch --help.
func (*batch) Help() string {
	return `The array is sent as it is, with the ids that it has, and the array of answers is printed as it came. Nothing is
printed if all requests are notifications. To an older system (?profile=) the requests go one by one. Exit status 1
says that an answer is an error.

Example:

    echo '[{"jsonrpc":"2.0","id":"a","method":"Echo","params":[1]}]' | polyport batch stomp://127.0.0.1:7070`
}

func (v *batch) run(ctx context.Context, e *environment) error {
	body, err := v.read(e.stdin)
	if err != nil {
		return err
	}
	requests, err := batchOf(body)
	if err != nil {
		return err
	}
	ctx, cancel := v.bound(ctx)
	defer cancel()
	conn, err := v.connect(ctx, v.URL)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if conn.Info().Profile != "" {
		return v.byRequests(ctx, e, conn, body)
	}
	if !wantsAnswer(requests) {
		return v.sendOnly(ctx, conn, v.message(body))
	}
	answer, err := exchange(ctx, conn, v.message(body))
	if err != nil {
		return v.failed(err)
	}
	if err := printJSON(e, answer); err != nil {
		return err
	}
	if hasError(answer) {
		return errReported
	}
	return nil
}

// read reads the file, as much as one message may hold.
func (v *batch) read(stdin io.Reader) ([]byte, error) {
	in := stdin
	if v.File != "-" {
		f, err := os.Open(v.File)
		if err != nil {
			return nil, usagef("cannot read the batch: %w", err)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	limit := transport.Limits{}.WithDefaults().Message
	body, err := io.ReadAll(io.LimitReader(in, int64(limit)+1))
	switch {
	case err != nil:
		return nil, usagef("cannot read the batch: %w", err)
	case len(body) > limit:
		return nil, usagef("the batch is larger than %d bytes; send it in parts", limit)
	}
	return body, nil
}

// batchOf checks that body is a JSON array and returns its elements.
func batchOf(body []byte) ([]json.RawMessage, error) {
	const example = `expected a JSON array of requests, such as [{"jsonrpc":"2.0","id":1,"method":"Echo","params":[1]}]`
	raw := jsontext.Value(body)
	if err := syntax(raw); err != nil {
		return nil, usagef("the batch is not JSON: %w; %s", err, example)
	}
	var requests []json.RawMessage
	if raw.Kind() != '[' || json.Unmarshal(body, &requests) != nil {
		return nil, usagef("%s", example)
	}
	return requests, nil
}

// wantsAnswer reports whether anything in a batch is answered: a call, and
// what is no request at all, but neither a notification nor a response.
func wantsAnswer(requests []json.RawMessage) bool {
	for _, raw := range requests {
		if !isNotification(raw) && !isResponse(raw) {
			return true
		}
	}
	return len(requests) == 0
}

func isNotification(raw []byte) bool {
	var m struct {
		Version any             `json:"jsonrpc"`
		Method  any             `json:"method"`
		Params  json.RawMessage `json:"params"`
	}
	if hasMember(raw, "id") || json.Unmarshal(raw, &m) != nil || m.Version != "2.0" {
		return false
	}
	_, named := m.Method.(string)
	kind := jsontext.Value(m.Params).Kind()
	return named && (m.Params == nil || kind == '[' || kind == '{')
}

func isResponse(raw []byte) bool {
	return !hasMember(raw, "method") && (hasMember(raw, "result") || hasMember(raw, "error"))
}

func hasMember(raw []byte, name string) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return false
	}
	_, has := members[name]
	return has
}

func (v *batch) message(body []byte) *transport.Message {
	return &transport.Message{ContentType: "application/json", Durable: v.Durable, Body: body}
}

// sendOnly sends a batch that has no answer.
func (v *batch) sendOnly(ctx context.Context, conn transport.Conn, m *transport.Message) error {
	err := conn.Send(ctx, m)
	if f, ok := transport.As[transport.Flusher](conn); ok && err == nil {
		err = f.Flush(ctx)
	}
	return v.failed(err)
}

// exchange sends m and returns the body of its answer.
func exchange(ctx context.Context, conn transport.Conn, m *transport.Message) ([]byte, error) {
	m.CorrelationID = transport.TextID("batch")
	if r, ok := transport.As[transport.ReplyAddresser](conn); ok {
		var err error
		if m.ReplyTo, err = r.ReplyAddress(ctx); err != nil {
			return nil, err
		}
	}
	if err := conn.Send(ctx, m); err != nil {
		return nil, err
	}
	for {
		answer, err := conn.Recv(ctx)
		if err != nil {
			return nil, sentError{err}
		}
		_ = answer.Settle(transport.Accepted)
		if isAnswer(answer.Body) {
			return answer.Body, nil
		}
	}
}

// sentError is a failure after the batch was sent.
type sentError struct{ error }

func (e sentError) Unwrap() error { return e.error }

// failed makes an unansweredError of a failure to exchange.
func (v *batch) failed(err error) error {
	if err == nil {
		return nil
	}
	outcome := rpc.Unknown
	if _, sent := errors.AsType[sentError](err); !sent && transport.NotSent(err) {
		outcome = rpc.NotSent
	}
	return unansweredError{outcome: outcome, to: v.URL, err: err}
}

// isAnswer tells a response, or an array of them, from a request of the peer.
func isAnswer(body []byte) bool {
	var all []json.RawMessage
	if json.Unmarshal(body, &all) != nil {
		return isResponse(body)
	}
	for _, m := range all {
		if !isResponse(m) {
			return false
		}
	}
	return true
}

// hasError reports whether an answer, or one in an array of them, is an error.
func hasError(body []byte) bool {
	var all []json.RawMessage
	if json.Unmarshal(body, &all) != nil {
		all = []json.RawMessage{body}
	}
	for _, m := range all {
		if hasMember(m, "error") {
			return true
		}
	}
	return false
}
