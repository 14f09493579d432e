package amqp

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/polyport/polyport/transport"
)

const (
	// frameSize is the largest frame that this end takes. Large bodies move 1.1
	// to 1.7 times as fast as with 64 KiB.
	frameSize = 1 << 20
	// headerSize is that of a frame, without what may follow it.
	headerSize = 8
	// slack is what a message may be longer than its body and header fields.
	slack = 64 << 10
)

// The descriptors of performatives that a guard looks at (part 2, section 2.7).
const (
	performOpen        = 0x10
	performBegin       = 0x11
	performAttach      = 0x12
	performFlow        = 0x13
	performTransfer    = 0x14
	performDisposition = 0x15
	performDetach      = 0x16
	performEnd         = 0x17
	performClose       = 0x18
	saslInit           = 0x41
	saslOutcome        = 0x44
	errorDescriptor    = 0x1d
)

// guard is the net.Conn below go-amqp. It looks at every frame before go-amqp
// does, because what that cannot bear ends the process (go-amqp#369): only
// frames that are whole, within bounds and well-formed pass. The content of a
// message passes wrapped, so that go-amqp has no part in decoding it: the
// payload of each transfer becomes one data section.
//
// Deadlines set from above are of no effect. The stream below has its own for
// silence and stalls, and a deadline of one sender is not to be the end of all.
type guard struct {
	stream *transport.Stream
	most   int    // bytes of a message
	host   string // the one that is logged in to
	hold   *hold
	spouts spouts
	// receiving ends when nobody wants messages any more.
	receiving context.Context
	// running is set when go-amqp's handshake is over.
	running  atomic.Bool
	partings sync.WaitGroup // for the stream to end in order

	head []byte // of the frame under way: what is made anew
	body []byte // and what stays as it came, in the stream's Reader
	used int    // of the Reader, by the frame

	// partial are the bytes so far of deliveries that are not whole.
	partial map[linkKey]part
	arrived int64        // deliveries
	taken   atomic.Int64 // of these
	granted atomic.Int64 // credit, without what renews it
	flows   atomic.Int64 // flow frames that were written
	lost    atomic.Pointer[func()]

	mu   sync.Mutex // protects the fields below
	open openFrame
	last error // why the peer ends the connection, as it said
}

// A linkKey names a link of the peer's.
type linkKey struct{ channel, handle uint32 }

// A part is the size of a delivery so far, and how much of it has passed.
type part struct{ size, passed int }

// openFrame is what the peer's open says beyond what go-amqp tells.
type openFrame struct {
	container    string
	frameMax     int
	channelMax   int
	idle         time.Duration
	capabilities []string
}

func newGuard(receiving context.Context, s *transport.Stream, o *transport.DialOptions, host string) *guard {
	return &guard{
		stream: s, most: o.Limits.Message + o.Limits.HeaderBytes + slack, host: host, receiving: receiving,
		hold: newHold(o.SendBuffer), spouts: newSpouts(), partial: map[linkKey]part{},
	}
}

// Read hands out frames that have passed.
func (g *guard) Read(p []byte) (int, error) {
	for len(g.head)+len(g.body) == 0 {
		g.stream.Reader.Discard(g.used)
		g.used = 0
		if len(g.partial) == 0 {
			g.hold.gate(g.stream.Ending())
		}
		if err := receiveFrame(g.stream, g.next); err != nil {
			g.hold.calm(g.receiving)
			return 0, err
		}
	}
	n := copy(p, g.head)
	g.head = g.head[n:]
	m := copy(p[n:], g.body)
	g.body = g.body[m:]
	return n + m, nil
}

// next reads the next frame, or protocol header, into head and body.
func (g *guard) next() error {
	b, err := g.need(headerSize)
	if err != nil {
		return err
	}
	if string(b[:4]) == "AMQP" {
		g.pass(b[:headerSize])
		return nil
	}
	size, offset := int(binary.BigEndian.Uint32(b)), int(b[4])*4
	switch {
	case size > frameSize:
		return tooLarge("a frame of %d bytes, the limit is %d", size, frameSize)
	case offset < headerSize || offset > size:
		return damaged("a frame of %d bytes that begin at %d", size, offset)
	}
	if b, err = g.need(size); err != nil {
		return err
	}
	g.stream.FrameDone()
	g.used = size
	if b = b[:size]; offset > headerSize {
		b = append(binary.BigEndian.AppendUint32(nil, uint32(size-offset+headerSize)), b[4:]...)
		b = append(b[:headerSize], b[offset:]...)
		b[4] = headerSize / 4
	}
	if len(b) == headerSize { // a sign of life
		g.pass(b)
		return nil
	}
	return g.frame(b)
}

