package interop_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/polyport/polyport/rpc"
)

// volume is how many calls the tests with libzmq make, each; POLYPORT_LONG=1
// makes the 100,000.
func volume() int {
	if os.Getenv("POLYPORT_LONG") != "" {
		return 100_000
	}
	return 5_000
}

// lessVolume is it for variants that differ little from another: as much in the
// long form, a fifth otherwise.
func lessVolume() int {
	if n := volume(); n == 100_000 {
		return n
	}
	return volume() / 5
}

// nonce is what the method Enter takes. Its result is seven times that.
type nonce struct {
	N int `json:"n"`
}

// A tally counts how often each nonce was executed.
type tally []atomic.Int32

// mux has the methods Enter, and Dawdle, which does the same in a second and a
// half.
func (y tally) mux() *rpc.Mux {
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Enter", func(_ context.Context, p nonce) (int, error) {
		y[p.N].Add(1)
		return 7 * p.N, nil
	})
	rpc.Handle(mux, "Dawdle", func(ctx context.Context, p nonce) (int, error) {
		y[p.N].Add(1)
		select {
		case <-time.After(1500 * time.Millisecond):
		case <-ctx.Done():
		}
		return 7 * p.N, ctx.Err()
	})
	return mux
}

// check checks that each nonce was executed once.
func (y tally) check(t *testing.T) {
	t.Helper()
	wrong := 0
	for n := range y {
		if times := y[n].Load(); times != 1 {
			if wrong++; wrong <= 20 {
				t.Errorf("call %d was executed %d times, want once", n, times)
			}
		}
	}
	if wrong > 20 {
		t.Errorf("%d calls in all were not executed once", wrong)
	}
}

// A book is a file to which servers in Python add each nonce that they execute.
type book string

func newBook(t *testing.T) book { return book(filepath.Join(t.TempDir(), "ledger")) }

// read returns how often each of n nonces is in it.
func (b book) read(t *testing.T, n int) tally {
	t.Helper()
	f, err := os.Open(string(b))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	y := make(tally, n)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		i, err := strconv.Atoi(lines.Text())
		if err != nil || i < 0 || i >= n {
			t.Fatalf("the ledger has the nonce %q", lines.Text())
		}
		y[i].Add(1)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return y
}

// enterAll makes calls 0 to n-1 by 64 callers, and returns how many it made a
// second. Each has to be answered once; that none is answered twice the client
// knows, because it counts answers that nobody waits for.
func enterAll(t *testing.T, c *rpc.Client, n int) (rate float64) {
	t.Helper()
	var next, right atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range callers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && t.Context().Err() == nil && !t.Failed(); i = int(next.Add(1)) - 1 {
				if err := enter(t.Context(), c, i); err != nil {
					t.Errorf("call %d: %v", i, err)
				}
				right.Add(1)
			}
		})
	}
	wg.Wait()
	if right.Load() != int64(n) {
		t.Errorf("%d of %d calls were answered", right.Load(), n)
	}
	if late := c.Late(); late != 0 {
		t.Errorf("%d answers came that nobody waited for", late)
	}
	return float64(n) / time.Since(start).Seconds()
}

// enter makes call n.
func enter(ctx context.Context, c *rpc.Client, n int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	got, err := rpc.Call[int](ctx, c, "Enter", nonce{n})
	if err == nil && got != 7*n {
		return fmt.Errorf("the answer is %d, want %d", got, 7*n)
	}
	return err
}
