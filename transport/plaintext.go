package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// Admit asks the Authenticator whether the peer of a connection may stay, and
// returns the name by which it is to be known. Wires call it in their
// handshake, with what the peer showed; TLS and Remote are taken from i. Without
// an Authenticator everybody may stay, and is nobody.
//
// A password that crossed a network in the clear is refused before the
// Authenticator sees it (see [Options].PlaintextPasswords). Every refusal is
// logged. The error wraps [ErrRefused], and its [Reason] is what the peer may be
// told: the same for all that the Authenticator refuses. It
// wraps [ErrPlaintext] or [ErrCertificateRequired], too, if that was the reason.
func (o *ListenOptions) Admit(ctx context.Context, i *Info, c Credentials) (user string, err error) {
	if o.Authenticator == nil {
		return "", nil
	}
	c.TLS, c.Remote = i.TLS, i.Remote
	if c.Password != "" && !o.TakesPasswords(i) {
		err = ErrPlaintext
	} else {
		user, err = o.Authenticator.Authenticate(ctx, c)
	}
	if err != nil {
		o.Logger.Warn("access refused", "wire", i.Scheme, "remote", i.Remote, "user", c.User[:min(len(c.User), 100)], "err", err)
		return "", refusal(err)
	}
	return user, nil
}

// refusal is what the peer may know of why it is turned away.
func refusal(err error) error {
	switch {
	case errors.Is(err, ErrPlaintext):
		return errPlaintext
	case errors.Is(err, ErrCertificateRequired):
		return errNoCertificate
	}
	return errDenied
}

var (
	errDenied        = WithReason(ErrRefused, "access refused; check user and password")
	errPlaintext     = WithReason(fmt.Errorf("%w: %w", ErrRefused, ErrPlaintext), "access refused; a password is taken over TLS only")
	errNoCertificate = WithReason(fmt.Errorf("%w: %w", ErrRefused, ErrCertificateRequired),
		"a client certificate is required; connect with TLS and one that this server trusts")
)

// TakesPasswords reports whether a peer may send a password over the connection:
// it is encrypted, or does not leave this machine, or the options allow it all
// the same. A wire whose server names the ways to log in leaves out those with
// a password if it is false.
func (o *ListenOptions) TakesPasswords(i *Info) bool {
	return i.TLS != nil || o.PlaintextPasswords || onThisMachine(i.Remote)
}

// mayShow returns an error if the credentials in u are not to be sent over nc.
func mayShow(u *url.URL, nc net.Conn, o *DialOptions) error {
	if u.User == nil || isTLS(nc) || o.PlaintextPasswords || onThisMachine(nc.RemoteAddr()) {
		return nil
	}
	use := "use a scheme with TLS"
	if s, ok := Lookup(u.Scheme + "s"); ok && s.TLS {
		use = "use " + s.Name + "://"
	}
	return WithReason(ErrPlaintext, fmt.Sprintf(
		"user and password would cross the network in the clear, nothing was sent; %s, or set PlaintextPasswords", use))
}

// onThisMachine reports whether what is sent to addr reaches no network: it is
// on the loopback interface, a Unix socket or in memory.
func onThisMachine(addr net.Addr) bool {
	if addr == nil {
		return false
	}
	switch network := addr.Network(); {
	case network == "mem", network == "pipe", strings.HasPrefix(network, "unix"):
		return true
	case !strings.HasPrefix(network, "tcp"):
		return false
	}
	at, err := netip.ParseAddrPort(addr.String())
	return err == nil && at.Addr().Unmap().IsLoopback()
}
