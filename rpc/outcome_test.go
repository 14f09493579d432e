package rpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// waysToCall are the ways in which a call can be made; all must tell the same
// of what became of it.
var waysToCall = []struct {
	name string
	call func(ctx context.Context, c *rpc.Client, params any) error
}{
	{"Call", func(ctx context.Context, c *rpc.Client, params any) error {
		return c.Call(ctx, "m", params, nil)
	}},
	{"Go", func(ctx context.Context, c *rpc.Client, params any) error {
		_, err := rpc.Go[any](ctx, c, "m", params).Get(context.Background())
		return err
	}},
	{"Do", func(ctx context.Context, c *rpc.Client, params any) error {
		var b rpc.Batch
		f := rpc.Add[any](&b, "m", params)
		b.Notify("n", nil)
		err := c.Do(ctx, &b)
		_, ferr, done := f.TryGet()
		switch {
		case !done:
			return errors.New("Do returned before its future was done")
		case err == nil && rpc.OutcomeOf(ferr) != rpc.Answered:
			return fmt.Errorf("Do() = nil, but no call was answered: %w", ferr)
		case err != nil && rpc.OutcomeOf(ferr) != rpc.OutcomeOf(err):
			return fmt.Errorf("Do() = %w, but its call says %w", err, ferr)
		}
		return ferr
	}},
	{"Notify", func(ctx context.Context, c *rpc.Client, params any) error {
		return c.Notify(ctx, "m", params)
	}},
}

// notSent are all the reasons for which a call never leaves.
var notSent = []struct {
	name   string
	params any
	// setUp prepares the connection or the client; ctx is that of the call.
	setUp func(t *testing.T, conn *fakeConn, c *rpc.Client) context.Context
	want  []error
	not   string // a way to call to which this cannot happen
}{
	{"params cannot be encoded: chan", []any{make(chan int)}, nil, nil, ""},
	{"params cannot be encoded: NaN", []float64{math.NaN()}, nil, nil, ""},
	{"params cannot be encoded: not UTF-8", []string{"\xff"}, nil, nil, ""},
	{"params are not JSON", json.RawMessage(`[1`), nil, nil, ""},
	{"params are two JSON texts", json.RawMessage(`[1][2]`), nil, nil, ""},
	{"params are a number", 5, nil, []error{rpc.ErrParams}, ""},
	{"params are a string", "[]", nil, []error{rpc.ErrParams}, ""},
	{"params are a raw scalar", json.RawMessage(`5`), nil, []error{rpc.ErrParams}, ""},
	{"params are a null pointer", (*point)(nil), nil, []error{rpc.ErrParams}, ""},
	{"params are an empty raw message", json.RawMessage(nil), nil, []error{rpc.ErrParams}, ""},
	{"the client is closed", nil, func(t *testing.T, _ *fakeConn, c *rpc.Client) context.Context {
		_ = c.Close()
		return t.Context()
	}, []error{rpc.ErrClosed}, ""},
	{"the connection has ended", nil, func(t *testing.T, conn *fakeConn, c *rpc.Client) context.Context {
		conn.fail(conn.opError("receive", transport.ErrHeartbeat))
		<-c.Done()
		synctest.Wait()
		return t.Context()
	}, []error{transport.ErrHeartbeat}, "Notify"}, // of which only the connection knows
	{"ctx has ended", nil, func(t *testing.T, _ *fakeConn, _ *rpc.Client) context.Context {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errPlain)
		return ctx
	}, []error{errPlain}, ""},
	{"ctx ends while it waits for a place in flight", nil, func(t *testing.T, _ *fakeConn, c *rpc.Client) context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		t.Cleanup(cancel)
		go func() { _ = c.Call(t.Context(), "first", nil, nil) }()
		synctest.Wait()
		return ctx
	}, []error{context.DeadlineExceeded}, "Notify"}, // which takes no place
	{"ctx ends while it waits for room to send", nil, func(t *testing.T, conn *fakeConn, _ *rpc.Client) context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		t.Cleanup(cancel)
		conn.send = func(ctx context.Context, _ *transport.Message) error {
			<-ctx.Done()
			return conn.opError("send", errors.Join(transport.ErrBusy, context.Cause(ctx)))
		}
		return ctx
	}, []error{transport.ErrBusy, context.DeadlineExceeded}, ""},
	{"the message is too large", nil, func(t *testing.T, conn *fakeConn, _ *rpc.Client) context.Context {
		conn.send = sendFails(transport.ErrTooLarge, false)
		return t.Context()
	}, []error{transport.ErrTooLarge}, ""},
	{"the connection is gone and nothing left", nil, func(t *testing.T, conn *fakeConn, _ *rpc.Client) context.Context {
		conn.send = sendFails(transport.ErrClosed, false)
		return t.Context()
	}, []error{transport.ErrClosed}, ""},
	{"there is no reply address", nil, func(t *testing.T, conn *fakeConn, _ *rpc.Client) context.Context {
		conn.replyAddress = func() (string, error) { return "", conn.opError("subscribe", transport.ErrRefused) }
		return t.Context()
	}, []error{transport.ErrRefused}, "Notify"}, // which needs none
}

