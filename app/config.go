package app

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// Config is everything that can be set. The zero value, and zero fields, mean
// the documented defaults. [Load] fills it from a file, the environment and
// flags; the names of its settings there are in the package documentation.
type Config struct {
	// Listen are the addresses to listen at: HOST:PORT, at which all wires are
	// spoken, with TLS and without if there is a certificate; or a URL such as
	// stomps://HOST:PORT for one wire alone. Port 0 picks a free one. None means
	// 127.0.0.1:7070, unless there is something to consume.
	Listen []string `koanf:"listen"`
	// Profile is the older system whose programs are served as they are at all
	// addresses that do not say it themselves, as stomp://HOST:PORT?profile=ovirt
	// does: [transport.OVirt], [transport.OpenDaylight], or "" for none. Wires that
	// do not have it do without.
	Profile transport.Profile `koanf:"profile"`
	// Destinations are the names of the queues that are served at the addresses.
	// None means rpc and, with the profile ovirt, those of oVirt.
	Destinations []string `koanf:"destinations"`
	// Consume are queues of brokers whose requests are served, too: URLs such
	// as stomp://USER:PASSWORD@HOST:PORT/queue/calc. They are secret for the
	// passwords in them.
	Consume []Secret `koanf:"consume"`
	// Consumer says how.
	Consumer ConsumerConfig `koanf:"consumer"`
	// StopTimeout bounds an orderly stop, in which requests that were accepted
	// are answered. Zero means 15 s.
	StopTimeout time.Duration `koanf:"stop_timeout"`
	// Heartbeat is how often signs of life are offered and asked for. Zero means
	// 10 s, negative none.
	Heartbeat time.Duration `koanf:"heartbeat"`
	// Log says what is logged.
	Log LogConfig `koanf:"log"`
	// Limits bound what peers may send.
	Limits Limits `koanf:"limits"`
	// Queue bounds the work taken in.
	Queue QueueConfig `koanf:"queue"`
	// Users are the passwords of those who may connect. If there are none here
	// and in UsersFile, everybody may.
	Users map[string]Secret `koanf:"users"`
	// UsersFile names a file with a line NAME:PASSWORD for each further user.
	// Empty lines and lines that begin with # are passed over.
	UsersFile string `koanf:"users_file"`
	// PlaintextPasswords takes passwords without TLS from other machines, too.
	PlaintextPasswords bool `koanf:"plaintext_passwords"`
	// TLS is for all addresses but those whose URL is that of a wire without it.
	TLS TLSConfig `koanf:"tls"`
	// HTTP adjusts the wire of HTTP and WebSocket.
	HTTP HTTPConfig `koanf:"http"`
	// Broker makes the server a broker, too.
	Broker BrokerConfig `koanf:"broker"`
	// Services are those with a queue of their own, by name.
	Services map[string]ServiceConfig `koanf:"services"`
}

// LogConfig says what is logged and how.
type LogConfig struct {
	// Level is the least one logged: debug, info, warn or error. Zero means info.
	Level slog.Level `koanf:"level"`
	// Format is "text" or "json". Empty means text.
	Format string `koanf:"format"`
}

// Limits bound what peers may send. Zero fields mean the defaults of the
// types named.
type Limits struct {
	// Message, HeaderBytes, Headers, Subscriptions and Unsettled are those of
	// [transport.Limits].
	Message       int `koanf:"message"`
	HeaderBytes   int `koanf:"header_bytes"`
	Headers       int `koanf:"headers"`
	Subscriptions int `koanf:"subscriptions"`
	Unsettled     int `koanf:"unsettled"`
	// Connections, Handshakes and HandshakeTimeout are those of
	// [transport.ListenOptions], for each address, and DetectionTimeout that of
	// [port.Options].
	Connections      int           `koanf:"connections"`
	Handshakes       int           `koanf:"handshakes"`
	HandshakeTimeout time.Duration `koanf:"handshake_timeout"`
	DetectionTimeout time.Duration `koanf:"detection_timeout"`
	// Depth, Batch, InFlight, NullParams and ScalarParams are those of
	// [rpc.Limits].
	Depth        int  `koanf:"depth"`
	Batch        int  `koanf:"batch"`
	InFlight     int  `koanf:"in_flight"`
	NullParams   bool `koanf:"null_params"`
	ScalarParams bool `koanf:"scalar_params"`
}

// Transport returns the limits of a connection.
func (l Limits) Transport() transport.Limits {
	return transport.Limits{
		Message: l.Message, HeaderBytes: l.HeaderBytes, Headers: l.Headers,
		Subscriptions: l.Subscriptions, Unsettled: l.Unsettled,
	}
}

