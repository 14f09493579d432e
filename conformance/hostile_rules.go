package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

// hostileRules are about peers that do not speak the wire.
var hostileRules = []Rule{
	{
		Name: "HostileBytes",
		Text: "A peer that sends what is not the wire, or lies about lengths, is cut off, takes less than 1 MiB, " +
			"and disturbs nobody.",
		needs: needsServer,
		check: checkHostileBytes,
	},
}

// assaultMemory is what a hostile peer may make the process allocate in all.
const assaultMemory = 1 << 20

// openings are what does not belong to any wire, or to another one.
func openings() map[string][]byte {
	noise := rand.NewChaCha8([32]byte{1})
	some := map[string][]byte{
		"nothing":        nil,
		"one byte":       {0},
		"one byte 0xff":  {0xff},
		"zeros":          make([]byte, 64<<10),
		"ones":           bytes.Repeat([]byte{0xff}, 64<<10),
		"line feeds":     bytes.Repeat([]byte("\n"), 64<<10),
		"one long line":  bytes.Repeat([]byte("A"), 200<<10),
		"HTTP":           []byte("GET / HTTP/1.1\r\nHost: example\r\n\r\n"),
		"HTTP CONNECT":   []byte("CONNECT example:443 HTTP/1.1\r\nHost: example\r\n\r\n"),
		"TLS":            append([]byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, make([]byte, 500)...),
		"SSH":            []byte("SSH-2.0-OpenSSH_9.2\r\n"),
		"AMQP 0-9-1":     []byte("AMQP\x00\x00\x09\x01"),
		"a huge length":  {0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"JSON":           []byte(`{"jsonrpc":"2.0","method":"x","id":1}` + "\n"),
		"half a million": bytes.Repeat([]byte("a:b\n"), 128<<10),
	}
	for i := range 10 {
		b := make([]byte, 1<<(2*i%17))
		_, _ = noise.Read(b)
		some[fmt.Sprintf("%d random bytes (%d)", len(b), i)] = b
	}
	return some
}

// allOpenings are those with what the harness adds.
func (r *rig) allOpenings() map[string][]byte {
	all := openings()
	for i, b := range r.h.Hostile {
		all[fmt.Sprintf("Hostile[%d] %s", i, brief(b))] = b
	}
	return all
}

func checkHostileBytes(r *rig) {
	all := r.allOpenings()
	client, server := r.connect(nil)
	ways := r.ways(client, server)
	for name, opening := range all {
		r.assault(name, opening)
		r.works(ways...)
	}
}

// assaults are how often an opening is sent until it takes no more than it
// may. What else goes on in the process is counted too, and does not come
// each time; memory taken on the peer's word does.
const assaults = 5

// assault sends an opening to fresh servers, which must cut it off and must
// not take much for it.
func (r *rig) assault(name string, opening []byte) {
	r.Helper()
	var taken uint64
	for range assaults {
		var cut bool
		if taken, cut = r.cutOff(name, opening); !cut || taken <= assaultMemory {
			return
		}
	}
	r.Errorf("%s: %d bytes have made the process allocate %d, %d times, want at most %d",
		name, len(opening), taken, assaults, assaultMemory)
}

// cutOff sends an opening to a fresh server, which must end the connection,
// and returns how many bytes the process has allocated meanwhile and whether
// the connection has ended.
func (r *rig) cutOff(name string, opening []byte) (taken uint64, cut bool) {
	r.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	nc := r.hostile()
	defer func() { _ = nc.Close() }()
	limit := 2 * r.patience()
	_ = nc.SetDeadline(time.Now().Add(limit))
	r.Go(func() { _, _ = nc.Write(opening) })
	_, err := io.Copy(io.Discard, nc)
	if cut = !errors.Is(err, os.ErrDeadlineExceeded); !cut {
		r.Errorf("%s: the connection is still open after %v", name, limit)
	}
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc, cut
}

// hostile connects to a fresh server.
func (r *rig) hostile() net.Conn {
	r.Helper()
	if r.h.RawDial != nil {
		return r.h.RawDial(r)
	}
	o := r.h.options(shortLinger).Listen
	o.Heartbeat, o.FrameTimeout = -1, time.Second
	a, b := mem.Pipe()
	r.serve(b, o, time.Second)
	return a
}

// serve accepts a conversation on nc and receives until it ends. The channel
// gets Recv's last error, or why there was no conversation.
func (r *rig) serve(nc net.Conn, o *transport.ListenOptions, timeout time.Duration) <-chan error {
	over := make(chan error, 1)
	r.Go(func() {
		ctx, cancel := context.WithTimeout(r.Context(), timeout)
		defer cancel()
		c, err := shake(ctx, nc, func() (transport.Conn, error) { return r.h.Transport.Server(ctx, nc, o) })
		over <- drainConn(c, err)
	})
	return over
}

// drainConn receives until it fails, and closes. err is why there is
// no c, or why it is not to be used.
func drainConn(c transport.Conn, err error) error {
	if c != nil {
		defer func() { _ = c.Close() }()
	}
	if err != nil {
		return err
	}
	for {
		m, err := c.Recv(context.Background())
		if err != nil {
			return err
		}
		_ = m.Settle(transport.Accepted)
	}
}
