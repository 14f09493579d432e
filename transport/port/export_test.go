package port

import (
	"context"
	"net"
)

// NewReplay is newReplay for no wire in particular.
func NewReplay(nc net.Conn, first []byte) net.Conn { return newReplay(nc, first, nil) }

// A Detector is a host that hands nothing over.
type Detector struct{ host *host }

// NewDetector returns the Detector of a port with options o.
func NewDetector(o *Options) (*Detector, error) {
	t, err := newTransport(o)
	if err != nil {
		return nil, err
	}
	h := &host{o: t.o}
	for i := range t.wires {
		h.wires = append(h.wires, &served{wire: &t.wires[i]})
	}
	return &Detector{h}, nil
}

// Detect finds the wire of nc, and returns what its transport would be given.
func (d *Detector) Detect(ctx context.Context, nc net.Conn) (net.Conn, error) {
	run := detection{host: d.host, plain: true}
	first, err := run.run(ctx, nc)
	if err != nil {
		return nil, err
	}
	return newReplay(nc, first, run.found), nil
}
