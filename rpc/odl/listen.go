package odl

import (
	"context"
	"fmt"

	"github.com/polyport/polyport/transport"
)

// Listen accepts the endpoint's clients, those that call and those that subscribe: a
// server with the profile [transport.OpenDaylight]. Without a host it listens on all
// interfaces, at the endpoint's port. With Auth it lets in nobody but the endpoint's user,
// unless o has an Authenticator, which then decides. TLS is set up from the endpoint
// unless o has its own [transport.Options].TLS. ctx bounds the set-up only. A nil o means
// the defaults.
func (e *Endpoint) Listen(ctx context.Context, o *transport.ListenOptions) (*transport.Listener, error) {
	e, err := e.checked()
	if err != nil {
		return nil, err
	}
	var own transport.ListenOptions
	if o != nil {
		own = *o
	}
	own.Profile = transport.OpenDaylight
	if e.Auth && own.Authenticator == nil {
		own.Authenticator = transport.Users(map[string]string{e.Username: e.Password})
	}
	switch {
	case e.tls() && own.TLS == nil:
		if own.TLS, err = e.serverTLS(own.Logger); err != nil {
			return nil, err
		}
	case !e.tls() && e.ClientVerify != VerifyNone:
		return nil, fmt.Errorf("odl: client-verify=%s: there are no certificates over %s; expected https or wss", e.ClientVerify, e.Scheme)
	}
	return transport.Listen(ctx, e.url("").String(), &own)
}
