package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/rpc"
)

func TestSampleMethods(t *testing.T) {
	mine := rpc.NewMux(nil)
	rpc.Handle(mine, "Echo", func(_ context.Context, params json.RawMessage) (json.RawMessage, error) { return params, nil })
	c, err := rpc.Dial(t.Context(), start(t, app.Config{}).url(), &rpc.ClientOptions{Mux: mine})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	tests := []struct {
		name, method, params string
		result               string
		code                 rpc.Code
		message              string // part of it
		data                 string
	}{
		{name: "by position", method: "Echo", params: `[1.00, "é\u00e9", {"a":null}]`, result: `[1.00, "é\u00e9", {"a":null}]`},
		{name: "by name", method: "Echo", params: `{"b":1,"a":[]}`, result: `{"b":1,"a":[]}`},
		{name: "empty", method: "Echo", params: `[]`, result: `[]`},
		{name: "none", method: "Echo", result: `null`},

		{name: "whole numbers", method: "Math.Sum", params: `[1,2,3]`, result: `6`},
		{name: "fractions", method: "Math.Sum", params: `[0.5,-2,1e2]`, result: `98.5`},
		{name: "no numbers", method: "Math.Sum", params: `[]`, result: `0`},
		{name: "none", method: "Math.Sum", code: rpc.CodeInvalidParams, message: "array of numbers"},
		{name: "by name", method: "Math.Sum", params: `{"a":1}`, code: rpc.CodeInvalidParams, message: "array"},
		{name: "a text", method: "Math.Sum", params: `[1,"2"]`, code: rpc.CodeInvalidParams},
		{name: "null", method: "Math.Sum", params: `[1,null]`, code: rpc.CodeInvalidParams, message: "/1: expected a number, got null"},
		{name: "nested", method: "Math.Sum", params: `[[1]]`, code: rpc.CodeInvalidParams},
		{name: "too large a number", method: "Math.Sum", params: `[1e400]`, code: rpc.CodeInvalidParams},
		{name: "too large a sum", method: "Math.Sum", params: `[1e308,1e308]`, code: rpc.CodeHandler, message: "out of range"},

		{name: "by name", method: "Sleep", params: `{"ms":1}`, result: `1`},
		{name: "by position", method: "Sleep", params: `[0]`, result: `0`},
		{name: "none", method: "Sleep", code: rpc.CodeInvalidParams, message: "/ms"},
		{name: "null", method: "Sleep", params: `{"ms":null}`, code: rpc.CodeInvalidParams, message: "/ms"},
		{name: "before now", method: "Sleep", params: `[-1]`, code: rpc.CodeInvalidParams, message: "from 0 to 3600000"},
		{name: "over an hour", method: "Sleep", params: `[3600001]`, code: rpc.CodeInvalidParams},
		{name: "part of a millisecond", method: "Sleep", params: `[0.5]`, code: rpc.CodeInvalidParams},
		{name: "unknown name", method: "Sleep", params: `{"ms":1,"s":1}`, code: rpc.CodeInvalidParams},
		{name: "two", method: "Sleep", params: `[1,2]`, code: rpc.CodeInvalidParams},

		{name: "by name", method: "Task.Run", params: `{"ms":1}`, result: `1`},
		{name: "by position", method: "Task.Run", params: `[60]`, result: `60`},
		{name: "before now", method: "Task.Run", params: `[-1]`, code: rpc.CodeInvalidParams, message: "from 0 to 3600000"},

		{name: "by name", method: "Fail", params: `{"code":7,"message":"no"}`, code: 7, message: "no"},
		{name: "with data", method: "Fail", params: `{"code":-32000,"message":"","data":{"a":[1.0]}}`, code: -32000, data: `{"a":[1.0]}`},
		{name: "with data that is null", method: "Fail", params: `{"code":7,"message":"no","data":null}`, code: 7, message: "no", data: `null`},
		{name: "by position", method: "Fail", params: `[7,"no",1]`, code: 7, message: "no", data: `1`},
		{name: "without a message", method: "Fail", params: `{"code":7}`, code: rpc.CodeInvalidParams, message: "/message"},
		{name: "without a code", method: "Fail", params: `{"message":"no"}`, code: rpc.CodeInvalidParams, message: "/code"},
		{name: "code null", method: "Fail", params: `{"code":null,"message":"no"}`, code: rpc.CodeInvalidParams},
		{name: "code no whole number", method: "Fail", params: `{"code":1.5,"message":"no"}`, code: rpc.CodeInvalidParams},
		{name: "unknown name", method: "Fail", params: `{"code":1,"message":"no","date":1}`, code: rpc.CodeInvalidParams},

		{name: "by name", method: "Call.Back", params: `{"method":"Echo","params":[1]}`, result: `[1]`},
		{name: "by position", method: "Call.Back", params: `["Echo",{"a":1}]`, result: `{"a":1}`},
		{name: "without params", method: "Call.Back", params: `["Echo"]`, result: `null`},
		{name: "the caller's error", method: "Call.Back", params: `["none"]`, code: rpc.CodeMethodNotFound, message: "none"},
		{name: "scalar params", method: "Call.Back", params: `["Echo",1]`, code: rpc.CodeInvalidParams, message: "array or an object"},
		{name: "without a method", method: "Call.Back", params: `{}`, code: rpc.CodeInvalidParams, message: "/method"},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.name, func(t *testing.T) {
			var params any
			if tt.params != "" {
				params = json.RawMessage(tt.params)
			}
			got, err := rpc.Call[json.RawMessage](t.Context(), c, tt.method, params)
			if tt.result != "" {
				if string(got) != tt.result || err != nil {
					t.Errorf("%s(%s) = %s, %v, want %s", tt.method, tt.params, got, err, tt.result)
				}
				return
			}
			e, ok := errors.AsType[*rpc.Error](err)
			if !ok || e.Code != tt.code || !strings.Contains(e.Message, tt.message) || tt.code != rpc.CodeInvalidParams && string(e.Data) != tt.data {
				t.Errorf("%s(%s) = %s, %#v, want code %d, message with %q, data %q", tt.method, tt.params, got, err, tt.code, tt.message, tt.data)
			}
		})
	}
}

