package rpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/rpc"
)

// A logBook is what was logged, as text.
type logBook struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBook) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

type (
	// badMarshaler cannot be encoded, in the way that it says.
	badMarshaler string
	// nilError is an error whose text cannot be had of a nil pointer.
	nilError struct{ text string }
)

func (b badMarshaler) MarshalJSON() ([]byte, error) {
	switch b {
	case "panic":
		panic("as expected")
	case "garbage":
		return []byte("{"), nil
	}
	return nil, errors.New("bad marshaler")
}

func (e *nilError) Error() string { return e.text }

// TestHandlerErrors: what a handler returns becomes an error object, and is
// an *rpc.Error at the caller.
func TestHandlerErrors(t *testing.T) {
	inTrouble := func(err error) func() (any, error) {
		return func() (any, error) { return nil, err }
	}
	result := func(v any) func() (any, error) {
		return func() (any, error) { return v, nil }
	}
	data := json.RawMessage(`{"a":[1]}`)
	for _, tt := range []struct {
		name    string
		fn      func() (any, error)
		code    rpc.Code
		message string // a part of it
		data    string
	}{
		{"Error", inTrouble(&rpc.Error{Code: 7, Message: "seven", Data: data}), 7, "seven", `{"a":[1]}`},
		{"Error with code 0 and no message", inTrouble(&rpc.Error{}), 0, "", ""},
		{"Errorf", inTrouble(rpc.Errorf(-32602, "no %s", "y")), -32602, "no y", ""},
		{"wrapped Error", inTrouble(fmt.Errorf("while: %w", &rpc.Error{Code: 7, Message: "seven"})), 7, "seven", ""},
		{"joined Error", inTrouble(errors.Join(errPlain, &rpc.Error{Code: 7, Message: "seven"})), 7, "seven", ""},
		{"Error with invalid data", inTrouble(&rpc.Error{Code: 7, Message: "seven", Data: json.RawMessage("{")}), 7, "seven", ""},
		{"Error with two data", inTrouble(&rpc.Error{Code: 7, Message: "seven", Data: json.RawMessage("1 2")}), 7, "seven", ""},
		{"Error with data null", inTrouble(&rpc.Error{Code: 7, Message: "seven", Data: json.RawMessage("null")}), 7, "seven", "null"},
		{"Error with text that is not UTF-8", inTrouble(&rpc.Error{Code: 7, Message: "a\xffb"}), 7, "a\ufffdb", ""},
		{"plain error", inTrouble(errPlain), rpc.CodeHandler, "plain error", ""},
		{"wrapped plain error", inTrouble(fmt.Errorf("while: %w", errPlain)), rpc.CodeHandler, "while: plain error", ""},
		{"deadline", inTrouble(fmt.Errorf("while: %w", context.DeadlineExceeded)), rpc.CodeDeadline, "deadline exceeded", ""},
		{"cancelled", inTrouble(fmt.Errorf("while: %w", context.Canceled)), rpc.CodeCancelled, "cancelled", ""},
		{"error with a result", func() (any, error) { return 5, errPlain }, rpc.CodeHandler, "plain error", ""},
		{"nil *Error", inTrouble((*rpc.Error)(nil)), rpc.CodeInternal, "", ""},
		{"error that panics", inTrouble((*nilError)(nil)), rpc.CodeInternal, "", ""},
		{"panic", func() (any, error) { panic("secret") }, rpc.CodeInternal, "internal error", ""},
		{"panic with an error", func() (any, error) { panic(errPlain) }, rpc.CodeInternal, "internal error", ""},
		{"panic with an Error", func() (any, error) { panic(&rpc.Error{Code: 7}) }, rpc.CodeInternal, "internal error", ""},
		{"panic with nil", func() (any, error) { panic(nil) }, rpc.CodeInternal, "internal error", ""},
		{"panic of the runtime", func() (any, error) { var list []int; return list[cap(list)], nil }, rpc.CodeInternal, "internal error", ""},
		{"goexit", func() (any, error) { runtime.Goexit(); return nil, nil }, rpc.CodeInternal, "", ""},
		{"result chan", result(make(chan int)), rpc.CodeInternal, "cannot be encoded", ""},
		{"result func", result(func() {}), rpc.CodeInternal, "cannot be encoded", ""},
		{"result NaN", result(math.NaN()), rpc.CodeInternal, "cannot be encoded", ""},
		{"result not UTF-8", result("a\xffb"), rpc.CodeInternal, "cannot be encoded", ""},
		{"result half encodable", result([]any{1, "a", make(chan int)}), rpc.CodeInternal, "cannot be encoded", ""},
		{"result whose marshaler fails", result(badMarshaler("")), rpc.CodeInternal, "bad marshaler", ""},
		{"result whose marshaler panics", result(badMarshaler("panic")), rpc.CodeInternal, "internal error", ""},
		{"result whose marshaler writes garbage", result(badMarshaler("garbage")), rpc.CodeInternal, "cannot be encoded", ""},
		{"raw result not JSON", result(json.RawMessage("{")), rpc.CodeInternal, "cannot be encoded", ""},
		{"raw result of two texts", result(json.RawMessage("1 2")), rpc.CodeInternal, "cannot be encoded", ""},
		{"raw result not UTF-8", result(json.RawMessage("\"\xff\"")), rpc.CodeInternal, "cannot be encoded", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, w wire) {
				mux := rpc.NewMux(nil)
				rpc.Handle(mux, "m", func(context.Context, struct{}) (any, error) { return tt.fn() })
				c := serve(t, w, mux, nil).client(nil)
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				_, err := rpc.Call[any](ctx, c, "m", nil)
				isOutcome(t, "m", err, rpc.Answered)
				e := isCode(t, "m", err, tt.code)
				if !strings.Contains(e.Message, tt.message) || strings.Contains(e.Message, "secret") {
					t.Errorf("message = %q, want one with %q", e.Message, tt.message)
				}
				if string(e.Data) != tt.data {
					t.Errorf("data = %s, want %q", e.Data, tt.data)
				}
				// It serves on, and has nothing in flight: Shutdown ends when the test does.
				isCode(t, "another", c.Call(ctx, "nope", nil, nil), rpc.CodeMethodNotFound)
			})
		})
	}
}

