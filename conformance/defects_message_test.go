package conformance_test

import (
	"bytes"
	"context"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/polyport/polyport/transport"
)

var messageDefects = []defect{
	{"cuts large bodies", "WholeMessage", inMessage(func(m *transport.Message) { m.Body = m.Body[:min(len(m.Body), 64<<10)] })},
	{"takes NUL for the end", "WholeMessage", inMessage(func(m *transport.Message) { m.Body, _, _ = bytes.Cut(m.Body, []byte{0}) })},
	{"loses the subject", "Fields", inMessage(func(m *transport.Message) { m.Subject = "" })},
	{"loses the expiry", "Fields", inMessage(func(m *transport.Message) { m.Expires = time.Time{} })},
	{"loses ReplyTo", "Fields", inMessage(func(m *transport.Message) { m.ReplyTo = "" })},
	{"says that everything is durable not", "Fields", inMessage(func(m *transport.Message) { m.Durable = false })},
	{"trims values", "FieldText", inMessage(func(m *transport.Message) { m.Subject = strings.TrimSpace(m.Subject) })},
	{"cuts values at a colon", "FieldText", inMessage(func(m *transport.Message) {
		for i, h := range m.Headers {
			m.Headers[i].Value, _, _ = strings.Cut(h.Value, ":")
		}
	})},
	{"refuses every text that is not plain", "FieldText", inSend(func(c *conn, ctx context.Context, m *transport.Message) error {
		if strings.ContainsRune(m.Subject, ' ') {
			return transport.ErrInvalid // without saying that nothing was sent
		}
		return c.Conn.Send(ctx, m)
	})},
	{"loses headers", "Headers", inMessage(func(m *transport.Message) { m.Headers = nil })},
	{"keeps headers in a map", "Headers", inMessage(func(m *transport.Message) {
		slices.SortStableFunc(m.Headers, func(a, b transport.Header) int { return strings.Compare(a.Name, b.Name) })
	})},
	{"keeps one header of a name", "Headers", inMessage(func(m *transport.Message) {
		m.Headers = slices.CompactFunc(m.Headers, func(a, b transport.Header) bool { return strings.EqualFold(a.Name, b.Name) })
	})},
	{"makes numbers into texts", "IDKinds", inMessage(func(m *transport.Message) {
		if m.CorrelationID.Kind() == transport.IDNumber {
			m.CorrelationID = transport.TextID(m.CorrelationID.String())
		}
	})},
	{"keeps the caller's body", "SendCopies", func() *broken {
		return &broken{conn: func(c *conn) {
			var held *transport.Message // goes out with the next one
			c.send = func(ctx context.Context, m *transport.Message) error {
				if m.Subject == "" {
					return c.Conn.Send(ctx, m)
				}
				last, own := held, *m
				held = &own
				if last == nil {
					return nil
				}
				return c.Conn.Send(ctx, last)
			}
		}}
	}},
	{"reuses the body", "RecvKeeps", func() *broken {
		return &broken{conn: func(c *conn) {
			var buf [1 << 20]byte
			c.recv = func(ctx context.Context) (*transport.Message, error) {
				m, err := c.Conn.Recv(ctx)
				if err == nil {
					m.Body = buf[:copy(buf[:], m.Body)]
				}
				return m, err
			}
		}}
	}},
	{"hands out a body with another's bytes behind it", "RecvKeeps", func() *broken {
		return &broken{conn: func(c *conn) {
			var buf []byte
			c.recv = func(ctx context.Context) (*transport.Message, error) {
				m, err := c.Conn.Recv(ctx)
				if err == nil {
					if len(buf) < len(m.Body) {
						buf = make([]byte, 1<<20)
					}
					n := copy(buf, m.Body)
					m.Body, buf = buf[:n], buf[n:]
				}
				return m, err
			}
		}}
	}},
	{"depends on how reads are cut", "AnySlices", inStream(func(nc net.Conn) net.Conn { return &lossy{Conn: nc} })},
	{"forgets the destination", "DefaultDestination", inMessage(func(m *transport.Message) { m.To = "" })},
}

// lossy loses reads of one byte.
type lossy struct{ net.Conn }

func (l *lossy) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if n == 1 && err == nil {
		return l.Conn.Read(p)
	}
	return n, err
}

func (l *lossy) CloseWrite() error { return closeWrite(l.Conn) }

func closeWrite(nc net.Conn) error { return nc.(interface{ CloseWrite() error }).CloseWrite() }
