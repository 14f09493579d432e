package transport

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A Scheme is a wire as a URL names it.
type Scheme struct {
	// Name is the scheme: "stomp".
	Name string
	// TLS says that the byte stream is encrypted before the wire sees it.
	TLS bool
	// Port is used when the URL has none.
	Port string
	// Transport speaks the wire.
	Transport Transport
	// Network makes the byte streams. Nil means TCP.
	Network Network
	// Profiles are those that the Transport knows.
	Profiles []Profile
	// Ports are used instead of Port in a profile.
	Ports map[Profile]string
}

// A Network makes byte streams for a [Scheme] that does not run over TCP.
type Network interface {
	// Dial connects to the listener called addr, within ctx.
	Dial(ctx context.Context, addr string) (net.Conn, error)
	// Listen makes a listener called addr.
	Listen(addr string) (net.Listener, error)
}

var schemes = struct {
	sync.RWMutex
	byName map[string]Scheme
}{byName: map[string]Scheme{}}

// Register makes s known to [Dial] and [Listen]. Packages of wires call it when
// they are imported. It panics if s is incomplete or its name is taken.
func Register(s Scheme) {
	if s.Name == "" || s.Transport == nil {
		panic("transport: Register of a scheme without name or transport")
	}
	schemes.Lock()
	defer schemes.Unlock()
	if _, taken := schemes.byName[s.Name]; taken {
		panic("transport: scheme " + s.Name + " is registered twice")
	}
	schemes.byName[s.Name] = s
}

// Schemes returns the names of the registered schemes in order.
func Schemes() []string {
	schemes.RLock()
	defer schemes.RUnlock()
	return slices.Sorted(maps.Keys(schemes.byName))
}

// Lookup returns the registered scheme called name.
func Lookup(name string) (s Scheme, ok bool) {
	schemes.RLock()
	defer schemes.RUnlock()
	s, ok = schemes.byName[name]
	return s, ok
}

// lookup parses a URL and finds its scheme.
func lookup(rawURL string) (*url.URL, Scheme, error) {
	known := strings.Join(Schemes(), ", ")
	u, err := url.Parse(rawURL)
	secret := strings.ContainsAny(rawURL, "@%") // may hold a password, which no error may show
	switch {
	case err != nil && secret:
		return nil, Scheme{}, errors.New("transport: cannot parse the URL; " +
			"are the special characters of user and password percent-encoded?")
	case err != nil:
		return nil, Scheme{}, fmt.Errorf("transport: cannot parse the URL: %w", reason(err))
	case u.Scheme == "" || !strings.Contains(rawURL, "://"):
		shown := strconv.Quote(rawURL)
		if secret {
			shown = "the address"
		}
		return nil, Scheme{}, fmt.Errorf("transport: %s is not a URL; expected SCHEME://HOST:PORT with a scheme of %s", shown, known)
	}
	s, ok := Lookup(u.Scheme)
	switch {
	case !ok:
		return nil, s, fmt.Errorf("transport: unknown scheme %q; known are %s", u.Scheme, known)
	case u.Host == "" && s.Network == nil:
		return nil, s, fmt.Errorf("transport: %s URL without a host", u.Scheme)
	}
	return u, s, nil
}

// reason is a parse error without the URL.
func reason(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// address is the host and port of u, in a profile.
func (s Scheme) address(u *url.URL, p Profile) string {
	if u.Port() != "" || s.Network != nil {
		return u.Host
	}
	return net.JoinHostPort(u.Hostname(), cmp.Or(s.Ports[p], s.Port))
}