func TestNotSent(t *testing.T) {
	for _, tt := range notSent {
		for _, way := range waysToCall {
			if tt.not == way.name {
				continue
			}
			t.Run(tt.name+"/"+way.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					conn := newFakeConn()
					c := fakeClient(t, conn, &rpc.ClientOptions{InFlight: 1, Plain: true})
					ctx := t.Context()
					if tt.setUp != nil {
						ctx = tt.setUp(t, conn, c)
					}
					if conn.send == nil {
						conn.send = func(_ context.Context, m *transport.Message) error {
							t.Errorf("sent %s", m.Body)
							return nil
						}
					}
					err := way.call(ctx, c, tt.params)
					isOutcome(t, way.name, err, rpc.NotSent)
					isErr(t, way.name, err, tt.want...)
					if _, ok := errors.AsType[*rpc.CallError](err); !ok {
						t.Errorf("%s = %T, want a *CallError", way.name, err)
					}
				})
			})
		}
	}
}

// unknown are all the reasons for which nobody can say what became of a call.
var unknown = []struct {
	name string
	// answer does what ends the call, once it has left.
	answer func(conn *fakeConn, c *rpc.Client, cancel context.CancelCauseFunc)
	want   []error
}{
	{"ctx ends while it waits for the answer", func(_ *fakeConn, _ *rpc.Client, cancel context.CancelCauseFunc) {
		cancel(errPlain)
	}, []error{errPlain}},
	{"the connection ends", func(conn *fakeConn, _ *rpc.Client, _ context.CancelCauseFunc) {
		conn.fail(conn.opError("receive", transport.ErrClosed))
	}, []error{transport.ErrClosed}},
	{"the peer falls silent", func(conn *fakeConn, _ *rpc.Client, _ context.CancelCauseFunc) {
		conn.fail(conn.opError("receive", transport.ErrHeartbeat))
	}, []error{transport.ErrHeartbeat}},
	{"the client is closed", func(_ *fakeConn, c *rpc.Client, _ context.CancelCauseFunc) {
		_ = c.Close()
	}, []error{rpc.ErrClosed}},
	{"the connection is lost and will be made anew", func(conn *fakeConn, _ *rpc.Client, _ context.CancelCauseFunc) {
		conn.fail(conn.opError("receive", transport.ErrReconnecting))
	}, []error{transport.ErrReconnecting}},
	{"the answer has result and error", func(conn *fakeConn, _ *rpc.Client, _ context.CancelCauseFunc) {
		conn.receive(`{"jsonrpc":"2.0","id":1,"result":1,"error":{"code":1,"message":"x"}}`)
	}, []error{rpc.ErrBadAnswer}},
	{"the answer has no version", func(conn *fakeConn, _ *rpc.Client, _ context.CancelCauseFunc) {
		conn.receive(`{"id":1,"result":1}`)
	}, []error{rpc.ErrBadAnswer}},
	{"the answer's error is no object", func(conn *fakeConn, _ *rpc.Client, _ context.CancelCauseFunc) {
		conn.receive(`{"jsonrpc":"2.0","id":1,"error":"x"}`)
	}, []error{rpc.ErrBadAnswer}},
	{"the answer has two results", func(conn *fakeConn, _ *rpc.Client, _ context.CancelCauseFunc) {
		conn.receive(`{"jsonrpc":"2.0","id":1,"result":1,"result":2}`)
	}, []error{rpc.ErrBadAnswer}},
}

