package acceptor

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp/internal/frames"
)

const scheme = "amqp"

// conn is the end that was dialed.
//
// The goroutine in Recv acts on what the peer says, or one that pumps while there
// is none. Its state is protected by mu. What is written is made by functions that
// the stream calls under the lock of its writer, in the order of the wire, and
// these take mu: so nobody writes while holding mu.
type conn struct {
	stream *transport.Stream
	frames frameReader
	reader messageReader
	info   transport.Info
	o      *transport.ListenOptions
	broker *membership // nil without a broker

	frameSize int // the largest frame that the peer takes
	stage     stage
	gathers   atomic.Bool

	mu       sync.Mutex // protects the fields below
	sessions map[uint16]*session
	// outlets are the links by which the peer receives, by their addresses, in
	// the order of attachment.
	outlets map[string][]*outlet
	// names are all links by their names and roles.
	names map[linkName]*link
	// inletCount, outletCount and deadCount are the numbers of links: by which
	// the peer sends, receives, and that were refused or detached, of which the
	// peer has not taken notice.
	inletCount, outletCount, deadCount int
	// unsettled is how many of our deliveries wait for the peer's outcome, and
	// backlog how many bytes for its session window. partial is how many bytes
	// there are of the peer's deliveries that are not complete.
	unsettled, backlog, partial int
	changed                     chan struct{} // closed when a sender may look again; nil when none waits

	dirty   []*session // with something to say
	waiting bool       // the goroutine that reads waits for the peer
	acting  bool       // it has handed a message to the broker, and will flush

	// orphans is how many messages of links that are gone wait for the broker's
	// word.
	orphans int
	settled []*sent // by a disposition; belongs to the goroutine that reads
	// hungry are the outlets for which the broker has messages but the peer no
	// room, crowded those for which the send buffer had none. stirred says that
	// this may have changed.
	hungry, crowded []*outlet
	stirred         bool

	pump pump
}

// stage is how far a connection is, which decides how it says goodbye.
type stage int

const (
	stageHeader stage = iota // nothing has been agreed
	stageSASL                // the peer has asked for SASL
	stageLogin               // and was offered mechanisms
	stageOpen                // headers were exchanged
	stageRunning
)

func newConn(nc net.Conn, o *transport.ListenOptions) *conn {
	c := &conn{
		stream: transport.NewStream(nc, scheme, &o.Options, 2*whole),
		reader: messageReader{limits: o.Limits},
		info: transport.Info{
			Scheme: scheme, Version: "1.0", Local: nc.LocalAddr(), Remote: nc.RemoteAddr(), Limits: o.Limits,
			Addressed: true, Headers: true, TLS: transport.TLSState(nc),
		},
		o: o, sessions: make(map[uint16]*session), outlets: make(map[string][]*outlet), names: make(map[linkName]*link),
	}
	c.pump.timer = time.AfterFunc(time.Hour, c.absent)
	c.pump.timer.Stop()
	c.frames = frameReader{stream: c.stream, most: opening, idle: c.idle, busy: c.busy}
	return c
}

// step acts on one frame, and returns the message that it completes.
func (c *conn) step() (*transport.Message, error) {
	f, err := c.frames.next()
	var m *transport.Message
	if err == nil {
		m, err = c.act(f)
		c.feed()
	}
	if m != nil {
		c.acted()
	}
	switch {
	case err == nil && m != nil && !c.gathers.Load():
		c.flush() // nobody says when we will be here again
	case errors.Is(err, transport.ErrProtocol), errors.Is(err, transport.ErrTooLarge), errors.Is(err, transport.ErrRefused):
		c.refuse(err)
	}
	return m, err
}

// acted says that the goroutine that reads does something else now.
func (c *conn) acted() {
	if c.broker != nil {
		c.mu.Lock()
		c.acting = false
		c.mu.Unlock()
	}
}

// act handles what a peer sends on an open connection.
func (c *conn) act(f *frame) (m *transport.Message, err error) {
	if f.Type != frames.TypeAMQP {
		return nil, broken(framingError, "a frame of type %d on a connection that is open", f.Type)
	}
	switch f.code {
	case frames.CodeTransfer:
		return c.transfer(f)
	case frames.CodeDisposition:
		err = c.disposition(f)
	case frames.CodeFlow:
		err = c.flow(f)
	case frames.CodeAttach:
		err = c.attach(f)
	case frames.CodeDetach:
		err = c.detached(f)
	case frames.CodeBegin:
		err = c.begin(f)
	case frames.CodeEnd:
		err = c.ended(f)
	case frames.CodeClose:
		err = c.closed(f)
	case frames.CodeOpen:
		err = broken(notAllowed, "a second open")
	default:
		if f.Size > f.Offset { // an empty frame is a sign of life
			err = broken(notImplemented, "a performative of the unknown type %#02x", f.code)
		}
	}
	return nil, err
}

// closed handles the peer's goodbye.
func (c *conn) closed(f *frame) error {
	reason := "the peer closed the connection"
	if e := frames.ParseClose(&f.fields); e != nil {
		reason += ": " + e.Condition + ": " + e.Description
	}
	err := transport.WithReason(transport.ErrClosed, reason)
	c.stream.Abort(err, func(dst []byte) []byte { return frames.AppendClose(dst, nil) })
	return err
}