// A caller that goes away does not leave its Sleep behind in a worker.
func TestSleepEndsWithTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, app.Config{Listen: []string{"mem://sleep:0"}})
		c := dial(t, r.url(), nil)
		sleeping := rpc.Go[int](t.Context(), c, "Sleep", []int{3_600_000})
		synctest.Wait()
		_ = c.Close()
		if _, err := sleeping.Get(t.Context()); rpc.OutcomeOf(err) != rpc.Unknown {
			t.Errorf("Sleep of a closed client = %v, want an unknown outcome", err)
		}
		began := time.Now()
		if err := r.stop(); err != nil {
			t.Errorf("Stop() = %v, want nil", err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("Stop took %v, so Sleep went on", took)
		}
	})
}

// Task.Run goes on when its caller has gone, and the caller finds it again.
func TestTaskRunOutlivesTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, app.Config{Listen: []string{"mem://task:0"}})
		o := &rpc.DetachOptions{Handle: rpc.NewHandle()}
		first := dial(t, r.url(), nil)
		lost := rpc.Detach[int](t.Context(), first, "Task.Run", []int{60_000}, o)
		time.Sleep(59 * time.Second)
		_ = first.Close()
		if _, err := lost.Get(t.Context()); rpc.OutcomeOf(err) != rpc.Unknown {
			t.Errorf("Task.Run of a closed client = %v, want an unknown outcome", err)
		}
		began := time.Now()
		got, err := rpc.Detach[int](t.Context(), dial(t, r.url(), nil), "Task.Run", []int{60_000}, o).Get(t.Context())
		if got != 60_000 || err != nil || time.Since(began) > 2*time.Second {
			t.Errorf("Task.Run = %d, %v after %v more, want 60000, nil within 2s", got, err, time.Since(began))
		}
		if err := r.stop(); err != nil {
			t.Errorf("Stop() = %v, want nil", err)
		}
	})
}
