package rpc

import (
	"context"

	"github.com/polyport/polyport/transport"
)

// dial makes the connection that Dial calls by. What kind it has to be, the first
// one that is made tells.
func dial(ctx context.Context, rawURL string, o *ClientOptions) (transport.Conn, error) {
	again := dialerTo(rawURL, o)
	first, err := again(ctx)
	switch {
	case err != nil:
		return nil, err
	case first.Info().Lockstep:
		return newLockstep(first, again, o), nil
	case o.Reconnect == nil:
		return first, nil
	}
	r := *o.Reconnect
	r.Dial = func(ctx context.Context) (transport.Conn, error) {
		if c := first; c != nil { // Redial makes the first attempt before it returns
			first = nil
			return c, nil
		}
		return again(ctx)
	}
	conn, err := transport.Redial(ctx, rawURL, &r)
	if err != nil && first != nil {
		_ = first.Close()
	}
	return conn, err
}

// dialerTo returns what connects to a URL once.
func dialerTo(rawURL string, o *ClientOptions) dialer {
	d := o.Transport
	if r := o.Reconnect; r != nil {
		if r.Dial != nil {
			return r.Dial
		}
		d = &r.DialOptions
	}
	return func(ctx context.Context) (transport.Conn, error) { return transport.Dial(ctx, rawURL, d) }
}
