package port

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/polyport/polyport/transport"
)

// A detection finds out what a peer speaks.
type detection struct {
	*host
	plain bool // no TLS yet
	// found is the wire; nil means TLS.
	found *served
}

// run reads the first bytes of nc until they tell the wire, and returns them.
func (d *detection) run(ctx context.Context, nc net.Conn) (first []byte, err error) {
	_ = nc.SetReadDeadline(time.Now().Add(d.o.DetectionTimeout))
	if ctx.Err() != nil { // its end, too, sets a deadline: ours must not undo it
		return nil, context.Cause(ctx)
	}
	first = make([]byte, 0, transport.MatchBytes)
	for {
		n, err := nc.Read(first[len(first):cap(first)])
		first = first[:len(first)+n]
		switch verdict := d.judge(first); {
		case verdict == transport.Yes:
			_ = nc.SetReadDeadline(time.Time{})
			return first, context.Cause(ctx)
		case verdict == transport.No, len(first) == cap(first):
			return nil, d.unknown(first)
		case err != nil:
			return nil, d.broken(ctx, first, err)
		}
	}
}

// judge says whether prefix tells the wire, and finds it.
func (d *detection) judge(prefix []byte) transport.Verdict {
	verdict := transport.No
	if d.plain && d.tls != nil {
		if verdict = matchTLS(prefix); verdict == transport.Yes {
			return verdict
		}
	}
	if d.plain && d.o.TLSOnly {
		return verdict
	}
	for _, w := range d.wires {
		switch w.Match(prefix) {
		case transport.Yes:
			d.found = w
			return transport.Yes
		case transport.More:
			verdict = transport.More
		case transport.No:
		}
	}
	return verdict
}

// unknown is the error for first bytes that are those of no wire.
func (d *detection) unknown(first []byte) error {
	switch {
	case d.plain && d.o.TLSOnly:
		return why(transport.ErrProtocol, "the peer does not begin with TLS, without which nothing is served here, but with %.20q", first)
	case d.plain && matchTLS(first) == transport.Yes:
		return why(transport.ErrProtocol, "the peer begins with TLS, for which this port has no certificate")
	}
	names := make([]string, len(d.wires))
	for i, w := range d.wires {
		names[i] = w.name
	}
	return why(transport.ErrProtocol, "no protocol that is served here (%s) begins with %.20q", strings.Join(names, ", "), first)
}

// broken is the error for a peer of which no more comes.
func (d *detection) broken(ctx context.Context, first []byte, err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return why(transport.ErrClosed, "the peer closed the connection after %d bytes, which do not tell its protocol", len(first))
	case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil:
		return why(transport.ErrSlow, "the peer sent %d bytes in %v, which do not tell its protocol", len(first), d.o.DetectionTimeout)
	}
	return err
}

// why is kind with a sentence for a person.
func why(kind error, format string, args ...any) error {
	return transport.WithReason(kind, fmt.Sprintf(format, args...))
}

// matchTLS finds the record of a ClientHello (RFC 8446, section 5.1).
func matchTLS(prefix []byte) transport.Verdict {
	switch {
	case len(prefix) > 0 && prefix[0] != 0x16, len(prefix) > 1 && prefix[1] != 3:
		return transport.No
	case len(prefix) < 2:
		return transport.More
	}
	return transport.Yes
}
