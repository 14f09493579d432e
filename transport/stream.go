package transport

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A Stream is the part of a Conn over a byte stream that is the same for every
// wire: a [Reader] and a [Writer] on one net.Conn, heart-beats, the first error
// that ended it, and an orderly close. A wire embeds or holds one and adds its
// frames. Its methods are safe for concurrent use, but only the goroutine in
// Receive may use the Reader.
type Stream struct {
	// Reader is for the function given to Receive, and for the handshake
	// before.
	Reader *Reader

	nc       net.Conn
	scheme   string
	linger   time.Duration
	patience time.Duration
	writer   *Writer
	heart    atomic.Pointer[heartbeat]

	// receiving is held while somebody reads. It and closed are channels, not
	// locks, because they are held across waits.
	receiving   chan struct{}
	interrupt   func()          // makes the read under way time out, and sends:
	interrupted chan struct{}   // of which there is room for one
	watched     <-chan struct{} // see watch; belongs to the goroutine in Receive
	clock       readClock

	gathers  atomic.Bool   // see Gather
	held     bool          // the writer holds; belongs to the goroutine in Receive
	closing  atomic.Bool   // Close or Abort has begun
	closed   chan struct{} // Close or Abort is over
	slow     *time.Timer   // runs while midFrame, and may fire once after
	midFrame bool          // belongs to the goroutine in Receive
	begun    atomic.Int64  // the clock when the frame began, or noFrame

	mu      sync.Mutex // protects the fields below
	err     error
	ended   []func(error)
	unwatch func() bool // ends the watch for the context watched, if any
}

// NewStream returns a Stream over nc, which it owns. o must have its defaults
// set; limit is how many bytes the Reader may buffer.
func NewStream(nc net.Conn, scheme string, o *Options, limit int) *Stream {
	s := &Stream{
		nc: nc, scheme: scheme, linger: o.Linger, patience: o.FrameTimeout,
		receiving: make(chan struct{}, 1), closed: make(chan struct{}),
	}
	s.interrupted = make(chan struct{}, 1)
	s.interrupt = func() {
		_ = nc.SetReadDeadline(time.Unix(1, 0))
		s.interrupted <- struct{}{}
	}
	s.Reader = NewReader(streamSource{s}, limit)
	s.writer = NewWriter(nc, o.SendBuffer, o.WriteStall, s.Fail)
	s.begun.Store(noFrame)
	s.clock.since.Store(noRead)
	s.slow = time.AfterFunc(s.patience, s.judgeFrame)
	s.slow.Stop()
	return s
}

// streamSource reads from the net.Conn and notes when.
type streamSource struct{ *Stream }

func (s streamSource) Read(p []byte) (int, error) {
	if s.held { // what waits may be what the peer waits for
		s.held = false
		s.writer.Release()
	}
	s.clock.start()
	n, err := s.nc.Read(p)
	s.clock.stop(n > 0)
	return n, err
}

// Apart is [Writer.Apart].
func (s *Stream) Apart() { s.writer.Apart() }

// Follow sends b, a few bytes that show life, if all that was taken has been written,
// and nothing for idle, and reports whether it did. It never waits.
func (s *Stream) Follow(b []byte, idle time.Duration) bool { return s.writer.Follow(b, now()-idle) }

// StartHeartbeat begins to send beat whenever nothing else was sent for two
// thirds of send, and to end the stream with [ErrHeartbeat] when the peer was
// silent for longer than recv and a tenth. Zero means not to. It is called
// once, when the handshake is over.
func (s *Stream) StartHeartbeat(send, recv time.Duration, beat []byte) {
	s.startHeart(&heartbeat{stream: s, beat: beat, every: send * 2 / 3, limit: recv + recv/10})
}

// StartPing is [Stream.StartHeartbeat] with a peer that sends no beats of its own
// accord but answers ours: ping goes out when either end was silent for two
// thirds of the interval.
func (s *Stream) StartPing(interval time.Duration, ping []byte) {
	s.startHeart(&heartbeat{stream: s, beat: ping, every: interval * 2 / 3, limit: interval + interval/10, asks: true})
}

func (s *Stream) startHeart(h *heartbeat) {
	s.heart.Store(h)
	h.start()
	if s.Err() != nil {
		h.stop()
	}
}

// Write is [Writer.Append], with errors that say where they come from.
func (s *Stream) Write(ctx context.Context, op string, size int, enc func([]byte) []byte) error {
	if s.closing.Load() {
		return s.opError(op, ErrClosed)
	}
	if err := s.writer.Append(ctx, size, enc); err != nil {
		return s.opError(op, err)
	}
	return nil
}