// RPC returns the limits of the JSON that a connection may send.
func (l Limits) RPC() rpc.Limits {
	return rpc.Limits{
		Depth: l.Depth, Batch: l.Batch, InFlight: l.InFlight,
		NullParams: l.NullParams, ScalarParams: l.ScalarParams,
	}
}

// QueueConfig bounds the requests that wait and run.
type QueueConfig struct {
	// Depth is how many may wait, on all connections together. Zero means 1024.
	Depth int `koanf:"depth"`
	// Workers is how many may run at once. Zero means 256.
	Workers int `koanf:"workers"`
}

// ConsumerConfig says how the queues of brokers are consumed.
type ConsumerConfig struct {
	// AtLeastOnce has a request acknowledged after its answer was handed over:
	// the broker gives it to another server if this one or its connection ends
	// before, so handlers must bear being called twice. By default a request
	// counts as done when the broker has sent it: it is executed at most once.
	AtLeastOnce bool `koanf:"at_least_once"`
	// Prefetch is how many requests a broker may have under way to this server
	// for each queue, with AtLeastOnce; the others wait in the broker, or go to
	// other servers. Zero means 128.
	Prefetch int `koanf:"prefetch"`
	// PlaintextPasswords sends the passwords in the URLs to other machines without
	// TLS, too.
	PlaintextPasswords bool `koanf:"plaintext_passwords"`
	// MinVersion is the least version of TLS. Empty means 1.3.
	MinVersion TLSVersion `koanf:"min_version"`
	// CA holds the authorities that brokers' certificates must come from. Empty
	// means those of the system.
	CA string `koanf:"ca"`
	// Cert and Key are the certificate to show to brokers, and its key.
	Cert string `koanf:"cert"`
	Key  string `koanf:"key"`
}

// TLSConfig names the PEM files for TLS. They are looked at again, at most once a
// second, when a peer connects: new ones are used from then on, and if they cannot
// be used that is logged and the old ones stay.
type TLSConfig struct {
	// Cert and Key are the server's certificate, with its chain, and its key.
	Cert string `koanf:"cert"`
	Key  string `koanf:"key"`
	// MinVersion is the least version of TLS. Empty means 1.3.
	MinVersion TLSVersion `koanf:"min_version"`
	// ClientCA holds the authorities that clients' certificates must come from.
	// With it every client has to show one, and so has to use TLS. Empty asks for
	// none.
	ClientCA string `koanf:"client_ca"`
	// ClientOptional lets clients without a certificate in, too.
	ClientOptional bool `koanf:"client_optional"`
	// ClientCerts says of some wires, by their scheme without TLS, what they ask of
	// a client's certificate in place of that: off, optional or required. With
	// "required" a client without TLS is refused, too. WebSocket is the wire http.
	ClientCerts map[string]string `koanf:"client_certs"`
	// Only refuses clients without TLS.
	Only bool `koanf:"only"`
}

// HTTPConfig has the fields of [http.Options].
type HTTPConfig struct {
	Origins  []string `koanf:"origins"`
	NoXMLRPC bool     `koanf:"no_xmlrpc"`
	Compat   bool     `koanf:"compat"`
}

// A ConfigError says which setting cannot be used, and why.
type ConfigError struct {
	// Source is where it was set: a file's name, an environment variable, or "".
	Source string
	// Key is the setting, such as "queue.depth", or "" if Source says it.
	Key string
	// Err is what is wrong. It never shows a password.
	Err error
}

// Error returns "SOURCE: KEY: CAUSE".
func (e *ConfigError) Error() string {
	parts := slices.DeleteFunc([]string{e.Source, e.Key, e.Err.Error()}, func(s string) bool { return s == "" })
	return strings.Join(parts, ": ")
}

// Unwrap returns the cause.
func (e *ConfigError) Unwrap() error { return e.Err }

// WithDefaults returns c with its zero fields set.
func (c Config) WithDefaults() Config {
	if len(c.Listen) == 0 && len(c.Consume) == 0 {
		c.Listen = []string{"127.0.0.1:7070"}
	}
	c.StopTimeout = cmp.Or(c.StopTimeout, 15*time.Second)
	c.Heartbeat = cmp.Or(c.Heartbeat, 10*time.Second)
	c.Log.Format = cmp.Or(c.Log.Format, "text")
	c.Limits = c.Limits.withDefaults()
	c.Queue.Depth = cmp.Or(c.Queue.Depth, 1024)
	c.Queue.Workers = cmp.Or(c.Queue.Workers, 256)
	c.Consumer.Prefetch = cmp.Or(c.Consumer.Prefetch, 128)
	return c
}

