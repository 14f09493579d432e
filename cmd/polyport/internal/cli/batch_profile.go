package cli

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// A request is one of a batch for an older system.
type request struct {
	ID     json.RawMessage `json:"id,omitempty"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
}

// An answer is what came of one of them.
type answer struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   any             `json:"error,omitempty"`
}

// byRequests sends the requests of a batch to an older system, which takes no array
// and may confuse the ids of its clients: each alone, with an id of its own. The
// answers have those of the array.
func (v *batch) byRequests(ctx context.Context, e *environment, conn transport.Conn, body []byte) error {
	var requests []request
	if err := json.Unmarshal(body, &requests); err != nil {
		return usagef("the requests go one by one, for the profile; expected of each id, method and params: %w", err)
	}
	c := rpc.NewClient(conn, &rpc.ClientOptions{Durable: v.Durable})
	defer func() { _ = c.Close() }()
	b := new(rpc.Batch)
	results := make([]*queue.Future[json.RawMessage], len(requests))
	for i, r := range requests {
		var params any
		if r.Params != nil {
			params = r.Params
		}
		switch {
		case r.Method == "":
			return usagef("request %d of the batch has no method", i)
		case r.ID == nil:
			b.Notify(r.Method, params)
		default:
			results[i] = rpc.Add[json.RawMessage](b, r.Method, params)
		}
	}
	if b.Len() == 0 {
		return usagef("the batch is empty, for which there is no answer with this profile")
	}
	if err := c.Do(ctx, b); err != nil {
		return callError(err, v.URL)
	}
	answers, failed, err := collect(ctx, requests, results)
	if err != nil {
		return callError(err, v.URL)
	}
	if len(answers) > 0 {
		writeJSON(e.stdout, answers)
	}
	if failed {
		return errReported
	}
	return nil
}

// collect returns the answers, and whether one is an error. A request without an
// answer is an error of its own.
func collect(ctx context.Context, requests []request, results []*queue.Future[json.RawMessage]) (all []answer, failed bool, err error) {
	for i, f := range results {
		if f == nil {
			continue
		}
		result, err := f.Get(ctx)
		fault, answered := errors.AsType[*rpc.Error](err)
		a := answer{Version: "2.0", ID: requests[i].ID, Result: result}
		switch {
		case answered:
			a.Result, a.Error, failed = nil, errorObject(fault), true
		case err != nil:
			return nil, false, err
		}
		all = append(all, a)
	}
	return all, failed, nil
}