func TestUnknown(t *testing.T) {
	for _, tt := range unknown {
		for _, way := range waysToCall[:3] { // a notification has no more to learn
			t.Run(tt.name+"/"+way.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					conn := newFakeConn()
					c := fakeClient(t, conn, nil)
					ctx, cancel := context.WithCancelCause(t.Context())
					defer cancel(nil)
					got := make(chan error, 1)
					go func() { got <- way.call(ctx, c, nil) }()
					synctest.Wait()
					select {
					case err := <-got:
						t.Fatalf("%s = %v before there was an answer", way.name, err)
					default:
					}
					tt.answer(conn, c, cancel)
					synctest.Wait()
					select {
					case err := <-got:
						isOutcome(t, way.name, err, rpc.Unknown)
						isErr(t, way.name, err, tt.want...)
						if _, ok := errors.AsType[*rpc.CallError](err); !ok {
							t.Errorf("%s = %T, want a *CallError", way.name, err)
						}
					default:
						t.Errorf("%s has not returned", way.name)
						cancel(nil)
					}
				})
			})
		}
	}
}

// TestUnknownSend: a Send that failed half way may have been enough for the
// peer.
func TestUnknownSend(t *testing.T) {
	for _, way := range waysToCall {
		t.Run(way.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := newFakeConn()
				conn.send = sendFails(transport.ErrStalled, true)
				err := way.call(t.Context(), fakeClient(t, conn, nil), nil)
				isOutcome(t, way.name, err, rpc.Unknown)
				isErr(t, way.name, err, transport.ErrStalled)
			})
		})
	}
}

// TestAnsweredInSpiteOfSend: an answer counts more than an error of the Send
// that came after it.
func TestAnsweredInSpiteOfSend(t *testing.T) {
	for _, way := range waysToCall[:3] {
		t.Run(way.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := newFakeConn()
				conn.send = func(context.Context, *transport.Message) error {
					conn.receive(`{"jsonrpc":"2.0","id":1,"result":5}`)
					synctest.Wait()
					return conn.opError("send", transport.ErrClosed)
				}
				if err := way.call(t.Context(), fakeClient(t, conn, nil), nil); err != nil {
					t.Errorf("%s = %v, want nil", way.name, err)
				}
			})
		})
	}
}

// TestConnectionEndsInsideSend: a call whose Send succeeds although the
// connection has ended meanwhile ends too, and says why.
func TestConnectionEndsInsideSend(t *testing.T) {
	for _, way := range waysToCall[:3] {
		t.Run(way.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := newFakeConn()
				c := fakeClient(t, conn, nil)
				conn.send = func(context.Context, *transport.Message) error {
					conn.fail(conn.opError("receive", transport.ErrHeartbeat))
					synctest.Wait()
					return nil
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				err := way.call(ctx, c, nil)
				isOutcome(t, way.name, err, rpc.Unknown)
				isErr(t, way.name, err, transport.ErrHeartbeat)
			})
		})
	}
}

func TestAnswered(t *testing.T) {
	for _, tt := range []struct {
		name, answer string
		check        func(t *testing.T, v int, err error)
	}{
		{"result", `{"jsonrpc":"2.0","id":1,"result":5}`, func(t *testing.T, v int, err error) {
			if err != nil || v != 5 {
				t.Errorf("Call() = %v, %v, want 5, nil", v, err)
			}
		}},
		{"result null", `{"jsonrpc":"2.0","id":1,"result":null}`, func(t *testing.T, v int, err error) {
			if err != nil || v != 0 {
				t.Errorf("Call() = %v, %v, want 0, nil", v, err)
			}
		}},
		{"members of others", `{"jsonrpc":"2.0","id":1,"result":5,"metadata":[],"x":1}`, func(t *testing.T, v int, err error) {
			if err != nil || v != 5 {
				t.Errorf("Call() = %v, %v, want 5, nil", v, err)
			}
		}},
		{"error", `{"jsonrpc":"2.0","id":1,"error":{"code":-32009,"message":"busy","data":{"x":1}}}`, func(t *testing.T, _ int, err error) {
			if e := isCode(t, "Call()", err, rpc.CodeBusy); e.Message != "busy" || string(e.Data) != `{"x":1}` {
				t.Errorf("Call() = %q with data %s, want busy with {\"x\":1}", e.Message, e.Data)
			}
		}},
		{"error of nothing", `{"jsonrpc":"2.0","id":1,"error":{}}`, func(t *testing.T, _ int, err error) {
			isCode(t, "Call()", err, 0)
		}},
		{"error with more members", `{"jsonrpc":"2.0","id":1,"error":{"code":7,"message":"x","name":"y"}}`, func(t *testing.T, _ int, err error) {
			isCode(t, "Call()", err, 7)
		}},
		{"malformed error: code is a string", `{"jsonrpc":"2.0","id":1,"error":{"code":"7","message":"x"}}`, malformedError},
		{"malformed error: code is a fraction", `{"jsonrpc":"2.0","id":1,"error":{"code":7.5,"message":"x"}}`, malformedError},
		{"malformed error: code twice", `{"jsonrpc":"2.0","id":1,"error":{"code":7,"code":8,"message":"x"}}`, malformedError},
		{"malformed error: message is a number", `{"jsonrpc":"2.0","id":1,"error":{"code":7,"message":5}}`, malformedError},
		{"result of another type", `{"jsonrpc":"2.0","id":1,"result":"five"}`, unfit},
		{"result is a fraction", `{"jsonrpc":"2.0","id":1,"result":5.5}`, unfit},
		{"result is out of range", `{"jsonrpc":"2.0","id":1,"result":1e30}`, unfit},
		{"result is not UTF-8", "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"\xff\"}", unfit},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := newFakeConn()
				conn.send = func(context.Context, *transport.Message) error { conn.receive(tt.answer); return nil }
				v, err := rpc.Call[int](t.Context(), fakeClient(t, conn, nil), "m", nil)
				tt.check(t, v, err)
				isOutcome(t, "Call()", err, rpc.Answered)
			})
		})
	}
}