// refuse tells the peer why the connection ends.
func (c *conn) refuse(why error) {
	c.stream.Abort(why, func(dst []byte) []byte { return c.appendFarewell(dst, told(why)) })
}

// parting is how long a peer gets for the last messages and outcomes before it is
// told that the connection is closed. Some libraries act on the close first, and
// forget the rest over it.
const parting = 5 * time.Millisecond

// Close says goodbye. Deliveries that have not been settled are released.
func (c *conn) Close() error {
	if c.stream.Err() == nil {
		c.part()
	}
	return c.stream.Close(c.appendGoodbye)
}

func (c *conn) part() {
	c.mu.Lock()
	some := len(c.sessions) > 0
	c.mu.Unlock()
	if !some {
		return
	}
	c.say(c.appendReleased)
	ctx, cancel := context.WithTimeout(context.Background(), parting)
	defer cancel()
	if c.stream.Flush(ctx) != nil {
		return // it does not read
	}
	select {
	case <-time.After(parting):
	case <-c.stream.Ending():
	}
}

func (c *conn) appendReleased(dst []byte) []byte {
	dst = c.appendDirty(dst)
	for _, s := range c.sessions {
		dst = s.appendReleased(dst)
	}
	return dst
}

func (c *conn) appendGoodbye(dst []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return frames.AppendClose(c.appendReleased(dst), nil)
}

// ReplyAddress is the first destination served: what the peer sends there
// arrives here.
func (c *conn) ReplyAddress(context.Context) (string, error) { return c.o.Destinations[0], nil }

// Info returns what was negotiated.
func (c *conn) Info() *transport.Info { return &c.info }

// Gather holds back what is sent, and what is said of messages, while more has
// been received.
func (c *conn) Gather() {
	c.gathers.Store(true)
	c.stream.Gather()
}

// Release lets it go.
func (c *conn) Release() {
	c.feed()
	c.flush()
	c.stream.Release()
}

// Flush waits until what was sent is written.
func (c *conn) Flush(ctx context.Context) error {
	c.flush()
	return c.stream.Flush(ctx)
}

// idle is called before a read that may have to wait: what is to be said must
// be said now.
func (c *conn) idle() {
	for {
		c.mu.Lock()
		if len(c.dirty) == 0 && !c.stirred {
			c.waiting, c.acting = true, false
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		c.feed()
		c.flush()
	}
}

func (c *conn) busy() {
	c.mu.Lock()
	c.waiting = false
	c.mu.Unlock()
}

// tryOnly is a context that has ended.
var tryOnly = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// flush sends what sessions have to say.
func (c *conn) flush() {
	c.mu.Lock()
	some := len(c.dirty) > 0
	c.mu.Unlock()
	if !some {
		return
	}
	say := func(dst []byte) []byte {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.appendDirty(dst)
	}
	err := c.stream.Write(tryOnly, "settle", 128, say)
	if errors.Is(err, transport.ErrBusy) {
		err = c.stream.Control("settle", say)
	}
	if err != nil { // the connection is ending: there is nobody to be told
		c.mu.Lock()
		_ = c.appendDirty(nil)
		c.mu.Unlock()
	}
}

// appendDirty appends what sessions have to say. It needs mu.
func (c *conn) appendDirty(dst []byte) []byte {
	for _, s := range c.dirty {
		dst = s.appendPending(dst)
		s.isDirty = false
	}
	clear(c.dirty)
	c.dirty = c.dirty[:0]
	return dst
}

// say writes frames that state depends on: change is called with mu held, in
// the order of the wire.
func (c *conn) say(change func(dst []byte) []byte) {
	_ = c.stream.Control("receive", func(dst []byte) []byte { // an error ends the stream
		c.mu.Lock()
		defer c.mu.Unlock()
		return change(dst)
	})
}

// wake lets senders look again. It needs mu.
func (c *conn) wake() {
	c.stirred = len(c.hungry) > 0
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// over tells those whose deliveries have no outcome that they will get none.
func (c *conn) over(err error) {
	c.mu.Lock()
	var dones []func(error)
	for _, s := range c.sessions {
		dones = append(dones, s.forgetSent(nil)...)
	}
	c.wake()
	c.pump.timer.Stop()
	c.mu.Unlock()
	if c.broker != nil {
		go c.broker.leave() // it may wait for who has found this out
	}
	tell(dones, c.lost(err))
}

// tell calls each of dones.
func tell(dones []func(error), err error) {
	for _, done := range dones {
		done(err)
	}
}

// notSent is the error for a message that was refused before it was sent.
func (c *conn) notSent(err error) error {
	return &transport.OpError{Op: "send", Scheme: scheme, Addr: c.info.Remote.String(), Err: err}
}

// lost is the error for one whose outcome will not come.
func (c *conn) lost(err error) error {
	return &transport.OpError{Op: "send", Scheme: scheme, Addr: c.info.Remote.String(), MaybeSent: true, Err: err}
}
