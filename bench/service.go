package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// text is the params and the result of an Echo.
type text struct {
	Text string `json:"text"`
}

// A service is what every peer serves: three methods.
type service struct {
	noted counter
}

// Sum is the small call.
func (s *service) Sum(terms []float64) (sum float64) {
	for _, term := range terms {
		sum += term
	}
	return sum
}

// Echo is the large call.
func (s *service) Echo(t text) text { return t }

// Note is the notification; its params are those of Sum.
func (s *service) Note(terms []float64) {
	if len(terms) == 3 && terms[0] == 1 && terms[1] == 2 {
		s.noted.add()
	}
}

// A client calls a service through a peer. It is for many goroutines.
type client interface {
	Sum(ctx context.Context, terms []float64) (float64, error)
	Echo(ctx context.Context, t text) (text, error)
	// Close ends the client and what serves it.
	Close() error
}

// A notifier is a client that can call without wanting an answer.
type notifier interface {
	// Note returns when the library calls the notification sent.
	Note(ctx context.Context, terms []float64) error
}

// A batcher is a client that can send many calls as one message. It need not
// be for many goroutines.
type batcher interface {
	SumBatch(ctx context.Context, calls [][]float64) ([]float64, error)
}

// A counter lets one goroutine wait for what others count.
type counter struct {
	n, want atomic.Int64
	reached chan struct{}
}

func newCounter() counter { return counter{reached: make(chan struct{}, 1)} }

func (c *counter) add() {
	if c.n.Add(1) == c.want.Load() {
		c.reached <- struct{}{}
	}
}

// expect says how many more will be counted. All earlier ones must have been.
func (c *counter) expect(n int) { c.want.Add(int64(n)) }

// patience is how long a counter waits for what was expected.
const patience = 10 * time.Second

func (c *counter) wait(ctx context.Context) error {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-c.reached:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-late.C:
		return fmt.Errorf("%d of %d notifications came within %v", c.n.Load(), c.want.Load(), patience)
	}
	if c.n.Load() != c.want.Load() {
		return errors.New("more notifications came than were sent")
	}
	return nil
}
