package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
)

// The first implementation of the async extension had twelve defects. Each has
// a test here that keeps it from coming back; docs/async.md lists them.

// inOldBubbles runs f as inBubbles does, and with OpenDaylight at the other end.
func inOldBubbles(t *testing.T, f func(t *testing.T, w wire)) {
	t.Helper()
	inBubbles(t, f)
	t.Run(odlPipe.name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t, odlPipe) })
	})
}

// TestD1_DrivenWithoutGet: a call is asked after although nobody waits in Get.
func TestD1_DrivenWithoutGet(t *testing.T) {
	inOldBubbles(t, func(t *testing.T, w wire) {
		s := onStage(t, w, true, nil)
		done := make(chan int, 1)
		heard := rpc.Detach[int](t.Context(), s.client(nil), "Task", []int{3000}, nil).OnDone(func(n int, err error) {
			if err == nil {
				done <- n
			}
		})
		if got := within(t, done, "the callback"); got != 3000 {
			t.Errorf("the callback got %d, want 3000", got)
		}
		within(t, heard.Done(), "the callback to return")
	})
}

// TestD2_PollsAreSpaced: a client asks after growing pauses, and a server keeps
// an impatient caller waiting.
func TestD2_PollsAreSpaced(t *testing.T) {
	for _, ack := range []string{ackNow, ackJava} {
		inOldBubbles(t, func(t *testing.T, w wire) {
			c, p := talker(t, w, true)
			f := rpc.Detach[int](t.Context(), c, "m", []int{1}, &rpc.DetachOptions{Handle: handleU})
			p.hear()
			pauses := make([]time.Duration, 20)
			for i := range pauses {
				p.say(spelled.Replace(fmt.Sprintf(ack, i+1)))
				began := time.Now()
				p.hear()
				pauses[i] = time.Since(began)
			}
			f.Cancel(nil)
			want := 50 * time.Millisecond
			if ack == ackNow {
				want = 100 * time.Millisecond // as the server asks
			}
			for i, pause := range pauses {
				if pause < want*8/10-time.Millisecond || pause > want*12/10+time.Millisecond {
					t.Errorf("pause %d is %v, want %v give or take a fifth", i, pause, want)
				}
				want = min(want*3/2, 5*time.Second)
			}
			if same := pauses[len(pauses)-1] == pauses[len(pauses)-2]; same {
				t.Error("the pauses are not random")
			}
		})
	}
	inOldBubbles(t, func(t *testing.T, w wire) {
		onStage(t, w, true, nil).play(script{
			`a> {"jsonrpc":"2.0","id":1,"method":"Task","params":[1000],"metadata":{"async":"U"}}`, `a< 50ms 1~U`,
			`a> {"jsonrpc":"2.0","id":2,"method":"Task","metadata":{"async":"U"}}`, `a< 250ms 2~U`,
			`a> {"jsonrpc":"2.0","id":3,"method":"Task","metadata":{"async":"U"}}`, `a< 450ms 3~U`,
		})
	})
}

// TestD3_OnePollAtATime: many who wait do not ask more often, and a poll that
// comes too late gets the result again and executes nothing.
func TestD3_OnePollAtATime(t *testing.T) {
	inOldBubbles(t, func(t *testing.T, w wire) {
		c, p := talker(t, w, true)
		f := rpc.Detach[int](t.Context(), c, "m", []int{1}, &rpc.DetachOptions{Handle: handleU})
		results := make(chan int, 10)
		for range cap(results) {
			go func() {
				n, _ := f.Get(context.Background())
				results <- n
			}()
		}
		says(p, fmt.Sprintf(lineFirst, 1))
		p.say(spelled.Replace(fmt.Sprintf(ackNow, 1)))
		says(p, fmt.Sprintf(lineGet, 2))
		isSilent(p, time.Minute)
		p.say(fmt.Sprintf(lineFinal, 2))
		for range cap(results) {
			if got := within(t, results, "a Get"); got != 7 {
				t.Errorf("Get() = %d, want 7", got)
			}
		}
		isSilent(p, time.Minute)
	})
	inOldBubbles(t, func(t *testing.T, w wire) {
		onStage(t, w, true, nil).play(script{
			`a> {"jsonrpc":"2.0","id":1,"method":"Task","params":[100],"metadata":{"async":"U"}}`, `a< 50ms 1~U`,
			`a> {"jsonrpc":"2.0","id":2,"method":"Task","metadata":{"async":"U"}}`,
			`a> {"jsonrpc":"2.0","id":3,"method":"Task","metadata":{"async":"U"}}`, `a< 100ms 2=100`, `a< 100ms 3=100`,
			`a> {"jsonrpc":"2.0","id":4,"method":"Task","params":{},"metadata":{"async":"U"}}`, `a< 100ms 4=100`, `ran Task100`,
		})
	})
}

