package transport_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/transport"
)

// A paced is a dial that notes when it is called, and fails until up.
type paced struct {
	mu    sync.Mutex
	at    []time.Duration
	start time.Time
	up    time.Duration
	busy  int
	most  int
}

func newPaced(up time.Duration) *paced { return &paced{start: time.Now(), up: up} }

func (p *paced) dial(ctx context.Context) (transport.Conn, error) {
	p.mu.Lock()
	p.at = append(p.at, time.Since(p.start))
	p.busy++
	p.most = max(p.most, p.busy)
	p.mu.Unlock()
	select {
	case <-time.After(time.Millisecond):
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy--
	if time.Since(p.start) < p.up || ctx.Err() != nil {
		return nil, errDown
	}
	return newStub("paced"), nil
}

// TestPace: attempts of many are made together while all goes well, and one at a
// time with growing pauses when it does not.
func TestPace(t *testing.T) {
	rules := map[string]func(t *testing.T){
		"together while all goes well": func(t *testing.T) {
			d := newPaced(0)
			dialAll(t, (*transport.RedialOptions)(nil).Pace(), d, 8)
			if d.most != 8 || len(d.at) != 8 {
				t.Errorf("%d attempts, %d at once, want 8 of both", len(d.at), d.most)
			}
		},
		"one at a time in an outage": func(t *testing.T) {
			d := newPaced(time.Minute)
			p := (*transport.RedialOptions)(nil).Pace()
			_, _ = p.Dial(short(t, time.Millisecond), d.dial)
			d.most = 0
			dialAll(t, p, d, 8)
			if d.most > 8 || len(d.at) > 40 {
				t.Errorf("%d attempts in a minute, %d at once, want few", len(d.at), d.most)
			}
			if !slices.IsSorted(d.at) || d.at[len(d.at)-1] > 80*time.Second {
				t.Errorf("attempts at %v, want the last soon after a minute", d.at)
			}
		},
		"within ctx": func(t *testing.T) {
			d := newPaced(time.Hour)
			start := time.Now()
			_, err := (*transport.RedialOptions)(nil).Pace().Dial(short(t, time.Second), d.dial)
			if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, errDown) || time.Since(start) > time.Second {
				t.Errorf("Dial = %v after %v, want an error after 1 s", err, time.Since(start))
			}
		},
		"until it gives up": func(t *testing.T) {
			d := newPaced(time.Hour)
			o := &transport.RedialOptions{GiveUp: time.Minute}
			_, err := o.Pace().Dial(t.Context(), d.dial)
			if !errors.Is(err, transport.ErrGaveUp) || !errors.Is(err, transport.ErrClosed) || !errors.Is(err, errDown) {
				t.Errorf("Dial = %v, want %v with the last error", err, transport.ErrGaveUp)
			}
		},
		"what is lost at once counts as failed": func(t *testing.T) {
			d := newPaced(0)
			p := (*transport.RedialOptions)(nil).Pace()
			for range 10 {
				if _, err := p.Dial(t.Context(), d.dial); err != nil {
					t.Fatal(err)
				}
				p.Lost()
			}
			if took := time.Since(d.start); took < 2*time.Second {
				t.Errorf("10 attempts took %v, want pauses that grow", took)
			}
		},
		"a caller that leaves harms nobody": func(t *testing.T) {
			d := newPaced(0)
			p := (*transport.RedialOptions)(nil).Pace()
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Microsecond, cancel)
			if _, err := p.Dial(ctx, d.dial); err == nil {
				t.Error("Dial = nil, want an error")
			}
			start := time.Now()
			if _, err := p.Dial(t.Context(), d.dial); err != nil || time.Since(start) > 2*time.Millisecond {
				t.Errorf("Dial = %v after %v, want nil at once", err, time.Since(start))
			}
		},
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) { synctest.Test(t, rule) })
	}
}

func short(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func dialAll(t *testing.T, p *transport.Pace, d *paced, n int) {
	t.Helper()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if _, err := p.Dial(t.Context(), d.dial); err != nil {
				t.Errorf("Dial = %v, want nil", err)
			}
		})
	}
	wg.Wait()
}
