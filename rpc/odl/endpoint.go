package odl

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A ClientVerify says what a listener with TLS asks of its clients.
type ClientVerify string

// What a listener may ask: no certificate, one that is verified if it is shown, or one
// from everybody.
const (
	VerifyNone     ClientVerify = "NONE"
	VerifyOptional ClientVerify = "OPTIONAL"
	VerifyRequire  ClientVerify = "REQUIRE"
)

// A ValidationPolicy says how the other end's certificate is judged.
type ValidationPolicy string

const (
	// Strict: it is signed by somebody who is trusted, is valid now, and, if it is a
	// server's, is for the host that was dialed.
	Strict ValidationPolicy = "strict"
	// Ignore: any will do. So whoever is between the ends can read and change all.
	Ignore ValidationPolicy = "ignore"
)

// An Endpoint is where OpenDaylight's bus dials or listens, with its options. [Parse]
// makes one. In one that is made by hand a field that is empty or zero means the
// default, save Port, RetryCount and RetryDelay; Dial and Listen check it. It is safe
// for concurrent use as long as nobody changes it.
type Endpoint struct { //nolint:recvcheck // a copy that is printed shows no password either
	// Scheme is zmq, http, https, ws or wss.
	Scheme string
	// Host is a name or an address. Empty means all interfaces, to listen at.
	Host string
	// Port is the one of the URI, or else the default of the scheme. Zero picks a
	// free one to listen at.
	Port int
	// Path is what is between host and options, "/" included, or "".
	Path string

	// Timeout is how long a call may take whose context does not end earlier, its
	// retries included; in whole milliseconds. By default 30 s.
	Timeout time.Duration
	// RetryCount is how often a call that was not sent is tried again, and RetryDelay
	// what is waited before; in whole milliseconds. [Parse] sets 5 and 100 ms.
	RetryCount int
	RetryDelay time.Duration

	// Auth says that a listener takes nobody without the user and the password below,
	// and that who dials sends them.
	Auth               bool
	Username, Password string

	// KeystoreType is JKS or PKCS12. It has no effect: a file is read as what it is.
	KeystoreType string
	// KeystoreFile holds this end's key and certificate. Empty means none.
	KeystoreFile string
	// KeystorePassword opens that file and the key in it. By default "changeit".
	KeystorePassword string
	// TruststoreFile holds the certificates of those who are trusted to sign that of
	// the other end. Empty means the system's.
	TruststoreFile string
	// TruststorePassword opens it. By default "changeit".
	TruststorePassword string
	// CertificateAlias is the name of the key in a JKS file. Empty means the only one.
	CertificateAlias string

	// ClientVerify is what a listener asks of its clients. By default [VerifyNone].
	ClientVerify ClientVerify
	// Validation is how the other end's certificate is judged. By default [Strict].
	Validation ValidationPolicy
	// Ciphers are the cipher suites that may be used, and Protocols the versions of
	// TLS: "TLSv1.2", "TLSv1.3". None means Go's choice of TLS 1.2 and 1.3. A version
	// for which no cipher is named is not used. Of the ciphers of TLS 1.3 any may be
	// used if one is named.
	Ciphers, Protocols []string
	// ClientChain and ServerChain are the most certificates that a client and a server
	// may show, their own included. By default 3.
	ClientChain, ServerChain int
}

// ports are the schemes, with their default ports.
var ports = map[string]int{"zmq": 10000, "http": 80, "https": 443, "ws": 80, "wss": 443}

// Parse reads an endpoint's URI; see the package for its rules. An error says what is
// wrong and what was expected, and shows no password.
func Parse(uri string) (*Endpoint, error) {
	bare, query, _ := strings.Cut(uri, "?")
	if strings.Contains(uri, "#") {
		return nil, errors.New("odl: an endpoint URI has no fragment; write a # in a value as %23")
	}
	u, err := url.Parse(bare)
	switch {
	case err != nil && strings.Contains(bare, "@"): // may hold a password
		return nil, errUser
	case err != nil:
		return nil, fmt.Errorf("odl: the endpoint URI does not read SCHEME://HOST[:PORT][?OPTIONS]: %w", reason(err))
	}
	e := defaults()
	port, known := ports[u.Scheme]
	switch {
	case !known:
		return nil, fmt.Errorf("odl: an endpoint URI begins with zmq://, http://, https://, ws:// or wss://, not with the scheme %.20q",
			u.Scheme)
	case u.Opaque != "" || !strings.Contains(bare, "://"):
		return nil, fmt.Errorf("odl: an endpoint URI has two slashes behind the scheme: %s://HOST:PORT", u.Scheme)
	case u.User != nil:
		return nil, errUser
	}
	e.Scheme, e.Host, e.Port, e.Path = u.Scheme, u.Hostname(), port, u.EscapedPath()
	if e.Host == "*" {
		e.Host = ""
	}
	if _, err := netip.ParseAddr(e.Host); err != nil && strings.Contains(e.Host, ":") {
		return nil, fmt.Errorf("odl: the host %.60q is neither a name nor an address; expected HOST:PORT or [ADDRESS]:PORT",
			u.Host)
	}
	if p := u.Port(); p != "" {
		if e.Port, err = strconv.Atoi(p); err != nil || e.Port > 65535 {
			return nil, fmt.Errorf("odl: port %.20q: expected a number up to 65535", p)
		}
	}
	if err := e.parseOptions(query); err != nil {
		return nil, err
	}
	return e, nil
}

