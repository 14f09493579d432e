package odl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// reconnectDelay is what OpenDaylight's subscribers wait before they connect again.
const reconnectDelay = time.Second

// Dial connects to the endpoint, and returns a client with OpenDaylight's habits (the
// profile [transport.OpenDaylight]). The endpoint's Timeout is the deadline of each call
// whose context has none that is sooner. A call that was not sent, because there was no
// connection, is tried again RetryCount times with RetryDelay before each; a batch is not.
// These happen inside the interceptors of o, which see one call. With o.Reconnect a call
// waits for a connection as long as its deadline lets it, and there is little to try
// again. The first connection is tried once; ctx bounds that. TLS is set up from the
// endpoint unless o has its own [transport.Options].TLS. A nil o means the defaults.
func (e *Endpoint) Dial(ctx context.Context, o *rpc.ClientOptions) (*rpc.Client, error) {
	return e.dial(ctx, o, "")
}

// DialSubscriber is Dial for a client that hears what is published at the endpoint, by
// [rpc.Client.Subscribe], and cannot call. There are such endpoints over zmq, ws and wss. A connection that is lost is
// made again about every second, for ever, unless o.Reconnect says otherwise.
func (e *Endpoint) DialSubscriber(ctx context.Context, o *rpc.ClientOptions) (*rpc.Client, error) {
	if e.Scheme == "http" || e.Scheme == "https" {
		return nil, fmt.Errorf("odl: nothing is published over %s; expected an endpoint of zmq, ws or wss", e.Scheme)
	}
	return e.dial(ctx, o, "sub")
}

func (e *Endpoint) dial(ctx context.Context, o *rpc.ClientOptions, socket string) (*rpc.Client, error) {
	e, err := e.checked()
	switch {
	case err != nil:
		return nil, err
	case e.Host == "" || e.Port == 0:
		return nil, fmt.Errorf("odl: cannot dial %s: it names no host and port; expected %s://HOST:PORT", e, e.Scheme)
	}
	own, err := e.clientOptions(o, socket)
	if err != nil {
		return nil, err
	}
	u := e.url(socket)
	if e.Auth {
		u.User = url.UserPassword(e.Username, e.Password)
	}
	return rpc.Dial(ctx, u.String(), own)
}

// checked returns e as Parse would have made it.
func (e *Endpoint) checked() (*Endpoint, error) {
	own, err := Parse(e.URI())
	switch {
	case err != nil:
		return nil, err
	case own.Auth && own.Scheme == "zmq":
		return nil, errors.New("odl: zmq has no user and password, and would let anybody in; leave out auth, or use https or wss")
	}
	return own, nil
}

// url returns the endpoint as package transport has it.
func (e *Endpoint) url(socket string) *url.URL {
	u := &url.URL{Scheme: e.Scheme, Host: net.JoinHostPort(e.Host, strconv.Itoa(e.Port))}
	q := url.Values{"profile": {string(transport.OpenDaylight)}}
	if socket != "" {
		q.Set("socket", socket)
	}
	u.RawQuery = q.Encode()
	return u
}

// clientOptions returns o with what the endpoint adds.
func (e *Endpoint) clientOptions(o *rpc.ClientOptions, socket string) (*rpc.ClientOptions, error) {
	var own rpc.ClientOptions
	if o != nil {
		own = *o
	}
	if own.Reconnect == nil && socket != "" {
		own.Reconnect = &transport.RedialOptions{First: reconnectDelay, Most: reconnectDelay}
		if own.Transport != nil {
			own.Reconnect.DialOptions = *own.Transport
		}
	}
	var d *transport.DialOptions // which count
	switch {
	case own.Reconnect != nil:
		r := *own.Reconnect
		own.Reconnect, d = &r, &r.DialOptions
	case own.Transport != nil:
		t := *own.Transport
		own.Transport, d = &t, &t
	default:
		own.Transport = new(transport.DialOptions)
		d = own.Transport
	}
	d.Profile = transport.OpenDaylight
	if d.TLS == nil && e.tls() {
		conf, err := e.clientTLS(cmp.Or(d.Logger, own.Logger))
		if err != nil {
			return nil, err
		}
		d.TLS = conf
	}
	own.Interceptors = append(slices.Clip(own.Interceptors), e.proxy)
	return &own, nil
}

// proxy has calls end in time, and tries again what was not sent, as a proxy of
// OpenDaylight does.
func (e *Endpoint) proxy(ctx context.Context, c *rpc.Invocation) error {
	if c.Incoming {
		return c.Next(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, e.Timeout)
	defer cancel()
	_, batch := c.Params.(*rpc.Batch)
	for left := e.RetryCount; ; left-- {
		err := c.Next(ctx)
		if left <= 0 || batch || !again(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(e.RetryDelay):
		}
	}
}

// again reports whether a call that ended with err was not sent, for a reason that may
// go away.
func again(err error) bool {
	if err == nil || rpc.OutcomeOf(err) != rpc.NotSent {
		return false
	}
	for _, final := range []error{
		rpc.ErrClosed, transport.ErrGaveUp, transport.ErrTooLarge, transport.ErrInvalid,
		transport.ErrUnsupported, transport.ErrNoRoute, transport.ErrRefused, transport.ErrPlaintext,
	} {
		if errors.Is(err, final) {
			return false
		}
	}
	_, wire := errors.AsType[*transport.OpError](err)
	return wire
}
