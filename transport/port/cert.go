package port

import (
	"context"

	"github.com/polyport/polyport/transport"
)

// certified lets nobody in without a verified certificate, and then asks next,
// which may be nil.
type certified struct{ next transport.Authenticator }

// Authenticate is that of [transport.Authenticator].
func (a certified) Authenticate(ctx context.Context, c transport.Credentials) (string, error) {
	switch {
	case c.TLS == nil || len(c.TLS.VerifiedChains) == 0:
		return "", transport.ErrCertificateRequired
	case a.next == nil:
		return "", nil
	}
	return a.next.Authenticate(ctx, c)
}