// TestD4_PollNeverExecutes: to ask after a handle that is not known, or not any
// more, makes no call.
func TestD4_PollNeverExecutes(t *testing.T) {
	inOldBubbles(t, func(t *testing.T, w wire) {
		onStage(t, w, true, nil).play(script{
			`a> {"jsonrpc":"2.0","id":1,"method":"rpc.async.get","params":["U"]}`, `a< 0s 1!-32050 epoch`, `ran`,
			`a> {"jsonrpc":"2.0","id":2,"method":"Task","params":[0],"metadata":{"async":"U"}}`, `a< 0s 2=0`, `ran Task0`, `wait 5m`,
			`a> {"jsonrpc":"2.0","id":3,"method":"Task","metadata":{"async":"U"}}`, `a< 5m 3!-32051 epoch`,
			`a> {"jsonrpc":"2.0","id":4,"method":"Task","params":[0],"metadata":{"async":"U"}}`, `a< 5m 4!-32051 epoch`, `ran`,
		})
	})
}

// converse has a client say and hear the lines, in turn.
func converse(t *testing.T, w wire, want string, talk ...string) {
	t.Helper()
	c, p := talker(t, w, true)
	f := rpc.Detach[*int](t.Context(), c, "m", []int{1}, &rpc.DetachOptions{Handle: handleU})
	for i, line := range talk {
		if line = fmt.Sprintf(line, i/2+1); i%2 == 0 {
			says(p, line)
		} else {
			p.say(spelled.Replace(line))
		}
	}
	n, err := get(t, f)
	got := "null"
	if n != nil {
		got = strconv.Itoa(*n)
	}
	if err != nil || got != want {
		t.Errorf("Detach() after %s = %s, %v, want %s", talk[len(talk)-1], got, err, want)
	}
	isSilent(p, time.Minute)
}

// TestD5_ResultWithMetadataIsFinal: a result counts, whatever comes with it; and
// a server sends nothing with it.
func TestD5_ResultWithMetadataIsFinal(t *testing.T) {
	inOldBubbles(t, func(t *testing.T, w wire) {
		for _, metadata := range []string{`{"async":"U"}`, `{"async":"U","state":"done"}`, `{"async":true}`, `{"other":1}`, `{}`} {
			converse(t, w, "7", lineFirst, `{"jsonrpc":"2.0","id":%d,"result":7,"metadata":`+metadata+`}`)
		}
		converse(t, w, "7", lineFirst, ackJava, lineFirst, `{"jsonrpc":"2.0","id":%d,"result":7,"metadata":{"async":"U"}}`)
	})
	inOldBubbles(t, func(t *testing.T, w wire) {
		s := onStage(t, w, true, nil)
		p := s.peer("a")
		p.say(spelled.Replace(`{"jsonrpc":"2.0","id":1,"method":"Task","params":[1],"metadata":{"async":"U"}}`))
		if got, want := p.hear(), `{"jsonrpc":"2.0","id":1,"result":1}`; got != want {
			t.Errorf("heard %s, want %s", got, want)
		}
	})
}

