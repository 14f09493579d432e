package transport

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"maps"
	"net"
)

// Credentials are what a peer shows to be let in.
type Credentials struct {
	// User and Password as given; both empty means that none were.
	User, Password string
	// VirtualHost is the one asked for, or "".
	VirtualHost string
	// TLS is the state of the TLS session, with the peer's verified certificate
	// if it gave one; nil without TLS.
	TLS *tls.ConnectionState
	// Remote is the address that the peer connected from.
	Remote net.Addr
}

// An Authenticator decides who may connect. Wires ask it by [ListenOptions.Admit].
type Authenticator interface {
	// Authenticate returns the name by which the peer is to be known. An error
	// turns the peer away; it is logged and not told to the peer, save for
	// [ErrCertificateRequired]. It must take
	// the same time for an unknown user and a wrong password, and must be safe
	// for concurrent use.
	Authenticate(ctx context.Context, c Credentials) (user string, err error)
}

// Users returns an Authenticator that knows the given users by their passwords.
// It compares in constant time, and as long for an unknown user as for a wrong
// password. The map is copied.
func Users(passwords map[string]string) Authenticator {
	return users(maps.Clone(passwords))
}

type users map[string]string

func (u users) Authenticate(_ context.Context, c Credentials) (string, error) {
	want, known := u[c.User]
	a, b := sha256.Sum256([]byte(want)), sha256.Sum256([]byte(c.Password))
	if same := subtle.ConstantTimeCompare(a[:], b[:]) == 1; !known || !same {
		return "", WithReason(ErrRefused, "wrong user or password")
	}
	return c.User, nil
}
