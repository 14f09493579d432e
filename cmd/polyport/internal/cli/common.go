package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// common are the flags that every verb has.
type common struct {
	JSON    bool          `help:"Print JSON, one text a line, and failures as JSON objects."`
	Timeout time.Duration `default:"10s" help:"How long all of it may take."`
	tlsFlags
}

// tlsFlags are the part of common that is about TLS.
type tlsFlags struct {
	CACert   string `name:"cacert" group:"tls" placeholder:"FILE" help:"PEM file of authorities to trust instead of the system's."`
	Cert     string `group:"tls" placeholder:"FILE" help:"PEM file of a certificate to show to the server."`
	Key      string `group:"tls" placeholder:"FILE" help:"PEM file of its key."`
	Insecure bool   `group:"tls" help:"Take any certificate; without TLS, send a password all the same. Nobody is kept from listening in."`
}

func (c *common) options() *common { return c }

// Validate is called by kong.
func (c *common) Validate() error {
	if c.Timeout <= 0 {
		return errors.New("--timeout must be more than 0, such as 500ms or 10s")
	}
	return c.validateTLS()
}

func (c *tlsFlags) validateTLS() error {
	switch {
	case (c.Cert == "") != (c.Key == ""):
		return errors.New("--cert and --key go together")
	case c.Insecure && c.CACert != "":
		return errors.New("--cacert says whom to trust and --insecure to trust anybody; choose one")
	}
	return nil
}

// bound returns a context that ends with the timeout.
func (c *common) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.Timeout)
}

// dialOptions returns the options for dialing to. Its errors are usage errors.
func (c *common) dialOptions(to target) (*transport.DialOptions, error) {
	o := &transport.DialOptions{Timeout: c.Timeout}
	if !app.IsTLS(to.url.Scheme) {
		if c.CACert != "" || c.Cert != "" || c.Insecure && to.url.User == nil {
			return nil, usagef("TLS options are given, but %[1]s:// is not encrypted; with TLS it is %[1]ss://", to.url.Scheme)
		}
		o.PlaintextPasswords = c.Insecure
		return o, nil
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: c.Insecure} //nolint:gosec // the flag says so
	if c.CACert != "" {
		pool, err := app.ReadCertPool(c.CACert)
		if err != nil {
			return nil, usagef("--cacert: %w", err)
		}
		conf.RootCAs = pool
	}
	if c.Cert != "" {
		cert, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, usagef("--cert and --key: %w", err)
		}
		conf.Certificates = []tls.Certificate{cert}
	}
	o.TLS = conf
	return o, nil
}

// dial connects a client to a server or broker.
func (c *common) dial(ctx context.Context, to target, o *rpc.ClientOptions) (*rpc.Client, error) {
	conn, err := c.connect(ctx, to)
	if err != nil {
		return nil, err
	}
	return rpc.NewClient(conn, o), nil
}

// connect connects to a server or broker.
func (c *common) connect(ctx context.Context, to target) (transport.Conn, error) {
	o, err := c.dialOptions(to)
	if err != nil {
		return nil, err
	}
	conn, err := transport.Dial(ctx, to.url.String(), o)
	if err != nil {
		return nil, unansweredError{outcome: rpc.NotSent, to: to, err: err}
	}
	return conn, nil
}

// A target is the URL that a verb is about.
type target struct{ url *url.URL }

// UnmarshalText reads the argument. Its errors show no password.
func (t *target) UnmarshalText(text []byte) error {
	known := strings.Join(transport.Schemes(), ", ")
	raw := string(text)
	if !strings.Contains(raw, "://") {
		return fmt.Errorf("expected SCHEME://HOST:PORT, such as stomp://127.0.0.1:7070, with a scheme of %s", known)
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		reason := err
		if e, ok := errors.AsType[*url.Error](err); ok {
			reason = e.Err // without the URL
		}
		return fmt.Errorf("cannot parse the URL: %w; expected SCHEME://[USER:PASSWORD@]HOST:PORT[/DESTINATION], "+
			"with special characters of user and password percent-encoded", reason)
	case !slices.Contains(transport.Schemes(), u.Scheme):
		return fmt.Errorf("unknown scheme %q; known are %s", u.Scheme, known)
	case u.Hostname() == "":
		return fmt.Errorf("no host; expected %s://HOST:PORT", u.Scheme)
	}
	if err := app.CheckProfile(transport.Profile(u.Query().Get("profile")), u.Scheme); err != nil {
		return err
	}
	t.url = u
	return nil
}

// checkParams returns text as params, or a usage error; nothing is sent that
// is no JSON.
func checkParams(name, text string) (any, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // no params
	}
	const examples = `expected an array or an object, such as '[1,2,3]' or '{"ms":10}'`
	raw := jsontext.Value(text)
	if err := syntax(raw); err != nil {
		return nil, usagef("%s is not JSON: %w; %s", name, err, examples)
	}
	if k := raw.Kind(); k != '[' && k != '{' {
		return nil, usagef("%s: %s; got %s", name, examples, k)
	}
	return rawMessage(text), nil
}

// syntax says what is wrong with a JSON text.
func syntax(raw jsontext.Value) error {
	d := jsontext.NewDecoder(strings.NewReader(string(raw)))
	_, err := d.ReadValue()
	if err == nil && !raw.IsValid() {
		err = errors.New("more than one value")
	}
	if err == nil {
		return nil
	}
	return errors.New(strings.TrimPrefix(err.Error(), "jsontext: "))
}
