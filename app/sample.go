package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/polyport/polyport/rpc"
)

// Methods adds methods to the server's mux. Every Methods in the fx group
// "methods" is called once; see [AsMethods].
type Methods func(*rpc.Mux) error

// maxSleep bounds how long one Sleep or Task.Run can hold a worker.
const maxSleep = time.Hour

// SampleMethods returns the sample services:
//
//	Echo      any params                          → the params, unchanged; null without any
//	Math.Sum  [1, 2, 3]                           → 6
//	Sleep     {"ms": n} or [n]                    → n, after n milliseconds; at most an hour
//	Fail      {"code": c, "message": m, "data": d} → that error; data may be left out
//	Call.Back {"method": m, "params": p} → what the caller answers to that call
//	Task.Run  {"ms": n, "id": i}                  → n, after n milliseconds; at most an hour
//
// Task.Run is a long job: a caller who gives it a handle can leave and come back
// for the result ([rpc.Detach]). It publishes how far it is,
// {"id":i,"done_ms":d,"ms":n}, on the topic task.i as it begins and after each
// tenth. A caller who leaves the id out finds a fresh one in the first event that
// task.* has of it.
//
// Fail and Call.Back take their params by position, too. Other params are refused
// with [rpc.CodeInvalidParams], null among them if the mux validates.
func SampleMethods() Methods {
	return func(m *rpc.Mux) error {
		rpc.Handle(m, "Echo", echo)
		rpc.Handle(m, "Math.Sum", sum)
		rpc.Handle(m, "Sleep", sleep)
		rpc.Handle(m, "Fail", fail)
		rpc.Handle(m, "Call.Back", callBack)
		rpc.Handle(m, "Task.Run", runTask)
		describeSamples(m)
		return nil
	}
}

func echo(_ context.Context, params json.RawMessage) (json.RawMessage, error) { return params, nil }

func invalid(why string) error { return rpc.Errorf(rpc.CodeInvalidParams, "invalid params: %s", why) }

func sum(_ context.Context, numbers []float64) (float64, error) {
	if numbers == nil {
		return 0, invalid("expected an array of numbers")
	}
	total := 0.0
	for _, n := range numbers {
		total += n
	}
	if math.IsInf(total, 0) || math.IsNaN(total) {
		return 0, rpc.Errorf(rpc.CodeHandler, "the sum is out of range")
	}
	return total, nil
}

type sleepParams struct {
	MS int64 `json:"ms" jsonschema:"How many milliseconds, from 0 to 3600000."`
}

func sleep(ctx context.Context, p sleepParams) (int64, error) {
	if p.MS < 0 || p.MS > maxSleep.Milliseconds() {
		return 0, invalid(fmt.Sprintf(`"ms" must be a number of milliseconds from 0 to %d`, maxSleep.Milliseconds()))
	}
	timer := time.NewTimer(time.Duration(p.MS) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return p.MS, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

type failParams struct {
	Code    int             `json:"code"           jsonschema:"The code of the error."`
	Message string          `json:"message"        jsonschema:"Its message."`
	Data    json.RawMessage `json:"data,omitempty" jsonschema:"Its data, any JSON value."`
}

func fail(_ context.Context, p failParams) (any, error) {
	return nil, &rpc.Error{Code: rpc.Code(p.Code), Message: p.Message, Data: p.Data}
}

type callBackParams struct {
	Method string          `json:"method"`
	Params json.RawMessage `json:"params,omitempty"`
}

// callBack calls its caller. The caller's error is passed on as it is.
func callBack(ctx context.Context, p callBackParams) (json.RawMessage, error) {
	req, ok := rpc.FromContext(ctx)
	if !ok {
		return nil, errors.New("there is no caller to call back")
	}
	var params any
	if len(p.Params) > 0 && string(p.Params) != "null" {
		params = p.Params
	}
	var result json.RawMessage
	err := req.Client().Call(ctx, p.Method, params, &result)
	if errors.Is(err, rpc.ErrParams) {
		return nil, invalid(`"params" must be an array or an object`)
	}
	return result, err
}