// need waits until n bytes are buffered.
func (g *guard) need(n int) ([]byte, error) {
	for {
		b := g.stream.Reader.Buffered()
		if len(b) >= n {
			return b, nil
		}
		if len(b) > 0 {
			g.stream.MidFrame()
		}
		if err := g.stream.Reader.Fill(); err != nil {
			return nil, err
		}
	}
}

// pass hands out b as it is.
func (g *guard) pass(b []byte) {
	g.body, g.used = b, max(g.used, headerSize)
	g.stream.FrameDone()
}

// frame looks at a frame, and hands it out.
func (g *guard) frame(b []byte) error {
	c, payload, err := compositeOf(b[headerSize:])
	if err != nil {
		return err
	}
	g.body = b
	channel := uint32(binary.BigEndian.Uint16(b[6:]))
	switch c.code {
	case performOpen:
		g.opened(c)
	case performBegin:
		g.spouts.begun(uint16(channel), c)
	case performAttach:
		g.spouts.attached(uint16(channel), c)
		name, _ := text(c.next())
		handle, _ := number(c.next())
		g.hold.attached(linkKey{channel, uint32(handle)}, name)
	case performFlow:
		if err := checkFlow(c); err != nil {
			return err
		}
		return g.keep(g.spouts.flowed(uint16(channel), c))
	case performTransfer:
		return g.transfer(b, c, payload, channel)
	case performDisposition:
		if err := checkDisposition(c); err != nil {
			return err
		}
		return g.keep(g.spouts.settled(uint16(channel), c))
	case performDetach:
		handle, _ := number(c.next())
		key := linkKey{channel, uint32(handle)}
		delete(g.partial, key)
		g.hold.ended(func(k linkKey) bool { return k == key })
		c.pass(1)
		g.ended(channel, false, c.next())
	case performEnd:
		g.ended(channel, true, c.next())
		for k := range g.partial {
			if k.channel == channel {
				delete(g.partial, k)
			}
		}
		g.hold.ended(func(k linkKey) bool { return k.channel == channel })
	case performClose:
		g.note(peerError(c.next()))
		g.hold.calm(g.receiving)
	case saslOutcome:
		if code, _ := number(c.next()); code != 0 {
			g.note(transport.WithReason(transport.ErrRefused, "login failed; is this the right user and password?"))
		}
	}
	return nil
}

// keep keeps a frame from go-amqp that is not for it.
func (g *guard) keep(ours bool, err error) error {
	if ours {
		g.body = nil
	}
	return err
}

// ended ends what the peer has ended, and has outlets look whether their links
// are there if that was because of an error, once go-amqp has taken note of it.
func (g *guard) ended(channel uint32, session bool, err []byte) {
	g.spouts.ended(uint16(channel), session, peerError(err))
	if f := g.lost.Load(); f != nil && err != nil {
		time.AfterFunc(5*time.Millisecond, *f)
	}
}

// checkFlow sees to it that credit for a link is a number, which go-amqp takes
// for granted.
func checkFlow(c composite) error {
	c.pass(4)
	handle := c.next()
	c.next()
	if _, ok := number(c.next()); handle != nil && !ok {
		return damaged("a flow for a link without link-credit")
	}
	return nil
}

// checkDisposition bounds a range, each element of which go-amqp looks for.
func checkDisposition(c composite) error {
	c.next()
	first, _ := number(c.next())
	v := c.next()
	last, _ := number(v)
	if v != nil && (last < first || last-first > 1<<20 || last >= math.MaxUint32) {
		return damaged("a disposition from %d to %d", first, last)
	}
	return nil
}

