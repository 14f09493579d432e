package rpc_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
)

// TestFanOut: a peer that refuses a batch as such, and so has executed nothing of
// it, gets its requests in a way that it takes, at once and from then on.
func TestFanOut(t *testing.T) {
	for _, tt := range []struct {
		name, refusal string
		parts         [][]string // what the peer hears then, in any order
		next          [][]string // and of the next batch
	}{
		{"takes no batches", `{"code":-32600,"message":"x"}`, [][]string{{"m0"}, {"m1"}, {"m2"}, {"m3"}, {"note"}}, [][]string{{"m0"}, {"m1"}, {"m2"}, {"m3"}, {"note"}}},
		{"says so as jsonrpsee", `{"code":-32005,"message":"x"}`, [][]string{{"m0"}, {"m1"}, {"m2"}, {"m3"}, {"note"}}, [][]string{{"m0"}, {"m1"}, {"m2"}, {"m3"}, {"note"}}},
		{"takes smaller ones", `{"code":-32600,"message":"x","data":{"max":2}}`, [][]string{{"m0", "note"}, {"m1", "m2"}, {"m3"}}, [][]string{{"m0", "note"}, {"m1", "m2"}, {"m3"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, w wire) {
				c, p := scripted(t, w, nil)
				for round, want := range [][][]string{tt.parts, tt.next} {
					var b rpc.Batch
					var futures []*queue.Future[int]
					for i := range 4 {
						futures = append(futures, rpc.Add[int](&b, fmt.Sprintf("m%d", i), []int{i}))
						if i == 0 {
							b.Notify("note", nil)
						}
					}
					done := make(chan error, 1)
					go func() { done <- c.Do(t.Context(), &b) }()
					if round == 0 {
						p.hearBatch()
						p.say(`{"jsonrpc":"2.0","id":null,"error":` + tt.refusal + `}`)
					}
					var heard [][]string
					for range want {
						var methods, answers []string
						body := p.hear()
						rs := p.parse(body, room(body))
						for _, r := range rs {
							methods = append(methods, r.Method)
							if r.ID != nil {
								answers = append(answers, resultOf(r, strings.TrimPrefix(r.Method, "m")))
							}
						}
						heard = append(heard, methods)
						switch {
						case strings.HasPrefix(body, "["):
							p.say("[" + strings.Join(answers, ",") + "]")
						case len(answers) > 0:
							p.say(answers[0])
						}
					}
					slices.SortFunc(heard, slices.Compare[[]string])
					if diff := cmp.Diff(want, heard); diff != "" {
						t.Errorf("round %d (-want +heard):\n%s", round, diff)
					}
					if err := within(t, done, "Do"); err != nil {
						t.Errorf("Do = %v, want nil", err)
					}
					for i, f := range futures {
						isValue(t, fmt.Sprintf("member %d", i), f, i)
					}
				}
			})
		})
	}
}

// room is what parse needs to take a body for one request, or nil for a batch.
func room(body string) []request {
	if strings.HasPrefix(body, "[") {
		return nil
	}
	return make([]request, 1)
}

// TestAutoBatch: calls that come together go together, one alone goes as it is,
// none waits for others, and each gets its own answer.
func TestAutoBatch(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		c, p := scripted(t, w, &rpc.ClientOptions{AutoBatch: 10})
		alone := rpc.Go[int](t.Context(), c, "m", []int{1})
		p.answer(p.hearRequest(), "1") // an object, not an array of one
		isValue(t, "a call alone", alone, 1)
		if err := c.Notify(t.Context(), "n", nil); err != nil {
			t.Fatal(err)
		}
		p.hearRequest()
	})
	onWires(t, func(t *testing.T, w wire) {
		m := rpc.NewMux(nil)
		var most counter
		rpc.Handle(m, "Echo", func(_ context.Context, n int) (int, error) { return n, nil })
		c := serve(t, w, m, nil).client(&rpc.ClientOptions{AutoBatch: 16})
		var wg sync.WaitGroup
		for caller := range 64 {
			wg.Go(func() {
				for i := range 200 {
					n := caller*1000 + i
					ctx, cancel := context.WithCancel(t.Context())
					if i%10 == 9 {
						cancel()
					}
					got, err := rpc.Call[int](ctx, c, "Echo", []int{n})
					cancel()
					switch {
					case err == nil && got != n:
						t.Errorf("the answer to %d is %d", n, got)
					case err != nil && rpc.OutcomeOf(err) == rpc.Answered:
						t.Errorf("call %d: %v", n, err)
					case err == nil:
						most.add(1)
					}
				}
			})
		}
		wg.Wait()
		if most.n() < 64*180 {
			t.Errorf("%d calls were answered, want %d and more", most.n(), 64*180)
		}
	})
}

// TestAutoBatchRefused: the calls of a batch that the peer does not take go alone.
func TestAutoBatchRefused(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		c, p := scripted(t, w, &rpc.ClientOptions{AutoBatch: 10})
		const n = 5
		refused := false
		for round := 0; round < 1000 && !refused; round++ { // until some happen to come together
			results := make(chan error, n)
			for i := range n {
				go func() {
					got, err := rpc.Call[int](t.Context(), c, "m", []int{i})
					if err == nil && got != i {
						err = fmt.Errorf("the answer to %d is %d", i, got)
					}
					results <- err
				}()
			}
			for answered := 0; answered < n; {
				body := p.hear()
				if strings.HasPrefix(body, "[") {
					p.parse(body, nil)
					refused = true
					p.say(`{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no batches"}}`)
					continue
				}
				r := p.parse(body, make([]request, 1))[0]
				p.answer(r, strings.Trim(string(r.Params), "[]"))
				answered++
			}
			for range n {
				if err := within(t, results, "a call"); err != nil {
					t.Error(err)
				}
			}
		}
		if !refused {
			t.Error("no batch was sent")
		}
	})
}
