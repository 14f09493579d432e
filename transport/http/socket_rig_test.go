package http_test

import (
	"crypto/sha1" //nolint:gosec // RFC 6455 asks for it
	"encoding/base64"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/polyport/polyport/transport"
)

// acceptKey is what a server answers to a key (RFC 6455, section 4.2.2).
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // as above
	return base64.StdEncoding.EncodeToString(sum[:])
}

func itoa(n int) string { return strconv.Itoa(n) }

// A tape is a net.Conn that plays bytes in pieces of given lengths, which repeat,
// and keeps what is written.
type tape struct {
	rest   []byte
	pieces []byte
	next   int

	mu    sync.Mutex // protects the field below
	wrote []byte
}

func (t *tape) Read(p []byte) (int, error) {
	if len(t.rest) == 0 {
		return 0, io.EOF
	}
	n := len(t.rest)
	if len(t.pieces) > 0 {
		n = min(n, int(t.pieces[t.next%len(t.pieces)])+1)
		t.next++
	}
	n = copy(p, t.rest[:n])
	t.rest = t.rest[n:]
	return n, nil
}

func (t *tape) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wrote = append(t.wrote, p...)
	return len(p), nil
}

func (t *tape) written() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.wrote
}

func (*tape) Close() error                     { return nil }
func (*tape) LocalAddr() net.Addr              { return &net.UnixAddr{Name: "tape"} }
func (*tape) RemoteAddr() net.Addr             { return &net.UnixAddr{Name: "tape"} }
func (*tape) SetDeadline(time.Time) error      { return nil }
func (*tape) SetReadDeadline(time.Time) error  { return nil }
func (*tape) SetWriteDeadline(time.Time) error { return nil }

// receiveAll receives until the end.
func receiveAll(t *testing.T, c transport.Conn) (all []*transport.Message, err error) {
	t.Helper()
	for {
		m, err := c.Recv(t.Context())
		if err != nil {
			return all, err
		}
		all = append(all, m)
	}
}