// transfer makes a data section of the payload. Of a message over the limit all
// that follows is left out, and a value of true at its end says so.
func (g *guard) transfer(b []byte, c composite, payload []byte, channel uint32) error {
	handle, _ := number(c.next())
	key := linkKey{channel, uint32(handle)}
	c.pass(4)
	more := truth(c.next())
	c.pass(3)
	aborted := truth(c.next())
	before, under := g.partial[key]
	if !under {
		g.arrived++
		// RabbitMQ 3 may send more; see inlet.pay.
		if g.arrived-g.taken.Load() > 2*g.granted.Load()+1024 {
			return damaged("more messages than there was credit for")
		}
	}
	size := before.size + len(payload)
	passes := len(payload)
	if size > g.most {
		passes = 0
	}
	switch {
	case aborted:
		g.arrived--
		delete(g.partial, key)
		g.hold.arrived(key, -before.passed, false)
	case more:
		g.partial[key] = part{min(size, g.most+1), before.passed + passes}
		g.hold.arrived(key, passes, false)
	default:
		delete(g.partial, key)
		g.hold.arrived(key, passes, true)
	}
	performative := b[headerSize : len(b)-len(payload)]
	suffix := 8 // the head of a data section
	if size > g.most {
		payload, suffix = nil, 4
		if more {
			suffix = 0
		}
	}
	g.head = binary.BigEndian.AppendUint32(g.head[:0], uint32(headerSize+len(performative)+suffix+len(payload)))
	g.head = append(append(g.head, b[4:headerSize]...), performative...)
	switch suffix {
	case 8:
		g.head = append(g.head, 0x00, 0x53, sectionData, 0xb0)
		g.head = binary.BigEndian.AppendUint32(g.head, uint32(len(payload)))
	case 4:
		g.head = append(g.head, 0x00, 0x53, sectionValue, 0x41)
	}
	g.body = payload
	return nil
}

// opened notes what the peer's open says.
func (g *guard) opened(c composite) {
	var o openFrame
	o.container, _ = text(c.next())
	c.pass(1)
	o.frameMax = math.MaxInt32
	if n, ok := number(c.next()); ok && n > 0 {
		o.frameMax = int(min(n, math.MaxInt32))
	}
	o.channelMax = math.MaxUint16
	if n, ok := number(c.next()); ok {
		o.channelMax = int(min(n, math.MaxUint16))
	}
	if ms, ok := number(c.next()); ok {
		o.idle = time.Duration(min(ms, math.MaxUint32)) * time.Millisecond
	}
	c.pass(2)
	o.capabilities = symbols(c.next())
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = o
}

// symbols reads a symbol or an array of symbols.
func symbols(v []byte) []string {
	if s, ok := text(v); ok {
		return []string{s}
	}
	if len(v) == 0 || v[0] != 0xe0 && v[0] != 0xf0 {
		return nil
	}
	wide := v[0] == 0xf0
	content, _, _ := sized(v[1:], wide)
	count, content, _ := counted(content, wide)
	if len(content) == 0 || content[0] != 0xa3 && content[0] != 0xb3 {
		return nil
	}
	code := content[0]
	content = content[1:]
	var all []string
	for range min(count, 64) {
		var s []byte
		s, content, _ = sized(content, code == 0xb3)
		all = append(all, string(s))
	}
	return all
}

// said returns the peer's open.
func (g *guard) said() openFrame {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}

func (g *guard) note(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last = err
}

// reason is why the connection has ended: what the peer said, or else err.
func (g *guard) reason(err error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.last != nil {
		return g.last
	}
	return err
}

// peerError makes an error of the peer's, or nil of nil.
func peerError(v []byte) error {
	if v == nil {
		return nil
	}
	c, _, bad := compositeOf(v)
	if bad != nil || c.code != errorDescriptor {
		return transport.WithReason(transport.ErrClosed, "the peer gave a reason that cannot be read")
	}
	condition, _ := text(c.next())
	description, _ := text(c.next())
	return conditionError(condition, description)
}

// empty is a frame that is but a sign of life (part 2, section 2.4.5).
var empty = [headerSize]byte{3: headerSize, 4: headerSize / 4}

