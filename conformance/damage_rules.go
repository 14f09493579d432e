package conformance

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

// damageRules are about conversations that were sound once.
var damageRules = []Rule{
	{
		Name: "DamagedClient",
		Text: "A client's conversation, damaged anywhere, ends its connection or comes through; a server neither " +
			"panics nor hangs nor takes memory.",
		needs: needsBubble,
		check: checkDamagedClient,
	},
	{
		Name: "DamagedServer",
		Text: "A server's conversation, damaged anywhere, ends its connection or comes through; a client neither " +
			"panics nor hangs nor takes memory.",
		needs: needsBubble,
		check: checkDamagedServer,
	},
}

// damages is how many damaged conversations are tried.
const damages = 300

// conversation records both sides of one.
func (r *rig) conversation() (client, server []byte) {
	r.Helper()
	o := r.h.options(shortLinger)
	o.Dial.Heartbeat, o.Listen.Heartbeat = -1, -1
	a, b := mem.Pipe()
	taps := [2]*tap{{Conn: a}, {Conn: b}}
	o.Client, o.Server = taps[0], taps[1]
	c, s := r.pair(o)
	ways := r.ways(c, s)
	inboxes := map[transport.Conn]*inbox{s: r.inbox(s), c: r.inbox(c)}
	if sub, ok := transport.As[transport.Subscriber](c); ok {
		_, _ = sub.Subscribe(r.soon(), transport.Subscription{ID: "s", Destination: r.topic(1), Ack: transport.AckEach, Credit: 5})
	}
	for _, w := range ways {
		r.send(w.from, &transport.Message{
			To: w.dest, Subject: "a", ID: transport.TextID("b"), Body: pattern(200), Headers: []transport.Header{{Name: "c", Value: "d"}},
		})
		r.next(inboxes[w.to])
		if by, ok := transport.As[transport.Confirmer](w.from); ok {
			_ = by.SendConfirmed(r.soon(), &transport.Message{To: w.dest, Body: []byte("confirm")}, func(error) {})
		}
	}
	r.quiet()
	r.closeAll(c, s)
	client, _ = taps[0].state()
	server, _ = taps[1].state()
	return client, server
}

// dice are always the same, so that a failure can be had again.
func dice(seed, side uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, side)) //nolint:gosec // chance, not secrets
}

// damage returns a copy of b with something wrong with it.
func damage(roll *rand.Rand, b []byte) []byte {
	b = slices.Clone(b)
	at := roll.IntN(len(b))
	to := min(len(b), at+1+roll.IntN(16))
	switch roll.IntN(7) {
	case 0:
		b[at] ^= 1 << roll.IntN(8)
	case 1:
		b[at] = byte(roll.Uint32())
	case 2:
		return b[:at]
	case 3:
		return slices.Delete(b, at, to)
	case 4:
		return slices.Insert(b, at, b[at:to]...)
	case 5:
		copy(b[at:to], bytes.Repeat([]byte{0xff}, to-at))
	default:
		digits := strconv.AppendUint(nil, roll.Uint64(), 10)
		return slices.Insert(b, at, digits...)
	}
	return b
}

func checkDamagedClient(r *rig) {
	sound, _ := r.conversation()
	for seed := range uint64(damages) {
		b := damage(dice(seed, 0), sound)
		o := r.h.options(shortLinger).Listen
		o.Heartbeat, o.FrameTimeout = -1, time.Second
		near, far := mem.Pipe()
		over := r.serve(far, o, time.Second)
		r.survives(seed, near, b, over)
	}
}

func checkDamagedServer(r *rig) {
	_, sound := r.conversation()
	for seed := range uint64(damages) {
		b := damage(dice(seed, 1), sound)
		o := r.h.options(shortLinger)
		o.Dial.Heartbeat, o.Dial.FrameTimeout = -1, time.Second
		near, far := mem.Pipe()
		o.Client = far
		over := make(chan error, 1)
		r.Go(func() {
			ctx, cancel := context.WithTimeout(r.Context(), time.Second)
			defer cancel()
			c, err := r.h.client(ctx, o)
			over <- drainConn(c, err)
		})
		r.survives(seed, near, b, over)
	}
}

// survives sends bytes and the end of the stream to an end of a connection,
// which must end.
func (r *rig) survives(seed uint64, nc net.Conn, b []byte, over <-chan error) {
	r.Helper()
	defer func() { _ = nc.Close() }()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_ = nc.SetDeadline(time.Now().Add(r.patience()))
	var writing sync.WaitGroup
	writing.Go(func() {
		_, _ = nc.Write(b)
		_ = nc.(interface{ CloseWrite() error }).CloseWrite()
	})
	if _, err := io.Copy(io.Discard, nc); errors.Is(err, os.ErrDeadlineExceeded) {
		r.Errorf("damage %d: the connection is still open after %v", seed, r.patience())
	}
	writing.Wait()
	select {
	case err := <-over:
		if err == nil {
			r.Errorf("damage %d: Recv has ended without an error", seed)
		}
	case <-r.soon().Done():
		r.Errorf("damage %d: Recv has not returned after the end of the stream", seed)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > assaultMemory {
		r.Errorf("damage %d: %d bytes have made the process allocate %d, want at most %d", seed, len(b), n, assaultMemory)
	}
}
