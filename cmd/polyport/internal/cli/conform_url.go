package cli

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// probing is how long somebody who answers JSON-RPC may take to do so before it
// is looked whether a broker is there.
const probing = 3 * time.Second

// find finds out who is at the URL.
func (v *conform) find(ctx context.Context) (suite, error) {
	conn, err := v.connect(ctx, *v.URL)
	if err != nil {
		return suite{}, err
	}
	defer func() { _ = conn.Close() }()
	scheme := conn.Info().Scheme
	h := conformance.Harness{URL: scheme + "://" + v.URL.url.Host, Patience: v.Timeout, Hostile: hostileTo(scheme)}
	at := v.URL.url.Redacted()
	broker := &conformance.Broker{Dial: func(ctx context.Context, queue string, o *transport.DialOptions) (transport.Conn, error) {
		return v.dialFor("/"+queue)(ctx, o)
	}}
	silence := v.answers(ctx, conn)
	if silence == nil {
		h.Server = &conformance.Server{Dial: v.dialFor("")}
		if strings.Trim(v.URL.url.Path, "/") != "" { // perhaps a queue's
			h.Server.Queued = v.learn(ctx, broker, probing) == nil
		}
		if remote, ok := conn.Info().Remote.(*net.TCPAddr); ok {
			h.RawDial = rawDial(remote.String())
		}
		heading := "JSON-RPC 2.0 at " + at
		if h.Server.Queued {
			heading += fmt.Sprintf(", through a broker (%s)", orNone(conn.Info().Peer))
		}
		return suite{heading, h}, nil
	}
	if err := v.learn(ctx, broker, v.Timeout); err != nil {
		return suite{}, unansweredError{outcome: rpc.Unknown, to: *v.URL, err: fmt.Errorf(
			"a request of JSON-RPC got no answer (%s), and it is no broker: %s", plain(silence), plain(err))}
	}
	h.Broker = broker
	return suite{fmt.Sprintf("through a broker (%s) at %s, %s", orNone(conn.Info().Peer), at, does(broker)), h}, nil
}

// learn finds out what a broker does, within d, or that it is none.
func (v *conform) learn(ctx context.Context, b *conformance.Broker, d time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, min(d, v.Timeout))
	defer cancel()
	return b.Learn(ctx)
}

// answers asks whether somebody speaks JSON-RPC, and returns why not.
func (v *conform) answers(ctx context.Context, conn transport.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, min(probing, v.Timeout))
	defer cancel()
	deadline, _ := ctx.Deadline()
	m := &transport.Message{
		ContentType: "application/json", Expires: deadline,
		Body: []byte(`{"jsonrpc":"2.0","method":"conformance.probe","id":"conformance"}`),
	}
	if a, ok := transport.As[transport.ReplyAddresser](conn); ok {
		addr, err := a.ReplyAddress(ctx)
		if err != nil {
			return err
		}
		m.ReplyTo = addr
	}
	if err := conn.Send(ctx, m); err != nil {
		return err
	}
	_, err := conn.Recv(ctx)
	return err
}

// dialFor dials the URL, with another path unless it is empty, with a rule's
// options.
func (v *conform) dialFor(path string) func(context.Context, *transport.DialOptions) (transport.Conn, error) {
	u := *v.URL.url
	if path != "" {
		u.Path, u.RawPath = path, ""
	}
	return func(ctx context.Context, o *transport.DialOptions) (transport.Conn, error) {
		own, err := v.dialOptions(target{&u})
		if err != nil {
			return nil, err
		}
		tls := own.TLS
		own.Options = o.Options
		own.TLS = tls
		return transport.Dial(ctx, u.String(), own)
	}
}

func rawDial(addr string) func(conformance.TB) net.Conn {
	return func(t conformance.TB) net.Conn {
		nc, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatalf("cannot connect: %v", err)
		}
		return nc
	}
}

// does says what a broker does to messages.
func does(b *conformance.Broker) string {
	var all []string
	if b.Renames {
		all = append(all, "renames addresses")
	}
	if b.HeaderSet {
		all = append(all, "keeps headers as a set")
	}
	if len(b.Adds) > 0 {
		all = append(all, "adds the headers "+strings.Join(b.Adds, ", "))
	}
	if b.HoldsReleased {
		all = append(all, "holds what was released")
	}
	if b.Largest > 0 {
		all = append(all, "takes bodies of "+thousands(int64(b.Largest))+" bytes at most")
	}
	if all == nil {
		return "which changes nothing"
	}
	return "which " + strings.Join(all, "; ")
}
