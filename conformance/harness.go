package conformance

import (
	"context"
	"errors"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

// A Harness presents a wire to the suite. Transport and URL are enough for a
// wire that runs over any net.Conn.
type Harness struct {
	// Transport is the wire. Without it only the rules run that can do with
	// the connections of Pair, over whatever Pair connects them by.
	Transport transport.Transport
	// URL is the one that clients are told they dialed, "stomp://conformance".
	// It must be set with Transport. Nobody listens there.
	URL string
	// Options are those of both ends where a rule does not need others. Nil
	// means the defaults.
	Options *transport.Options
	// Stream makes the byte streams where a rule does not need its own. Nil
	// means [mem.Pipe] and, in go test, virtual time; see also [TCP]. The ends
	// are closed by the connections made on them.
	Stream func(t TB) (client, server net.Conn)
	// Pair connects two ends, in place of Transport and Stream. It should respect those fields of o that it can. Rules that
	// make their own byte streams use Transport nevertheless.
	Pair func(t TB, o PairOptions) (client, server transport.Conn, err error)
	// Broker says that the ends meet at a broker, and what that does to messages
	// on their way. With it Pair is made of its Dial, and Transport, Stream and
	// RawDial are not used: what holds between one end and the broker is a matter
	// of a harness without Broker. See the package's text, "Through a broker".
	Broker *Broker
	// Hub says that the server's end knows of a broker behind it
	// ([transport.ListenOptions].Broker). Nil means that it does not, and the rules
	// about that are skipped.
	Hub *Hub
	// Server is a server of JSON-RPC that somebody else runs. With it the rules
	// are [ServerRules], of the other fields Options, RawDial, Patience, Hostile
	// and Skip are used, and URL, if it is set, names the wire.
	Server *Server
	// RawDial connects to a server that has not shaken hands yet, for the rules
	// about hostile bytes. Patience must be longer than the server gives for
	// the handshake. Nil means a server made of Transport, if there is one.
	RawDial func(t TB) net.Conn
	// Patience is how long a rule waits for what must happen, which only a
	// rule that fails does. Zero means 10 s. A broker far away may need more.
	Patience time.Duration
	// Hostile are openings of this wire that a server must survive: lengths
	// that lie, floods, half a frame. The suite adds what suits every wire.
	Hostile [][]byte
	// HeaderSet says that headers are a map on this wire: they arrive in any order,
	// and of those with the same name the first.
	HeaderSet bool
	// ContentType is the one with which a message without any arrives, on a wire on
	// which every body has one.
	ContentType string
	// Skip are the rules that this wire is known to break, each with the
	// reason why. Such a rule is run all the same and reported as skipped, with
	// the reason, when it fails; when it passes the test fails, so that the
	// list stays true. A name that is no rule is a failure, too.
	Skip map[string]string
}

// PairOptions say what a rule needs of a pair of connections.
type PairOptions struct {
	// Dial and Listen are the options of the two ends. They are never nil.
	Dial   *transport.DialOptions
	Listen *transport.ListenOptions
	// User goes into the URL that the client dialed. It may be nil.
	User *url.Userinfo
	// Client and Server are the ends of the byte stream to be used. Nil means
	// that any will do.
	Client, Server net.Conn
}

// TB is what a rule needs of a test. [testing.TB] has it all.
type TB interface { //nolint:interfacebloat // the part of testing.TB that rules use
	Helper()
	Context() context.Context
	Cleanup(f func())
	Log(args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skip(args ...any)
	SkipNow()
}

// name is the wire's name in messages.
func (h *Harness) name() string {
	if u, err := url.Parse(h.URL); err == nil && u.Scheme != "" {
		return u.Scheme
	}
	return "wire"
}

func (h *Harness) patience() time.Duration {
	if h.Patience > 0 {
		return h.Patience
	}
	return 10 * time.Second
}

// inMemory reports whether everything happens in this process, by what
// testing/synctest understands.
func (h *Harness) inMemory() bool { return h.Pair == nil && h.Stream == nil }

// options returns what both ends get, changed by change, which may be nil.
func (h *Harness) options(change func(*transport.Options)) PairOptions {
	var o transport.Options
	if h.Options != nil {
		o = *h.Options
	}
	if change != nil {
		change(&o)
	}
	return PairOptions{Dial: &transport.DialOptions{Options: o}, Listen: &transport.ListenOptions{Options: o}}
}

// stream makes a byte stream.
func (h *Harness) stream(t TB) (client, server net.Conn) {
	if h.Stream == nil {
		return mem.Pipe()
	}
	return h.Stream(t)
}

// pair connects two ends.
func (h *Harness) pair(t TB, o PairOptions) (client, server transport.Conn, err error) {
	if h.Pair != nil && (o.Client == nil || h.Transport == nil) {
		return h.Pair(t, o)
	}
	if o.Client == nil {
		o.Client, o.Server = h.stream(t)
	}
	ctx, cancel := context.WithTimeout(t.Context(), h.patience())
	defer cancel()
	var serverErr error
	var served sync.WaitGroup
	served.Go(func() {
		server, serverErr = shake(ctx, o.Server, func() (transport.Conn, error) {
			return h.Transport.Server(ctx, o.Server, o.Listen)
		})
	})
	client, err = h.client(ctx, o)
	served.Wait()
	if err = firstError(err, serverErr); err == nil {
		return client, server, nil
	}
	for _, c := range []transport.Conn{client, server} {
		if c != nil {
			_ = c.Close()
		}
	}
	return nil, nil, err
}

// client makes the end that dialed.
func (h *Harness) client(ctx context.Context, o PairOptions) (transport.Conn, error) {
	u, err := url.Parse(h.URL)
	if err != nil {
		_ = o.Client.Close()
		return nil, err
	}
	u.User = o.User
	return shake(ctx, o.Client, func() (transport.Conn, error) {
		return h.Transport.Client(ctx, o.Client, u, o.Dial)
	})
}

// shake does around a handshake what [transport.Dial] and [transport.Listen]
// do.
func shake(ctx context.Context, nc net.Conn, hands func() (transport.Conn, error)) (transport.Conn, error) {
	if d, ok := ctx.Deadline(); ok {
		_ = nc.SetDeadline(d)
	}
	c, err := hands()
	if err != nil {
		_ = nc.Close()
		return nil, err
	}
	return c, nc.SetDeadline(time.Time{})
}

// firstError returns the first error that is one.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// TCP makes a TCP connection on the loopback interface. It is a
// [Harness].Stream.
func TCP(t TB) (client, server net.Conn) {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	defer func() { _ = ln.Close() }()
	var acceptErr error
	var accepted sync.WaitGroup
	accepted.Go(func() { server, acceptErr = ln.Accept() })
	client, err = new(net.Dialer).DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		_ = ln.Close()
	}
	accepted.Wait()
	if err := errors.Join(err, acceptErr); err != nil {
		t.Fatalf("connect: %v", err)
	}
	return client, server
}
