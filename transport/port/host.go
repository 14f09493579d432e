package port

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"

	"github.com/polyport/polyport/transport"
)

// portTransport is the [transport.Transport] of a port: a Multiplexer of byte
// streams, each of which carries the conversations of one wire.
type portTransport struct {
	o     *Options
	wires []wire
}

func newTransport(o *Options) (*portTransport, error) {
	o = o.withDefaults()
	wires, err := o.wires()
	return &portTransport{o: o, wires: wires}, err
}

// listen takes the connections of ln. TLS is left to the host.
func (t *portTransport) listen(ln net.Listener) *transport.Listener {
	o := t.o.ListenOptions
	o.TLS = nil
	return transport.NewListener(ln, t, &o)
}

// Client is that of [transport.Transport]. Who dials names a wire.
func (*portTransport) Client(context.Context, net.Conn, *url.URL, *transport.DialOptions) (transport.Conn, error) {
	return nil, transport.ErrUnsupported
}

// Server is that of [transport.Transport], which listeners do not call.
func (*portTransport) Server(context.Context, net.Conn, *transport.ListenOptions) (transport.Conn, error) {
	return nil, transport.ErrUnsupported
}

// Host is that of [transport.Multiplexer].
func (t *portTransport) Host(o *transport.ListenOptions, ready func(transport.Conn)) transport.Host {
	h := &host{o: t.o, byProtocol: make(map[string]*served)}
	for i := range t.wires {
		w := &served{wire: &t.wires[i], o: o}
		if w.certs == Required {
			stricter := *o
			stricter.Authenticator = certified{o.Authenticator}
			w.o = &stricter
		}
		if m, ok := w.Matcher.(transport.Multiplexer); ok {
			w.host = m.Host(w.o, ready)
		}
		h.wires = append(h.wires, w)
		for _, p := range w.protocols {
			h.byProtocol[p] = w
		}
	}
	if t.o.TLS != nil {
		h.tls = newTLS(t.o.TLS, t.wires, o.Profile.WholeRecords())
	}
	return h
}

// A host finds the wire of each byte stream.
type host struct {
	o          *Options
	wires      []*served
	byProtocol map[string]*served // of ALPN
	tls        *tls.Config        // nil without TLS
}

// served is a wire as one listener serves it.
type served struct {
	*wire
	o    *transport.ListenOptions
	host transport.Host // of a Multiplexer, else nil
}

// Serve is that of [transport.Host].
func (h *host) Serve(ctx context.Context, nc net.Conn) (transport.Conn, error) {
	c, err := h.serve(ctx, nc)
	if err != nil {
		_ = nc.Close()
	}
	return c, err
}

func (h *host) serve(ctx context.Context, nc net.Conn) (transport.Conn, error) {
	d := detection{host: h, plain: true}
	first, err := d.run(ctx, nc)
	if err != nil {
		return nil, err
	}
	nc = newReplay(nc, first, d.found)
	if d.found != nil {
		return d.found.serve(ctx, nc)
	}
	session := tls.Server(nc, h.tls)
	if err := session.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	if w := h.byProtocol[session.ConnectionState().NegotiatedProtocol]; w != nil {
		return w.serve(ctx, session)
	}
	d = detection{host: h}
	if first, err = d.run(ctx, session); err != nil {
		return nil, err
	}
	return d.found.serve(ctx, newReplay(session, first, d.found))
}

// serve hands nc over to the wire.
func (w *served) serve(ctx context.Context, nc net.Conn) (transport.Conn, error) {
	if w.host != nil {
		return w.host.Serve(ctx, nc)
	}
	return w.Server(ctx, nc, w.o)
}

// Close is that of [transport.Host].
func (h *host) Close() error {
	errs := make([]error, 0, len(h.wires))
	for _, w := range h.wires {
		if w.host != nil {
			errs = append(errs, w.host.Close())
		}
	}
	return errors.Join(errs...)
}