// Write writes one frame of go-amqp's, soon. Signs of life are left out: the
// stream sends them when there is nothing else.
func (g *guard) Write(p []byte) (int, error) {
	if g.running.Load() && bytes.Equal(p, empty[:]) {
		return len(p), nil
	}
	n, wrote := len(p), func() {}
	if n > headerSize+2 {
		var err error
		if p, wrote, err = g.outgoing(p); err != nil {
			return 0, err
		}
	}
	err := g.stream.Write(context.Background(), "send", len(p), func(dst []byte) []byte { return append(dst, p...) })
	if err != nil {
		return 0, err
	}
	wrote()
	return n, nil
}

// outgoing looks at a frame of go-amqp's, and returns what to write, and to do
// then.
func (g *guard) outgoing(p []byte) (_ []byte, wrote func(), err error) {
	wrote = func() {}
	channel := uint32(binary.BigEndian.Uint16(p[6:]))
	switch code := p[headerSize+2]; {
	case code == saslInit && p[5] == 1:
		return withHost(p, g.host), wrote, nil
	case code == performAttach:
		c, _, err := compositeOf(p[headerSize:])
		name, _ := text(c.next())
		handle, _ := number(c.next())
		g.hold.attaching(linkKey{channel, uint32(handle)}, name)
		g.spouts.attaching(linkKey{channel, uint32(handle)}, name)
		return p, wrote, err
	case code == performFlow:
		c, _, err := compositeOf(p[headerSize:])
		if err == nil {
			err = capCredit(p[headerSize:])
		}
		c.pass(4)
		handle, linked := number(c.next())
		return p, func() {
			g.flows.Add(1)
			if linked {
				g.hold.credit(linkKey{channel, uint32(handle)})
			}
		}, err
	}
	return p, wrote, nil
}

// withHost adds the host to a sasl-init frame (part 5, section 5.3.3.2), from
// which go-amqp leaves it out: who judges the login has to know what it is for.
// Frames of SASL have at most 512 bytes.
func withHost(frame []byte, host string) []byte {
	const most = 512
	c, _, err := compositeOf(frame[headerSize:])
	if err != nil || c.count != 2 || host == "" || len(host) > math.MaxUint8 {
		return frame
	}
	content := slices.Concat(c.fields, []byte{0xa1, byte(len(host))}, []byte(host))
	b := append([]byte(nil), frame[:headerSize]...)
	b = append(b, 0x00, 0x53, saslInit, 0xd0)
	b = binary.BigEndian.AppendUint32(b, uint32(4+len(content)))
	b = append(binary.BigEndian.AppendUint32(b, 3), content...)
	if len(b) > most {
		return frame
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	return b
}

// capCredit makes credit below zero none. go-amqp counts it so when the peer has
// sent more than it may, and would write it as four billion.
func capCredit(flow []byte) error {
	c, _, err := compositeOf(flow)
	if err != nil {
		return err
	}
	c.pass(6)
	if credit := c.next(); len(credit) == 5 && credit[1] >= 0x80 {
		clear(credit[1:])
	}
	return nil
}

// Close ends the stream in order, unless it is ending. It does not wait for the
// peer then, for go-amqp holds a lock.
func (g *guard) Close() error {
	switch {
	case !g.running.Load():
		return g.stream.Close(nil)
	case g.stream.Over("close") == nil:
		g.partings.Go(func() { _ = g.stream.Close(nil) })
	}
	return nil
}

// LocalAddr and the others are those of a [net.Conn].
func (g *guard) LocalAddr() net.Addr { return g.stream.LocalAddr() }

// RemoteAddr is the address of the peer.
func (g *guard) RemoteAddr() net.Addr { return g.stream.RemoteAddr() }

// SetDeadline does nothing; see guard.
func (g *guard) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing; see guard.
func (g *guard) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing; see guard.
func (g *guard) SetWriteDeadline(time.Time) error { return nil }

func tooLarge(format string, args ...any) error {
	return transport.WithReason(transport.ErrTooLarge, fmt.Sprintf(format, args...))
}

func invalid(format string, args ...any) error {
	return transport.WithReason(transport.ErrInvalid, fmt.Sprintf(format, args...))
}