// TestHandlerResults: results of all kinds arrive as they were returned.
func TestHandlerResults(t *testing.T) {
	mux := rpc.NewMux(nil)
	raw := func(name, text string) {
		rpc.Handle(mux, name, func(context.Context, struct{}) (json.RawMessage, error) { return json.RawMessage(text), nil })
	}
	raw("raw", ` {"a" : [1, 2.50]} `)
	raw("raw empty", "")
	raw("raw bad", "{")
	raw("raw two", "1 2")
	rpc.Handle(mux, "raw nil", func(context.Context, struct{}) (json.RawMessage, error) { return nil, nil })
	rpc.Handle(mux, "any nil", func(context.Context, struct{}) (any, error) { return nil, nil })
	rpc.Handle(mux, "any raw", func(context.Context, struct{}) (any, error) { return json.RawMessage(`{"a":1}`), nil })
	rpc.Handle(mux, "pointer nil", func(context.Context, struct{}) (*point, error) { return nil, nil })
	rpc.Handle(mux, "pointer", func(context.Context, struct{}) (*point, error) { return &point{1, 2}, nil })
	rpc.Handle(mux, "struct", func(context.Context, struct{}) (point, error) { return point{1, 2}, nil })
	rpc.Handle(mux, "slice nil", func(context.Context, struct{}) ([]int, error) { return nil, nil })
	rpc.Handle(mux, "nothing", func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil })
	rpc.Handle(mux, "text", func(context.Context, struct{}) (string, error) { return "\"<\u2028>\"\n😀", nil })
	c := serve(t, memURL, mux, nil).client(nil)
	for method, want := range map[string]string{
		"raw": `{"a" : [1, 2.50]}`, "raw empty": `null`, "raw nil": `null`, "any nil": `null`, "any raw": `{"a":1}`,
		"pointer nil": `null`, "pointer": `{"x":1,"y":2}`, "struct": `{"x":1,"y":2}`, "slice nil": `[]`, "nothing": `{}`,
		"text": "\"\\\"<\u2028>\\\"\\n😀\"",
	} {
		got, err := rpc.Call[json.RawMessage](t.Context(), c, method, nil)
		if err != nil || string(got) != want {
			t.Errorf("%s = %s, %v, want %s, nil", method, got, err, want)
		}
	}
	for _, method := range []string{"raw bad", "raw two"} {
		isCode(t, method, c.Call(t.Context(), method, nil, nil), rpc.CodeInternal)
	}
}

// TestHandlerPanicIsLogged: what the caller is not told, the log has.
func TestHandlerPanicIsLogged(t *testing.T) {
	var log logBook
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "crash", func(context.Context, struct{}) (any, error) { panic("the secret") })
	c := serve(t, memURL, mux, &rpc.ServerOptions{Logger: log.logger()}).client(nil)
	isCode(t, "crash", c.Call(t.Context(), "crash", nil, nil), rpc.CodeInternal)
	for _, want := range []string{"handler panicked", "method=crash", "the secret", "handler_test.go"} {
		if got := log.String(); strings.Count(got, want) == 0 {
			t.Errorf("the log has no %q; it is:\n%s", want, got)
		}
	}
}

// countingCodec counts what it is used for.
type countingCodec struct {
	rpc.Codec
	mu   sync.Mutex
	uses []string
}

func (c *countingCodec) note(use string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.uses = append(c.uses, use)
}

func (c *countingCodec) Append(dst []byte, v any) ([]byte, error) {
	c.note("append")
	return c.Codec.Append(dst, v)
}

func (c *countingCodec) Decode(data []byte, v any) error {
	c.note("decode")
	return c.Codec.Decode(data, v)
}

func (c *countingCodec) DecodeStrict(data []byte, v any) error {
	c.note("decode strictly")
	return c.Codec.DecodeStrict(data, v)
}

func TestCodec(t *testing.T) {
	for _, tt := range []struct {
		lenient      bool
		server, want []string
	}{
		{false, []string{"decode strictly", "append"}, []string{"append", "decode"}},
		{true, []string{"decode", "append"}, []string{"append", "decode"}},
	} {
		at, from := &countingCodec{Codec: rpc.JSON()}, &countingCodec{Codec: rpc.JSON()}
		mux := rpc.NewMux(&rpc.MuxOptions{Codec: at, Lenient: tt.lenient})
		rpc.Handle(mux, "Echo", func(_ context.Context, p []int) ([]int, error) { return p, nil })
		c := serve(t, memURL, mux, nil).client(&rpc.ClientOptions{Codec: from})
		if got, err := rpc.Call[[]int](t.Context(), c, "Echo", []int{1}); err != nil || len(got) != 1 {
			t.Errorf("Echo = %v, %v, want [1], nil", got, err)
		}
		if diff := cmp.Diff(tt.server, at.uses); diff != "" {
			t.Errorf("lenient %v: uses at the server (-want +got):\n%s", tt.lenient, diff)
		}
		if diff := cmp.Diff(tt.want, from.uses); diff != "" {
			t.Errorf("lenient %v: uses at the client (-want +got):\n%s", tt.lenient, diff)
		}
	}
}