func (l Limits) withDefaults() Limits {
	t := l.Transport().WithDefaults()
	o := (&transport.ListenOptions{
		Connections: l.Connections, Handshakes: l.Handshakes, HandshakeTimeout: l.HandshakeTimeout,
	}).WithDefaults()
	l.Message, l.HeaderBytes, l.Headers = t.Message, t.HeaderBytes, t.Headers
	l.Subscriptions, l.Unsettled = t.Subscriptions, t.Unsettled
	l.Connections, l.Handshakes, l.HandshakeTimeout = o.Connections, o.Handshakes, o.HandshakeTimeout
	l.Depth, l.Batch, l.InFlight = cmp.Or(l.Depth, 1000), cmp.Or(l.Batch, 1000), cmp.Or(l.InFlight, 1024)
	return l
}

// Validate returns a [*ConfigError] about the first setting that cannot be
// used, or nil. It reads no files.
func (c Config) Validate() error {
	if err := c.validateNumbers(); err != nil {
		return err
	}
	for _, addr := range c.Listen {
		u, err := listenURL(addr)
		if err != nil {
			return &ConfigError{Key: "listen", Err: err}
		}
		if err := c.TLS.validateFor(u.Scheme); err != nil {
			return err
		}
	}
	for _, raw := range c.Consume {
		if _, err := consumeURL(raw); err != nil {
			return &ConfigError{Key: "consume", Err: err}
		}
	}
	if err := CheckProfile(c.Profile, ""); err != nil {
		return &ConfigError{Key: "profile", Err: err}
	}
	switch {
	case slices.Contains(c.Destinations, ""):
		return &ConfigError{Key: "destinations", Err: errors.New("a queue needs a name")}
	case !slices.Contains([]string{"", "text", "json"}, c.Log.Format):
		return &ConfigError{Key: "log.format", Err: fmt.Errorf("expected text or json, got %q", c.Log.Format)}
	case (c.Consumer.Cert == "") != (c.Consumer.Key == ""):
		return &ConfigError{Key: "consumer", Err: errors.New("cert and key go together")}
	case !c.Consumer.MinVersion.known():
		return &ConfigError{Key: "consumer.min_version", Err: c.Consumer.MinVersion.unknown()}
	}
	for name := range c.Users {
		if name == "" {
			return &ConfigError{Key: "users", Err: errors.New("a user needs a name")}
		}
	}
	for _, err := range []error{c.Broker.validate(), validateServices(c.Services)} {
		if err != nil {
			return err
		}
	}
	return c.TLS.validate()
}

// validateNumbers refuses negative numbers, but where they mean something.
func (c Config) validateNumbers() error {
	for _, s := range settings() {
		if slices.Contains([]string{"heartbeat", "log.level", "broker.attempts"}, s.key) {
			continue
		}
		if v := s.of(&c); v.CanInt() && v.Int() < 0 {
			return &ConfigError{Key: s.key, Err: fmt.Errorf("must not be negative, got %v", v.Interface())}
		}
	}
	return nil
}

var errNoUser = errors.New("an address to listen at has no user; see the settings users and users_file")

// listenURL reads an address of [Config].Listen. Without a scheme it means all
// wires.
func listenURL(addr string) (*url.URL, error) {
	raw := addr
	switch {
	case strings.Contains(addr, "://"):
	case strings.Contains(addr, "@"): // do not repeat what may be a password
		return nil, errNoUser
	default:
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return nil, fmt.Errorf("%q is no address; expected HOST:PORT or a URL such as stomp://HOST:PORT", addr)
		}
		raw = "//" + addr
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, errors.New("cannot parse the address; expected HOST:PORT or a URL such as stomp://HOST:PORT")
	case u.Scheme != "" && !slices.Contains(transport.Schemes(), u.Scheme):
		return nil, fmt.Errorf("unknown scheme %q; known are %s", u.Scheme, strings.Join(transport.Schemes(), ", "))
	case u.User != nil:
		return nil, errNoUser
	case u.Host == "" || strings.Trim(u.Path, "/") != "":
		return nil, fmt.Errorf("%q is no address to listen at; expected %s://HOST:PORT", addr, u.Scheme)
	}
	return u, checkParameters(u)
}

// A setting is one leaf of Config.
type setting struct {
	key   string // as in a file, with dots: "queue.depth"
	index []int
	typ   reflect.Type
}

func (s setting) of(c *Config) reflect.Value { return reflect.ValueOf(c).Elem().FieldByIndex(s.index) }

// settings lists the leaves of Config in order.
func settings() []setting { return settingsOf(reflect.TypeFor[Config](), "", nil) }

func settingsOf(t reflect.Type, prefix string, at []int) (all []setting) {
	for f := range t.Fields() {
		key, index := prefix+f.Tag.Get("koanf"), append(slices.Clone(at), f.Index...)
		if f.Type.Kind() == reflect.Struct {
			all = append(all, settingsOf(f.Type, key+".", index)...)
			continue
		}
		all = append(all, setting{key: key, index: index, typ: f.Type})
	}
	return all
}
