package acceptor

import (
	"bytes"
	"context"
	"errors"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp/internal/frames"
)

// The mechanisms (RFC 4505, RFC 4616, RFC 4422 appendix A).
const (
	mechanismAnonymous = "ANONYMOUS"
	mechanismPlain     = "PLAIN"
	mechanismExternal  = "EXTERNAL"
)

// A login finds out who the peer is.
type login struct {
	conn *conn
	ctx  context.Context
	// shown are the credentials that were accepted.
	shown transport.Credentials
	// barred is why the peer is not let in, if it is told so after its open frame:
	// SASL has no words for it.
	barred error
}

// without lets in a peer that does not use SASL, if nobody has to log in.
func (l *login) without() error {
	return l.admit(transport.Credentials{})
}

// negotiate is the exchange of SASL frames (section 5.3).
func (l *login) negotiate() error {
	c := l.conn
	offered := []string{mechanismAnonymous}
	if c.o.Authenticator == nil || c.o.TakesPasswords(&c.info) {
		offered = []string{mechanismPlain, mechanismAnonymous}
	}
	if l.certified() {
		offered = append(offered, mechanismExternal)
	}
	err := c.stream.Write(l.ctx, "handshake", 128, func(dst []byte) []byte {
		return frames.AppendSASLMechanisms(append(dst, headerSASL[:]...), offered...)
	})
	if err != nil {
		return err
	}
	c.stage = stageLogin
	f, err := c.frames.next()
	if err != nil {
		return err
	}
	if f.Type != frames.TypeSASL || f.code != frames.CodeSASLInit {
		return broken("", "expected a sasl-init frame, got one of type %d with the performative %#02x", f.Type, f.code)
	}
	var init frames.SASLInit
	init.Parse(&f.fields)
	if err := f.fields.Err(); err != nil {
		return malformed("sasl-init", err)
	}
	shown, err := l.credentials(&init)
	if err != nil {
		return err
	}
	shown.VirtualHost = string(init.Hostname)
	// After the open frames a peer counts itself as connected, so here is the
	// place to turn it away, if it says here where it wants to.
	if host := shown.VirtualHost; host != "" && !l.conn.knows(host) {
		return refused(notFound, "no virtual host %.60q here", host)
	}
	if err := l.admit(shown); err != nil {
		return err
	}
	return c.stream.Write(l.ctx, "handshake", 32, func(dst []byte) []byte {
		return frames.AppendSASLOutcome(dst, frames.SASLOK)
	})
}

// credentials reads what a mechanism's response shows.
func (l *login) credentials(init *frames.SASLInit) (shown transport.Credentials, err error) {
	switch m := string(init.Mechanism); m {
	case mechanismAnonymous: // the response is a trace, not a name
		return shown, nil
	case mechanismPlain:
		parts := bytes.Split(init.Response, []byte{0})
		if len(parts) != 3 {
			return shown, refused("", "the response of PLAIN is not made of three parts")
		}
		if as := parts[0]; len(as) > 0 && !bytes.Equal(as, parts[1]) {
			return shown, refused("", "the peer wants to act as %.40q, which is not its own name", as)
		}
		shown.User, shown.Password = string(parts[1]), string(parts[2])
		return shown, nil
	case mechanismExternal:
		if !l.certified() {
			return shown, refused("", "the mechanism EXTERNAL needs a client certificate")
		}
		shown.User = string(init.Response)
		return shown, nil
	default:
		return shown, refused("", "the mechanism %.20q is not offered", m)
	}
}

// certified reports whether the peer has shown a certificate that was verified.
func (l *login) certified() bool {
	t := l.conn.info.TLS
	return t != nil && len(t.VerifiedChains) > 0
}

// admit asks the authenticator.
func (l *login) admit(shown transport.Credentials) error {
	c := l.conn
	l.shown = shown
	user, err := c.o.Admit(l.ctx, &c.info, shown)
	if err != nil {
		if errors.Is(err, transport.ErrCertificateRequired) || errors.Is(err, transport.ErrPlaintext) {
			l.barred = &fault{unauthorized, err}
			return nil
		}
		return refused(unauthorized, "%s", transport.Reason(err))
	}
	c.info.User = user
	return nil
}

// host checks the virtual host of the open frame. An authenticator that was
// asked before it was known is asked again.
func (l *login) host(name string) error {
	if l.barred != nil {
		return l.barred
	}
	if !l.conn.knows(name) {
		return refused(notFound, "no virtual host %.60q here", name)
	}
	if l.shown.VirtualHost == name || name == "" {
		return nil
	}
	shown := l.shown
	shown.VirtualHost = name
	if err := l.admit(shown); err != nil {
		return err
	}
	return l.barred
}