func malformedError(t *testing.T, _ int, err error) {
	t.Helper()
	if e := isCode(t, "Call()", err, rpc.CodeInternal); !json.Valid(e.Data) || len(e.Data) == 0 {
		t.Errorf("data of %v = %s, want the malformed error object", e, e.Data)
	}
}

func unfit(t *testing.T, v int, err error) {
	t.Helper()
	e, ok := errors.AsType[*rpc.ResultError](err)
	if !ok || e.Method != "m" || e.Err == nil || v != 0 {
		t.Errorf("Call() = %v, %#v, want 0 and a ResultError of m", v, err)
	}
}

// TestResultThrownAway: who does not want the result does not care what it is.
func TestResultThrownAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newFakeConn()
		conn.send = func(context.Context, *transport.Message) error {
			conn.receive(`{"jsonrpc":"2.0","id":1,"result":{"a":1,"a":2}}`)
			return nil
		}
		if err := fakeClient(t, conn, nil).Call(t.Context(), "m", nil, nil); err != nil {
			t.Errorf("Call() = %v, want nil", err)
		}
	})
}

func TestOutcomeOf(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want rpc.Outcome
		text string
	}{
		{nil, rpc.Answered, "answered"},
		{&rpc.Error{Code: 1}, rpc.Answered, "answered"},
		{fmt.Errorf("x: %w", &rpc.Error{Code: 1}), rpc.Answered, "answered"},
		{&rpc.ResultError{Method: "m", Err: errPlain}, rpc.Answered, "answered"},
		{&rpc.CallError{Method: "m", Outcome: rpc.NotSent, Err: errPlain}, rpc.NotSent, "not sent"},
		{fmt.Errorf("x: %w", &rpc.CallError{Outcome: rpc.Unknown, Err: errPlain}), rpc.Unknown, "unknown"},
		{errPlain, rpc.Unknown, "unknown"},
		{context.Canceled, rpc.Unknown, "unknown"},
	} {
		if got := rpc.OutcomeOf(tt.err); got != tt.want || got.String() != tt.text {
			t.Errorf("OutcomeOf(%v) = %v, want %v, as text %q", tt.err, got, tt.want, tt.text)
		}
	}
}

func TestErrorTexts(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&rpc.Error{Code: -32009, Message: "busy"}, "busy (-32009)"},
		{rpc.Errorf(7, "%d of %s", 3, "x"), "3 of x (7)"},
		{&rpc.CallError{Method: "m", Outcome: rpc.NotSent, Err: errPlain}, "call m: not sent: plain error"},
		{&rpc.CallError{Method: "m", Outcome: rpc.Unknown, Err: errPlain}, "call m: outcome unknown: plain error"},
		{&rpc.ResultError{Method: "m", Err: errPlain}, "call m: cannot use the result: plain error"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("Error() = %q, want %q", got, tt.want)
		}
	}
	isErr(t, "CallError", &rpc.CallError{Err: errPlain}, errPlain)
	isErr(t, "ResultError", &rpc.ResultError{Err: errPlain}, errPlain)
}
