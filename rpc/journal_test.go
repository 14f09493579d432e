package rpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/polyport/polyport/rpc"
)

// A journal notes which methods were executed, and with what.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) note(method string, params any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf("%s%v", method, params))
}

// take returns the notes since the last take.
func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.lines
	j.lines = nil
	return lines
}

var errPlain = errors.New("plain error")

// mux returns the methods of the specification's examples (section 7), and
// some more that notify nobody but the journal.
func (j *journal) mux() *rpc.Mux {
	m := rpc.NewMux(nil)
	rpc.Handle(m, "sum", func(_ context.Context, terms []int) (int, error) {
		j.note("sum", terms)
		sum := 0
		for _, t := range terms {
			sum += t
		}
		return sum, nil
	})
	rpc.Handle(m, "subtract", func(_ context.Context, p struct {
		Minuend    int `json:"minuend"`
		Subtrahend int `json:"subtrahend"`
	},
	) (int, error) {
		j.note("subtract", []int{p.Minuend, p.Subtrahend})
		return p.Minuend - p.Subtrahend, nil
	})
	rpc.Handle(m, "get_data", func(context.Context, struct{}) ([]any, error) {
		j.note("get_data", "")
		return []any{"hello", 5}, nil
	})
	for _, name := range []string{"update", "notify_hello", "notify_sum"} {
		rpc.Handle(m, name, func(_ context.Context, p []int) (any, error) {
			j.note(name, p)
			return nil, nil
		})
	}
	rpc.Handle(m, "Echo", func(_ context.Context, p json.RawMessage) (json.RawMessage, error) {
		j.note("Echo", string(p))
		return p, nil
	})
	rpc.Handle(m, "Fail", func(context.Context, json.RawMessage) (any, error) {
		j.note("Fail", "")
		return nil, errPlain
	})
	rpc.Handle(m, "Panic", func(context.Context, struct{}) (any, error) {
		j.note("Panic", "")
		panic("as expected")
	})
	rpc.Handle(m, "Fence", func(context.Context, struct{}) (any, error) { return nil, nil })
	return m
}

// inTurn makes a server run the requests of a connection one after the other,
// which peer.ask needs.
func inTurn(l rpc.Limits) *rpc.ServerOptions { return &rpc.ServerOptions{Width: 1, Limits: l} }
