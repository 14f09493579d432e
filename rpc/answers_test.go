package rpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/polyport/polyport/rpc"
)

// TestLateAnswerIsDropped: the answer to a call that was given up goes to
// nobody, least of all to a later call.
func TestLateAnswerIsDropped(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		c, p := scripted(t, w, &rpc.ClientOptions{InFlight: 1})
		for i := range 100 {
			ctx, cancel := context.WithCancel(t.Context())
			given := rpc.Go[int](ctx, c, "m", []int{i})
			r := p.hearRequest()
			cancel()
			_, err := get(t, given)
			isOutcome(t, "the call given up", err, rpc.Unknown)
			if n := p.hearRequest(); n.Method != "rpc.cancel" || string(n.Params) != fmt.Sprintf(`{"id":%s}`, r.ID) {
				t.Fatalf("after the call was given up the peer hears %s %s, want rpc.cancel of %s", n.Method, n.Params, r.ID)
			}
			next := rpc.Go[int](t.Context(), c, "m", []int{i})
			r2 := p.hearRequest()
			p.answer(r, "-1")
			p.say(errorOf(r, `{"code":1,"message":"late"}`))
			p.answer(r2, strconv.Itoa(i))
			isValue(t, "the call after it", next, i)
		}
		p.quiet(c)
	})
}

// TestAnswersRaceWithDeadlines: whatever comes first, an answer or the end of
// its call's context, no call gets the answer to another.
func TestAnswersRaceWithDeadlines(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "Echo", func(_ context.Context, n int) (int, error) {
			time.Sleep(time.Duration(rand.IntN(4)) * time.Millisecond)
			return n, nil
		})
		c := serve(t, w, mux, nil).client(nil)
		var wg sync.WaitGroup
		var answered, unknown, other counter
		for caller := range 32 {
			wg.Go(func() {
				for i := range 200 {
					ctx, cancel := context.WithTimeout(t.Context(), 2*time.Millisecond)
					nonce := caller*1000 + i
					got, err := rpc.Call[int](ctx, c, "Echo", []int{nonce})
					cancel()
					switch {
					case err == nil && got != nonce:
						t.Errorf("Echo(%d) = %d", nonce, got)
					case err == nil:
						answered.add(1)
					case rpc.OutcomeOf(err) == rpc.Unknown && errors.Is(err, context.DeadlineExceeded):
						unknown.add(1)
					default:
						other.add(1)
						t.Errorf("Echo(%d) = %v", nonce, err)
					}
				}
			})
		}
		wg.Wait()
		if answered.n() == 0 || unknown.n() == 0 || answered.n()+unknown.n()+other.n() != 32*200 {
			t.Errorf("answered %d, unknown %d, other %d of %d", answered.n(), unknown.n(), other.n(), 32*200)
		}
	})
}

// TestAnswersTwice: a peer that says everything twice does no harm.
func TestAnswersTwice(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		c, p := scripted(t, w, nil)
		const n = 300
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				if got, err := rpc.Call[int](t.Context(), c, "m", []int{i}); err != nil || got != i {
					t.Errorf("m(%d) = %d, %v, want %[1]d, nil", i, got, err)
				}
			})
		}
		for range n {
			r := p.hearRequest()
			result := strings.Trim(string(r.Params), "[]")
			p.answer(r, result)
			p.answer(r, result)
			p.say(fmt.Sprintf(`[%s,%s]`, resultOf(r, "-1"), errorOf(r, `{"code":1,"message":"x"}`)))
		}
		wg.Wait()
		p.quiet(c)
	})
}

// TestUnusableAnswers: an answer that has no id, or cannot be read at all, ends
// the call that its message names. Where nothing tells answers from requests
// but what is in them, what cannot be read is refused like a request.
func TestUnusableAnswers(t *testing.T) {
	deep := strings.Repeat("[", 1001) + strings.Repeat("]", 1001)
	for _, tt := range []struct {
		name, answer string
		refused      string // where answers need no address
		check        func(t *testing.T, err error)
	}{
		{"an error without the id", `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}`, "", func(t *testing.T, err error) {
			isCode(t, "the call", err, rpc.CodeParse)
		}},
		{"not JSON", `{"jsonrpc":"2.0","id":1,"result":`, `null!-32700`, badAnswer},
		{"too deep", `{"jsonrpc":"2.0","id":1,"result":` + deep + `}`, `null!-32600{"max":1000}`, badAnswer},
		{"nothing", ``, `null!-32700`, badAnswer},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, w wire) {
				c, p := scripted(t, w, nil)
				other := rpc.Go[int](t.Context(), c, "m", nil)
				r := p.hearRequest()
				aboutOther := p.about
				f := rpc.Go[int](t.Context(), c, "m", nil)
				mine := p.hearRequest()
				back := p.back
				p.back = "" // as in an answer
				p.say(tt.answer)
				if !p.conn.Info().Addressed && tt.refused != "" {
					if got := brief(p.hear()); got != tt.refused {
						t.Errorf("heard %s, want %s", got, tt.refused)
					}
					p.answer(mine, "6")
					isValue(t, "the call", f, 6)
				} else {
					_, err := get(t, f)
					tt.check(t, err)
					s := sendBatch(t, c, p)
					p.say(tt.answer)
					_, err = get(t, s.a)
					tt.check(t, err)
					_, err = get(t, s.b)
					tt.check(t, err)
					within(t, s.done, "Do")
				}
				p.about, p.back = aboutOther, back
				p.answer(r, "5")
				isValue(t, "the call beside it", other, 5)
				p.quiet(c)
			})
		})
	}
}

func badAnswer(t *testing.T, err error) {
	t.Helper()
	isErr(t, "the call", err, rpc.ErrBadAnswer)
	isOutcome(t, "the call", err, rpc.Unknown)
}

// TestBrokenRequestIsNoAnswer: a request that cannot be read is refused, and
// is not taken for the answer to a call that happens to have its number.
func TestBrokenRequestIsNoAnswer(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		deep := strings.Repeat("[", 1001) + strings.Repeat("]", 1001)
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "Back", func(ctx context.Context, _ struct{}) (int, error) {
			r, _ := rpc.FromContext(ctx)
			// Both ends number from 1, so this is call 1 in answer to call 1.
			err := r.Client().Call(ctx, "Echo", json.RawMessage(deep), nil)
			isCode(t, "the deep call", err, rpc.CodeInvalidRequest)
			return 5, nil
		})
		c := serve(t, w, mux, nil).client(&rpc.ClientOptions{Mux: new(journal).mux()})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if got, err := rpc.Call[int](ctx, c, "Back", nil); err != nil || got != 5 {
			t.Errorf("Back = %v, %v, want 5, nil", got, err)
		}
	})
}