// TestD6_NullIsNotPending: that a result is null does not make a client come
// back for ever.
func TestD6_NullIsNotPending(t *testing.T) {
	inOldBubbles(t, func(t *testing.T, w wire) {
		null := `{"jsonrpc":"2.0","id":%d,"result":null}`
		echoed := func(metadata string) string { return strings.TrimSuffix(null, "}") + `,"metadata":` + metadata + "}" }
		converse(t, w, "null", lineFirst, null)
		converse(t, w, "null", lineFirst, echoed(`{"async":"V"}`))
		converse(t, w, "null", lineFirst, echoed(`{"async":"U","state":"done"}`))
		converse(t, w, "null", lineFirst, echoed(`{"other":1}`))
		converse(t, w, "null", lineFirst, ackNow, lineGet, null)
		converse(t, w, "null", lineFirst, ackNow, lineGet, echoed(`{"async":"U"}`)) // it has a word for pending
		converse(t, w, "null", lineFirst, ackJava, lineFirst, null)
	})
}

// TestD7_CancelReachesTheServer: who cancels waits for nothing, and the handler
// is told.
func TestD7_CancelReachesTheServer(t *testing.T) {
	for _, lockstep := range []bool{false, true} {
		inOldBubbles(t, func(t *testing.T, w wire) {
			s := onStage(t, w, lockstep, nil)
			f := rpc.Detach[int](t.Context(), s.client(nil), "Task", []int{60_000}, nil)
			time.Sleep(time.Second)
			began := time.Now()
			if !f.Cancel(errPlain) || time.Since(began) != 0 {
				t.Errorf("Cancel() took %v", time.Since(began))
			}
			_, err, ok := f.TryGet()
			if !ok || !errors.Is(err, queue.ErrCanceled) || !errors.Is(err, errPlain) {
				t.Errorf("TryGet() = %v, %v, want cancelled", err, ok)
			}
			time.Sleep(time.Second)
			want := []string{"Task60000", "stopped: rpc: the call was cancelled by its caller: context canceled"}
			if diff := cmp.Diff(want, s.journal.take()); diff != "" {
				t.Errorf("executed (-want +got):\n%s", diff)
			}
		})
	}
	inOldBubbles(t, func(t *testing.T, w wire) {
		c, p := talker(t, w, false)
		f := rpc.Detach[int](t.Context(), c, "m", []int{1}, &rpc.DetachOptions{Handle: handleU})
		p.hear()
		f.Cancel(nil)
		says(p, `{"jsonrpc":"2.0","method":"rpc.async.cancel","params":{"async":"U"}}`)
		isSilent(p, time.Minute)

		f = rpc.Detach[int](t.Context(), c, "m", []int{1}, &rpc.DetachOptions{Handle: handleU})
		p.hear()
		p.say(spelled.Replace(fmt.Sprintf(ackJava, 2)))
		synctest.Wait()
		f.Cancel(nil)
		isSilent(p, time.Minute) // an older server knows no cancel
	})
}

