package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"

	"github.com/polyport/polyport/transport"
)

// NewRedialOptions returns the options for the connections to the brokers that
// c names. It reads the files that c names. Its errors are of type
// [*ConfigError].
func NewRedialOptions(c Config, log *slog.Logger) (*transport.RedialOptions, error) {
	o := &transport.RedialOptions{DialOptions: transport.DialOptions{
		Options: transport.Options{
			Limits: c.Limits.Transport(), Heartbeat: c.Heartbeat, Logger: log, PlaintextPasswords: c.Consumer.PlaintextPasswords,
		},
	}}
	// The credit of all subscriptions of a connection is bounded by it.
	o.Limits.Unsettled = max(c.Limits.Unsettled, c.Consumer.Prefetch*len(c.Consume))
	secured := &tls.Config{MinVersion: c.Consumer.MinVersion.number()}
	var err error
	if c.Consumer.CA != "" {
		if secured.RootCAs, err = ReadCertPool(c.Consumer.CA); err != nil {
			return nil, &ConfigError{Key: "consumer.ca", Err: err}
		}
	}
	if c.Consumer.Cert != "" {
		cert, err := tls.LoadX509KeyPair(c.Consumer.Cert, c.Consumer.Key)
		if err != nil {
			return nil, &ConfigError{Key: "consumer", Err: err}
		}
		secured.Certificates = []tls.Certificate{cert}
	}
	o.TLS = secured
	return o, nil
}

// consumeURL reads an element of [Config].Consume. Its errors show no password.
func consumeURL(raw Secret) (*url.URL, error) {
	const expected = "expected SCHEME://[USER:PASSWORD@]HOST:PORT/DESTINATION, such as stomp://guest:guest@127.0.0.1:61613/queue/calc"
	u, err := url.Parse(string(raw))
	switch {
	case err != nil || u.Hostname() == "":
		return nil, errors.New("cannot parse the URL of a queue; " + expected)
	case !slices.Contains(transport.Schemes(), u.Scheme):
		return nil, fmt.Errorf("unknown scheme %q; known are %s", u.Scheme, strings.Join(transport.Schemes(), ", "))
	case strings.Trim(u.Path, "/") == "":
		return nil, fmt.Errorf("%s names no queue; %s", shown(u), expected)
	}
	return u, nil
}

// shown is u without user and password.
func shown(u *url.URL) string {
	bare := *u
	bare.User = nil
	return bare.String()
}

// consume connects to the queues of brokers: once for all queues of a broker that
// are reached in the same way. It needs mu.
func (s *Server) consume(ctx context.Context) error {
	for _, raw := range s.p.Config.Consume {
		u, err := consumeURL(raw)
		if err != nil {
			return &ConfigError{Key: "consume", Err: err}
		}
		if err := s.consumeAt(ctx, u); err != nil {
			return fmt.Errorf("app: cannot consume %s: %w", shown(u), err)
		}
	}
	return nil
}

// consumeAt consumes the queue at u, by a connection that there is already if it
// can carry more than one. It needs mu.
func (s *Server) consumeAt(ctx context.Context, u *url.URL) error {
	broker, queue := *u, destinationOf(u)
	broker.Path, broker.RawPath = "", ""
	for i := range s.consumers {
		c := &s.consumers[i]
		if c.broker == broker.String() && queue != "" && c.conn.Info().Addressed {
			c.urls = append(c.urls, shown(u))
			return s.subscribe(ctx, c.conn, queue)
		}
	}
	conn, err := transport.Redial(ctx, u.String(), s.p.Broker)
	if err != nil {
		return err
	}
	s.consumers = append(s.consumers, consumer{broker: broker.String(), urls: []string{shown(u)}, conn: conn})
	return s.subscribe(ctx, conn, "")
}

// destinationOf is what u names if it is the same for every wire: /queue/calc. What
// calc alone means is the wire's business, and "" is returned.
func destinationOf(u *url.URL) string {
	path := cmp.Or(u.RawPath, u.Path)
	if !strings.Contains(strings.Trim(path, "/"), "/") {
		return ""
	}
	return path
}

// subscribe asks for the requests of a queue; the empty one is that which conn was
// dialed for.
func (s *Server) subscribe(ctx context.Context, conn transport.Conn, queue string) error {
	sub, ok := transport.As[transport.Subscriber](conn)
	if !ok {
		return transport.ErrUnsupported
	}
	wish := transport.Subscription{Destination: queue}
	if s.p.Config.Consumer.AtLeastOnce {
		wish.Ack, wish.Credit = transport.AckEach, s.p.Config.Consumer.Prefetch
	}
	_, err := sub.Subscribe(ctx, wish)
	return err
}