var errUser = errors.New("odl: an endpoint URI has no user before the host; use the options auth, auth-username and auth-password")

// reason is a parse error without the URI.
func reason(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// defaults returns an endpoint without scheme and host.
func defaults() *Endpoint {
	return &Endpoint{
		Timeout: 30 * time.Second, RetryCount: 5, RetryDelay: 100 * time.Millisecond,
		KeystoreType: "JKS", KeystorePassword: "changeit", TruststorePassword: "changeit",
		ClientVerify: VerifyNone, Validation: Strict, ClientChain: 3, ServerChain: 3,
	}
}

// parseOptions sets what a query says.
func (e *Endpoint) parseOptions(query string) error {
	seen := make(map[string]bool)
	last := new(option)
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		rawKey, rawValue, valued := strings.Cut(pair, "=")
		key, err := url.PathUnescape(rawKey)
		o := find(key)
		switch {
		case key == "" && err == nil:
			return errors.New("odl: an option without a key; expected key=value")
		case o == nil && last.secret: // what follows may be part of the password
			return fmt.Errorf("odl: unknown option behind %s; write a & in a password as %%26. Known are %s", last.key, keys())
		case o == nil:
			return fmt.Errorf("odl: unknown option %.40q; known are %s", rawKey, keys())
		case seen[key]:
			return fmt.Errorf("odl: the option %s is there twice; expected it once", key)
		}
		seen[key], last = true, o
		value, err := url.PathUnescape(rawValue)
		if err != nil {
			return fmt.Errorf("odl: the value of the option %s is not percent-encoded; write a %% as %%25", key)
		}
		if err := o.parse(e, value, valued); err != nil {
			return err
		}
	}
	return e.check(seen)
}

// check returns why the options do not fit each other.
func (e *Endpoint) check(seen map[string]bool) error {
	switch {
	case e.Auth && (e.Username == "" || e.Password == ""):
		return errors.New("odl: the option auth needs auth-username and auth-password")
	case !e.Auth && (seen["auth-username"] || seen["auth-password"]):
		return errors.New("odl: auth-username and auth-password have no effect without the option auth; add it, or leave them out")
	}
	_, err := e.offer()
	return err
}

// String returns the URI, with xxxxx in the place of passwords. Options that have their
// default values are left out.
func (e Endpoint) String() string { return e.uri(false) }

// LogValue returns String.
func (e Endpoint) LogValue() slog.Value { return slog.StringValue(e.String()) }

// URI returns the URI with its passwords, for a place that may hold them. Parse makes
// the same endpoint of it.
func (e Endpoint) URI() string { return e.uri(true) }

// uri builds the URI.
func (e *Endpoint) uri(secrets bool) string {
	var b strings.Builder
	at := url.URL{Scheme: e.Scheme, Host: bracketed(cmp.Or(e.Host, "*"))}
	if e.Port != ports[e.Scheme] {
		at.Host += ":" + strconv.Itoa(e.Port)
	}
	b.WriteString(at.String())
	b.WriteString(e.Path)
	mark, usual := "?", defaults()
	for _, o := range options {
		value := o.text(e)
		if value == "" || value == o.text(usual) {
			continue
		}
		b.WriteString(mark + o.key)
		mark = "&"
		switch {
		case o.flag:
		case o.secret && !secrets:
			b.WriteString("=xxxxx")
		default:
			b.WriteString("=" + strings.ReplaceAll(url.QueryEscape(value), "+", "%20"))
		}
	}
	return b.String()
}

// bracketed is a host as it stands in a URI.
func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}
