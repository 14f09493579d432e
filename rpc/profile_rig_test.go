package rpc_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// inProfile is w with a profile at both ends.
func inProfile(w wire, p transport.Profile) wire {
	return wire{w.name + "?profile=" + string(p), func(tb testing.TB, o *transport.ListenOptions) link {
		tb.Helper()
		lo := *o
		lo.Profile = p
		l := w.open(tb, &lo)
		dial := l.dial
		l.dial = func(ctx context.Context, o *transport.DialOptions) (transport.Conn, error) {
			do := *o
			do.Profile = p
			return dial(ctx, &do)
		}
		return l
	}}
}

var (
	ovirtPipe = inProfile(memPipe, transport.OVirt)
	odlPipe   = inProfile(memPipe, transport.OpenDaylight)
)

// A chameleon is a connection whose peer shows late what it is.
type chameleon struct {
	transport.Conn
	shown atomic.Bool
}

func (c *chameleon) Info() *transport.Info {
	if !c.shown.Load() {
		return c.Conn.Info()
	}
	info := *c.Conn.Info()
	info.Profile = transport.OVirt
	return &info
}

func (c *chameleon) Unwrap() transport.Conn { return c.Conn }

// ruled runs the rules of a table, each with a client in a profile, and the other
// end of its connection in the hands of the test.
func ruled(t *testing.T, w wire, o *rpc.ClientOptions, rules map[string]func(t *testing.T, c *rpc.Client, p *peer)) {
	t.Helper()
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, p := scripted(t, w, o)
				rule(t, c, p)
			})
		})
	}
}

// callOn calls method on a goroutine of its own.
func callOn(ctx context.Context, c *rpc.Client, method string, params any) <-chan error {
	done := make(chan error, 1)
	go func() { done <- c.Call(ctx, method, params, nil) }()
	return done
}

// sees reports a peer that hears anything before the call of fence.
func (p *peer) sees(c *rpc.Client, fence string) {
	p.t.Helper()
	done := callOn(p.t.Context(), c, fence, nil)
	r := p.hearRequest()
	if r.Method != fence {
		p.t.Errorf("heard %s, want nothing before %s", r.Method, fence)
	}
	p.answer(r, "0")
	if err := within(p.t, done, fence); err != nil {
		p.t.Errorf("Call(%s) = %v", fence, err)
	}
}

// untilFence returns, in the notation of brief, all that a server says until it has
// dealt with what it was told, one request after the other, and after.
func (p *peer) untilFence() (heard []string) {
	p.t.Helper()
	p.say(`{"jsonrpc":"2.0","id":"fence","method":"fence"}`)
	for {
		b := brief(p.hear())
		if strings.HasPrefix(b, `"fence"!`) {
			break
		}
		heard = append(heard, b)
	}
	if body, err := p.listen(time.Second); err == nil {
		heard = append(heard, "late: "+body)
	}
	return heard
}