// Control is [Writer.Control]. A peer that has let too much of it gather is
// given up.
func (s *Stream) Control(op string, enc func([]byte) []byte) error {
	err := s.writer.Control(enc)
	if errors.Is(err, ErrStalled) {
		s.Fail(err)
	}
	if err != nil {
		return s.opError(op, err)
	}
	return nil
}

// Offer is [Writer.Offer].
func (s *Stream) Offer(size int, enc func([]byte) []byte) bool {
	return !s.closing.Load() && s.writer.Offer(size, enc)
}

// OnRoom is [Writer.OnRoom].
func (s *Stream) OnRoom(f func()) { s.writer.OnRoom(f) }

// Receive runs next, which reads one message, for Recv: one caller at a time,
// so that ctx and Close interrupt it. next must leave the Reader so that it can
// be called again after an interruption. Its other errors end the stream.
func (s *Stream) Receive(ctx context.Context, next func() (*Message, error)) (*Message, error) {
	s.receiving <- struct{}{}
	defer func() { <-s.receiving }()
	if err := s.Err(); err != nil {
		return nil, s.opError("receive", err)
	}
	if s.closing.Load() {
		return nil, s.opError("receive", ErrClosed)
	}
	m, err := s.interruptible(ctx, next)
	switch {
	case err == nil:
		if !s.held && s.gathers.Load() && len(s.Reader.Buffered()) > 0 {
			s.held = true
			s.writer.Hold()
		}
		return m, nil
	case s.closing.Load():
		err = cmp.Or(s.Err(), ErrClosed)
	case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	default:
		s.Fail(err)
		err = s.Err()
	}
	return nil, s.opError("receive", err)
}

// interruptible runs next so that the end of ctx makes its reads time out.
func (s *Stream) interruptible(ctx context.Context, next func() (*Message, error)) (*Message, error) {
	if done := ctx.Done(); done != s.watched {
		s.watch(ctx)
	}
	m, err := next()
	if err != nil {
		s.watch(context.Background())
	}
	return m, err
}

// watch has the end of ctx interrupt reads, and that of no other context. It
// lasts until the next call, for who receives many messages mostly brings the
// same context.
func (s *Stream) watch(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unwatch != nil && !s.unwatch() {
		<-s.interrupted
		_ = s.nc.SetReadDeadline(time.Time{})
		if s.closing.Load() { // which wants the same, and may have come first
			_ = s.nc.SetReadDeadline(time.Unix(1, 0))
		}
	}
	s.unwatch, s.watched = nil, nil
	if ctx.Done() != nil && s.err == nil {
		s.unwatch, s.watched = context.AfterFunc(ctx, s.interrupt), ctx.Done()
	}
}

// Gather is that of [Gatherer].
func (s *Stream) Gather() { s.gathers.Store(true) }

// Release is that of [Gatherer].
func (s *Stream) Release() { s.writer.Release() }

// Hold is [Writer.Hold], for one who is about to write several messages and then
// calls Release.
func (s *Stream) Hold() { s.writer.Hold() }

// MidFrame says, before a read, that a frame has begun and is not whole. It
// starts a clock that ends the stream with [ErrSlow] unless FrameDone is called
// within the frame timeout; further calls change nothing.
func (s *Stream) MidFrame() {
	if !s.midFrame {
		s.midFrame = true
		begun, _ := s.clock.read()
		s.begun.Store(int64(begun))
		s.slow.Reset(s.patience)
	}
}

// noFrame is the value of begun between frames.
const noFrame = -1

// judgeFrame ends the stream if the frame under way has taken too long; only
// time in reads counts, for the rest is ours.
func (s *Stream) judgeFrame() {
	begun := s.begun.Load()
	if begun == noFrame {
		return
	}
	spent, reading := s.clock.read()
	left := s.patience - (spent - time.Duration(begun))
	if left <= 0 {
		s.Fail(ErrSlow)
		return
	}
	if !reading { // look again, but not all the time
		left = max(left, 10*time.Millisecond)
	}
	s.slow.Reset(left)
	if s.Err() != nil {
		s.slow.Stop()
	}
}

// FrameDone says that the frame is whole.
func (s *Stream) FrameDone() {
	if s.midFrame {
		s.midFrame = false
		s.begun.Store(noFrame)
		s.slow.Stop()
	}
}

// Fail ends the stream at once because of err; only the first call counts.
// Everything blocked in it returns.
func (s *Stream) Fail(err error) {
	if s.end(told(err)) {
		CloseNow(s.nc)
	}
}

// told turns the ways in which a byte stream can end into ErrClosed.
func told(err error) error {
	var op *net.OpError
	var code syscall.Errno
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		return WithReason(ErrClosed, "the peer closed the connection")
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNABORTED):
		return WithReason(ErrClosed, "the peer reset the connection")
	case errors.As(err, &op), errors.As(err, &code), errors.Is(err, io.ErrUnexpectedEOF):
		return WithReason(ErrClosed, err.Error())
	}
	return err
}

