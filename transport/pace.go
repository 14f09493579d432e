package transport

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// A Pace says when to dial, for one who keeps several connections to the same
// address and dials each himself, as [Redial] does for one connection. While all
// goes well whoever wants to dial may. After a failure attempts are made one at a
// time, with pauses that grow. A Pace is safe for concurrent use.
type Pace struct {
	o    RedialOptions
	log  *slog.Logger
	turn chan struct{} // held by who dials during an outage

	mu     sync.Mutex // protects the field below
	outage outage
}

// Pace returns a Pace with the pauses of o, which may be nil. Only First, Most,
// GiveUp and Logger count.
func (o *RedialOptions) Pace() *Pace {
	if o == nil {
		o = new(RedialOptions)
	}
	return &Pace{o: *o, log: o.WithDefaults().Logger, turn: make(chan struct{}, 1)}
}

// ErrGaveUp is wrapped by the error of [Pace.Dial] when an outage has lasted
// longer than [RedialOptions].GiveUp.
var ErrGaveUp = fmt.Errorf("%w: gave up reconnecting", ErrClosed)

// Dial calls dial until it works, which is at once if there is no outage, or ctx
// ends. After an error that wraps [ErrGaveUp] there should be no further Dial.
func (p *Pace) Dial(ctx context.Context, dial func(context.Context) (Conn, error)) (Conn, error) {
	for {
		leave, err := p.due(ctx)
		if err != nil {
			return nil, err
		}
		c, err := dial(ctx)
		gaveUp := p.note(ctx, err)
		leave()
		switch {
		case err == nil:
			return c, nil
		case gaveUp:
			return nil, fmt.Errorf("%w: %w", ErrGaveUp, err)
		case ctx.Err() != nil:
			return nil, err
		}
		p.log.Warn("cannot connect", "err", err)
	}
}

// Lost says that a connection was lost before it was of any use. It counts as an
// attempt that failed.
func (p *Pace) Lost() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begin()
}

// due waits until an attempt is due. leave must be called after it.
func (p *Pace) due(ctx context.Context) (leave func(), err error) {
	if p.pause() < 0 {
		return func() {}, nil
	}
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	leave = func() { <-p.turn }
	if pause := p.pause(); pause > 0 {
		t := time.NewTimer(pause)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			leave()
			return nil, context.Cause(ctx)
		}
	}
	return leave, nil
}

// pause returns how long to wait before an attempt; less than 0 means that there
// is no outage.
func (p *Pace) pause() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.outage.lasts() {
		return -1
	}
	return max(0, time.Until(p.outage.next))
}

// note notes what came of an attempt, and reports whether to give up. One that its
// caller took back says nothing of the peer.
func (p *Pace) note(ctx context.Context, err error) (gaveUp bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err == nil:
		if p.outage.lasts() {
			p.outage.ended = time.Now()
		}
		return false
	case errors.Is(ctx.Err(), context.Canceled):
		return false
	case !p.outage.lasts():
		p.begin()
	}
	p.outage.next = time.Now().Add(p.outage.pauses.NextBackOff())
	return p.o.GiveUp > 0 && time.Since(p.outage.began) > p.o.GiveUp
}

// begin begins an outage, unless one lasts. It needs mu.
func (p *Pace) begin() {
	p.outage.begin(cmp.Or(p.o.First, 100*time.Millisecond), cmp.Or(p.o.Most, 10*time.Second))
}
