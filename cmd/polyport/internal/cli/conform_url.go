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
	h := conformance.Harness{URL: v.URL.url.Scheme + "://" + v.URL.url.Host, Patience: v.Timeout, Hostile: hostileTo(v.URL.url.Scheme)}
	at := v.URL.url.Redacted()
	silence := v.answers(ctx, conn)
	if silence == nil {
		h.Server = &conformance.Server{Dial: v.dialFor("")}
		if remote, ok := conn.Info().Remote.(*net.TCPAddr); ok {
			h.RawDial = rawDial(remote.String())
		}
		return suite{"JSON-RPC 2.0 at " + at, h}, nil
	}
	broker := &conformance.Broker{}
	broker.Dial = func(ctx context.Context, queue string, o *transport.DialOptions) (transport.Conn, error) {
		return v.dialFor("/"+queue)(ctx, o)
	}
	learning, cancel := v.bound(ctx)
	defer cancel()
	if err := broker.Learn(learning); err != nil {
		return suite{}, unansweredError{outcome: rpc.Unknown, to: *v.URL, err: fmt.Errorf(
			"a request of JSON-RPC got none (%s), and it is no broker: %s", plain(silence), plain(err))}
	}
	h.Broker = broker
	return suite{fmt.Sprintf("through a broker (%s) at %s, %s", orNone(conn.Info().Peer), at, does(broker)), h}, nil
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