// end notes why the stream is over, and tells all who want to know.
func (s *Stream) end(err error) (first bool) {
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return false
	}
	s.err = err
	ended := s.ended
	s.ended = nil
	if s.unwatch != nil {
		s.unwatch()
		s.unwatch = nil
	}
	s.mu.Unlock()
	if h := s.heart.Load(); h != nil {
		h.stop()
	}
	s.slow.Stop()
	s.writer.Stop(err)
	for _, f := range ended {
		f(err)
	}
	return true
}

// Ending is closed when no more messages are taken in: Close has begun, or the
// stream has ended.
func (s *Stream) Ending() <-chan struct{} { return s.writer.taking.Done() }

// OnEnd has f called with the reason when the stream ends, or now if it has. f
// must not block.
func (s *Stream) OnEnd(f func(error)) {
	s.mu.Lock()
	err := s.err
	if err == nil {
		s.ended = append(s.ended, f)
	}
	s.mu.Unlock()
	if err != nil {
		f(err)
	}
}

// Over returns nil as long as messages are taken in, and then why the operation
// op is too late.
func (s *Stream) Over(op string) error {
	if s.closing.Load() || s.Err() != nil {
		return s.opError(op, ErrClosed)
	}
	return nil
}

// Err returns why the stream ended, or nil.
func (s *Stream) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Close ends the stream in order: it refuses new messages, writes what was
// taken and then what goodbye appends, and waits for the peer to close too; all
// this within the linger time. goodbye may be nil.
func (s *Stream) Close(goodbye func([]byte) []byte) error {
	s.CloseFor(ErrClosed, goodbye)
	return nil
}

// CloseFor is Close because of err.
func (s *Stream) CloseFor(err error, goodbye func([]byte) []byte) {
	if s.closing.Swap(true) {
		<-s.closed
		return
	}
	defer close(s.closed)
	if s.Err() == nil {
		s.farewell(goodbye)
	}
	if s.end(err) {
		CloseNow(s.nc)
	}
}

// Abort is CloseFor from inside the function given to Receive: for a peer that is
// to read the reason in goodbye's bytes.
func (s *Stream) Abort(err error, goodbye func([]byte) []byte) {
	if s.closing.Swap(true) {
		return // Close waits for Receive to end
	}
	defer close(s.closed)
	if s.Err() == nil {
		s.farewellLocked(goodbye)
	}
	if s.end(err) {
		CloseNow(s.nc)
	}
}

// farewell says goodbye and waits for the peer's end of the connection.
func (s *Stream) farewell(goodbye func([]byte) []byte) {
	// Whoever is in Receive has to leave before this goroutine may read.
	s.writer.Seal(ErrClosed, goodbye)
	_ = s.nc.SetReadDeadline(time.Unix(1, 0))
	s.receiving <- struct{}{}
	defer func() { <-s.receiving }()
	s.farewellLocked(nil)
}

// farewellLocked needs receiving.
func (s *Stream) farewellLocked(goodbye func([]byte) []byte) {
	s.writer.Seal(ErrClosed, goodbye)
	until := time.Now().Add(s.linger)
	ctx, cancel := context.WithDeadline(context.Background(), until)
	defer cancel()
	if s.writer.Flush(ctx) != nil {
		return
	}
	// TLS takes a time of its own to say goodbye.
	late := time.AfterFunc(time.Until(until), func() { _ = s.nc.SetWriteDeadline(time.Unix(1, 0)) })
	err := closeWrite(s.nc)
	late.Stop()
	if err != nil {
		return
	}
	s.watch(context.Background())
	_ = s.nc.SetReadDeadline(until)
	drain(s.nc)
}

// Flush waits until all that was written before the call is with the operating
// system.
func (s *Stream) Flush(ctx context.Context) error {
	if err := s.writer.Flush(ctx); err != nil {
		return s.opError("flush", err)
	}
	return nil
}

// LocalAddr and RemoteAddr are those of the net.Conn.
func (s *Stream) LocalAddr() net.Addr { return s.nc.LocalAddr() }

// RemoteAddr is the address of the peer.
func (s *Stream) RemoteAddr() net.Addr { return s.nc.RemoteAddr() }

// opError wraps err with the operation, keeping what is known about sending.
func (s *Stream) opError(op string, err error) error {
	e := &OpError{Op: op, Scheme: s.scheme, Addr: s.nc.RemoteAddr().String(), Err: err}
	if inner, ok := errors.AsType[*OpError](err); ok {
		e.MaybeSent, e.Err = inner.MaybeSent, inner.Err
	}
	if ended := s.Err(); ended != nil && !errors.Is(e.Err, ErrInvalid) {
		e.Err = ended // says more than what the write ran into
	}
	return e
}