// TestD8_OneDeadline: ctx bounds the call, once, and ends all polling; the
// patience of who waits ends only the wait.
func TestD8_OneDeadline(t *testing.T) {
	inOldBubbles(t, func(t *testing.T, w wire) {
		s := onStage(t, w, true, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		o := &rpc.DetachOptions{Handle: handleU}
		c := s.client(nil)
		f := rpc.Detach[int](ctx, c, "Task", []int{5_000}, o)
		brief, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		_, err := f.Get(brief)
		isErr(t, "Get()", err, queue.ErrWait)
		began := time.Now()
		_, err = get(t, f)
		isErr(t, "Detach()", err, context.DeadlineExceeded)
		isOutcome(t, "Detach()", err, rpc.Unknown)
		if took := time.Since(began); took != time.Second {
			t.Errorf("the future failed after %v more, want 1s", took)
		}
		// The call goes on, and the same handle comes back to it.
		if got, err := get(t, rpc.Detach[int](t.Context(), c, "Task", []int{5_000}, o)); got != 5_000 || err != nil {
			t.Errorf("Detach() = %v, %v, want 5000, nil", got, err)
		}
		if diff := cmp.Diff([]string{"Task5000"}, s.journal.take()); diff != "" {
			t.Errorf("executed (-want +got):\n%s", diff)
		}
	})
	inOldBubbles(t, func(t *testing.T, w wire) {
		c, p := talker(t, w, true)
		ctx, cancel := context.WithCancel(t.Context())
		f := rpc.Detach[int](ctx, c, "m", []int{1}, &rpc.DetachOptions{Handle: handleU})
		p.hear()
		p.say(spelled.Replace(fmt.Sprintf(ackNow, 1)))
		p.hear()
		p.say(spelled.Replace(fmt.Sprintf(ackNow, 2)))
		synctest.Wait()
		cancel()
		_, err := get(t, f)
		isErr(t, "Detach()", err, context.Canceled)
		isSilent(p, time.Hour)
	})
}

// TestD9_AckIsAResponse: an acknowledgement has a result, as a response must; and
// a client understands one that has none, and does not answer it.
func TestD9_AckIsAResponse(t *testing.T) {
	inOldBubbles(t, func(t *testing.T, w wire) {
		s := onStage(t, w, true, nil)
		p := s.peer("a")
		p.say(spelled.Replace(`{"jsonrpc":"2.0","id":1,"method":"Task","params":[100],"metadata":{"async":"U"}}`))
		want := `{"jsonrpc":"2.0","id":1,"result":null,"metadata":{"async":"U","state":"pending","pollMs":200,"ttlMs":600000}}`
		if got := shortened.Replace(p.hear()); got != want {
			t.Errorf("heard %s, want %s", got, want)
		}
	})
	inOldBubbles(t, func(t *testing.T, w wire) {
		converse(t, w, "7", lineFirst, ackBare, lineFirst, ackBare, lineFirst, lineFinal)
		// Who waits for no acknowledgement is sent an error, as ever.
		c, p := talker(t, w, false)
		call := rpc.Go[int](t.Context(), c, "m", []int{1})
		says(p, fmt.Sprintf(lineBare, 1))
		p.say(spelled.Replace(fmt.Sprintf(ackBare, 1)))
		if got := brief(p.hear()); got != "1!-32600" {
			t.Errorf("heard %s, want 1!-32600", got)
		}
		call.Cancel(nil)
	})
}

// TestD10_ResultOutlivesItsAnswer: an answer that is lost on the way can be had
// again.
func TestD10_ResultOutlivesItsAnswer(t *testing.T) {
	inOldBubbles(t, func(t *testing.T, w wire) {
		onStage(t, w, true, nil).play(script{
			`a/1> {"jsonrpc":"2.0","id":1,"method":"Task","params":[100],"metadata":{"async":"U"}}`, `a/1< 50ms 1~U`,
			`a/1> {"jsonrpc":"2.0","id":2,"method":"rpc.async.get","params":["U",1000]}`, `a/1< 100ms 2=100`, `a/1!`,
			`a/2> {"jsonrpc":"2.0","id":1,"method":"rpc.async.get","params":["U",1000]}`, `a/2< 100ms 1=100`,
			`a/2> {"jsonrpc":"2.0","id":2,"method":"Task","params":[100],"metadata":{"async":"U"}}`, `a/2< 100ms 2=100`,
			`ran Task100`,
		})
	})
}

// TestD11_HandlesHaveOwners: to know a handle does not suffice to get a result,
// or to end a call.
func TestD11_HandlesHaveOwners(t *testing.T) {
	inOldBubbles(t, func(t *testing.T, w wire) {
		onStage(t, w, true, nil).play(script{
			`ann> {"jsonrpc":"2.0","id":1,"method":"Task","params":[300],"metadata":{"async":"U"}}`, `ann< 50ms 1~U`,
			`bob> {"jsonrpc":"2.0","id":1,"method":"rpc.async.get","params":["U"]}`, `bob< 50ms 1!-32050 epoch`,
			`bob> {"jsonrpc":"2.0","id":2,"method":"rpc.async.cancel","params":["U"]}`, `bob< 50ms 2!-32050 epoch`,
			`anon> {"jsonrpc":"2.0","id":1,"method":"rpc.async.get","params":["U"]}`, `anon< 50ms 1!-32050 epoch`,
			// For bob it is a name as any other.
			`bob> {"jsonrpc":"2.0","id":3,"method":"Task","params":[10],"metadata":{"async":"U"}}`, `bob< 60ms 3=10`,
			`ann> {"jsonrpc":"2.0","id":2,"method":"rpc.async.get","params":["U",1000]}`, `ann< 300ms 2=300`,
		})
	})
}

// TestD12_PollsHoldNoWorker: with every worker busy and the queue full, those who
// come back are served, and hold up nothing.
func TestD12_PollsHoldNoWorker(t *testing.T) {
	inOldBubbles(t, func(t *testing.T, w wire) {
		q := queue.New(&queue.Options{Workers: 1, Depth: 1})
		s := onStage(t, w, true, &rpc.ServerOptions{Queue: q})
		defer func() {
			if err := q.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}()
		s.play(script{
			`a> {"jsonrpc":"2.0","id":1,"method":"Task","params":[1000],"metadata":{"async":"U"}}`, `a< 50ms 1~U`,
			`a> {"jsonrpc":"2.0","id":2,"method":"Sync","params":[1]}`,
			`b> {"jsonrpc":"2.0","id":1,"method":"Sync","params":[1]}`, `b< 50ms 1!-32009`,
			`b> {"jsonrpc":"2.0","id":2,"method":"Task","params":[1],"metadata":{"async":"V"}}`, `b< 50ms 2!-32009`,
		})
		p := s.peer("a")
		for i := range 200 {
			p.say(spelled.Replace(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"rpc.async.get","params":["U",60000]}`, i+10)))
		}
		p.say(spelled.Replace(`{"jsonrpc":"2.0","id":9,"method":"rpc.async.get","params":["U"]}`))
		if got := briefAsync(p.hear()); got != "9~U" {
			t.Errorf("heard %s among those who wait, want 9~U", got)
		}
		for i := range 200 {
			if got, want := brief(p.hear()), fmt.Sprintf("%d=1000", i+10); got != want {
				t.Fatalf("heard %s, want %s", got, want)
			}
		}
		if got := brief(p.hear()); got != "2=1" {
			t.Errorf("heard %s, want 2=1", got)
		}
	})
}

// TestAsyncWaitsAreBounded: those who wait count as requests in flight, and go
// with their connection.
func TestAsyncWaitsAreBounded(t *testing.T) {
	inOldBubbles(t, func(t *testing.T, w wire) {
		s := onStage(t, w, true, &rpc.ServerOptions{Limits: rpc.Limits{InFlight: 2}})
		s.play(script{
			`a/1> {"jsonrpc":"2.0","id":1,"method":"Task","params":[1000],"metadata":{"async":"U"}}`, `a/1< 50ms 1~U`,
			`a/1> {"jsonrpc":"2.0","id":2,"method":"rpc.async.get","params":["U",60000]}`,
			`a/1> {"jsonrpc":"2.0","id":3,"method":"rpc.async.get","params":["U",60000]}`,
			`a/1> {"jsonrpc":"2.0","id":4,"method":"rpc.async.get","params":["U",60000]}`, `a/1< 50ms 4!-32009`, `a/1!`, `wait 10ms`,
			`a/2> {"jsonrpc":"2.0","id":1,"method":"rpc.async.get","params":["U",60000]}`, `a/2< 1s 1=1000`,
		})
	})
}

// TestAsyncWithoutServer: a client that serves methods keeps no handles.
func TestAsyncWithoutServer(t *testing.T) {
	var j journal
	_, p := scripted(t, memURL, &rpc.ClientOptions{Mux: asyncMux(&j)})
	p.say(spelled.Replace(`{"jsonrpc":"2.0","id":1,"method":"Task","params":[1],"metadata":{"async":"U"}}`))
	if got := brief(p.hear()); got != "1=1" {
		t.Errorf("heard %s, want 1=1", got)
	}
	for _, method := range []string{"get", "cancel"} {
		p.say(spelled.Replace(`{"jsonrpc":"2.0","id":2,"method":"rpc.async.` + method + `","params":["U"]}`))
		if got := brief(p.hear()); got != "2!-32601" {
			t.Errorf("heard %s, want 2!-32601", got)
		}
	}
}
