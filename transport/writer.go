package transport

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// quiet is how long the wire must have been silent for a sender to write by
	// itself. It is some ten times the cost of waking another goroutine and
	// less than a round trip, so that one caller never waits for a hop and many
	// share one write.
	quiet = 8 * time.Microsecond
	// inline is how long a sender that writes by itself may be held up by a
	// peer that does not read, before the rest is left to the flusher.
	inline = time.Millisecond
	// keepBuffer is the largest buffer that goes back to the pool: what gathers
	// in a full send buffer by default.
	keepBuffer = 2 << 20
)

// epoch is the start of the monotonic clock that writers and heart-beats read.
var epoch = time.Now()

func now() time.Duration { return time.Since(epoch) }

// A Writer gathers messages from many goroutines and writes them with few
// system calls. After a pause the sender writes at once, with no hop; under
// load one flusher takes all that has gathered meanwhile. Its buffer is
// bounded. A Writer is safe for concurrent use.
type Writer struct {
	nc      net.Conn
	bound   int64
	stall   time.Duration
	resumes bool // a write that timed out may be continued
	now     atOnce
	broke   func(error)
	room    *semaphore.Weighted
	taking  context.Context // ends when nothing more is taken in
	seal    context.CancelCauseFunc

	mu sync.Mutex // protects the fields below
	// gathered is what waits to be written, held the room that it takes up.
	gathered *buffer
	held     int64
	// unasked is how many bytes of it took no room.
	unasked int64
	// seq counts what was gathered, done what was written of it.
	seq, done uint64
	writing   bool // a sender or the flusher is in a write, or about to be
	holding   bool // until Release, if not too much gathers
	apart     bool // see Apart
	last      time.Duration
	sealed    error         // why nothing more is taken in, though what was is still written
	err       error         // why nothing more is written
	progress  chan struct{} // closed after a write; nil when nobody waits
	wanted    int64         // the room that an Offer did not find; see writer_offer.go
	roomy     func()        // told when it is there; may be nil
}

// NewWriter returns a Writer to nc that holds bound bytes at most and gives up
// when a write makes no progress for stall. broke is told once, on whatever
// goroutine found out, why no more can be written.
func NewWriter(nc net.Conn, bound int, stall time.Duration, broke func(error)) *Writer {
	w := &Writer{
		nc: nc, bound: int64(bound), stall: stall, broke: broke,
		resumes: !isTLS(nc), // a timed-out write leaves a TLS session useless
		room:    semaphore.NewWeighted(int64(bound)), last: now() - time.Hour,
	}
	w.now.init(nc)
	w.taking, w.seal = context.WithCancelCause(context.Background())
	return w
}

// Apart has every message from here on leave by a write of its own, and so, with TLS,
// begin a record of its own. It is for peers that take what comes together for one
// message.
func (w *Writer) Apart() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.apart = true
	if w.gathered != nil && len(w.gathered.ends) == 0 {
		w.gathered.ends = append(w.gathered.ends, len(w.gathered.bytes))
	}
}

// Append lets enc append the bytes of one message to the buffer, once there is
// room for about size bytes, and sees to it that they are written. ctx bounds
// the wait for room only: one that has ended means not to wait. enc runs under
// the Writer's lock, in the order of the bytes on the wire, and must be quick;
// what it appends is written whole or, after an error, not at all. A nil error
// does not say that the write has happened. On an error nothing was appended,
// unless it is an [OpError] with MaybeSent.
func (w *Writer) Append(ctx context.Context, size int, enc func([]byte) []byte) error {
	need := min(int64(size), w.bound)
	if !w.room.TryAcquire(need) {
		if err := w.wait(ctx, need); err != nil {
			return err
		}
	}
	w.mu.Lock()
	if err := cmp.Or(w.err, w.sealed); err != nil {
		w.mu.Unlock()
		w.room.Release(need)
		return err
	}
	w.gather(need, enc)
	if w.writing || w.holding && len(w.gathered.bytes) < w.most() {
		w.mu.Unlock()
		return nil
	}
	w.writing = true
	if !w.resumes || now()-w.last < quiet {
		w.mu.Unlock()
		go w.flush()
		return nil
	}
	return w.writeInline()
}

// Hold lets messages gather without being written, until Release, or until
// there are enough for a write of their own.
func (w *Writer) Hold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holding = true
}

// most is how much gathers at most while it is held.
func (w *Writer) most() int { return int(min(64<<10, w.bound/2)) }

// Release undoes Hold and writes what has gathered.
func (w *Writer) Release() {
	w.mu.Lock()
	w.holding = false
	if w.gathered == nil || w.writing || w.err != nil {
		w.mu.Unlock()
		return
	}
	w.writing = true
	if !w.resumes {
		w.mu.Unlock()
		go w.flush()
		return
	}
	_ = w.writeInline() // the end of the stream tells everybody
}

// wait waits for room, until ctx ends or nothing more is taken in.
func (w *Writer) wait(ctx context.Context, need int64) error {
	w.mu.Lock()
	if w.holding {
		w.holding = false
		w.kick()
	}
	w.mu.Unlock()
	waiting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(w.taking, func() { cancel(context.Cause(w.taking)) })()
	if w.room.Acquire(waiting, need) == nil {
		return nil
	}
	if err := context.Cause(w.taking); err != nil {
		return err
	}
	return fmt.Errorf("%w: %w", ErrBusy, context.Cause(ctx))
}

// Control appends a small frame of the protocol itself, such as a confirmation,
// without waiting for room, so that a goroutine that reads never waits for the
// peer to read. It fails if twice the bound of such frames has gathered: who asks
// for confirmations has to read them.
func (w *Writer) Control(enc func([]byte) []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := cmp.Or(w.err, w.sealed); err != nil {
		return err
	}
	if w.unasked > 2*w.bound {
		return ErrStalled
	}
	w.gather(0, enc)
	w.kick()
	return nil
}

// kick sees to it that what has gathered is written. It needs mu.
func (w *Writer) kick() {
	if !w.writing {
		w.writing = true
		go w.flush()
	}
}

// gather appends one message. It needs mu.
func (w *Writer) gather(need int64, enc func([]byte) []byte) {
	if w.gathered == nil {
		w.gathered = buffers.Get().(*buffer)
	}
	before := len(w.gathered.bytes)
	w.gathered.bytes = enc(w.gathered.bytes)
	if need == 0 {
		w.unasked += int64(len(w.gathered.bytes) - before)
	}
	if w.apart {
		w.gathered.ends = append(w.gathered.ends, len(w.gathered.bytes))
	}
	w.held += need
	w.seq++
}

// writeInline writes what has gathered on the sender's own goroutine, but
// leaves it to a flusher if the peer does not take it at once. It is entered
// with mu held and writing set, and unlocks mu.
func (w *Writer) writeInline() error {
	buf, held, seq := w.take()
	w.mu.Unlock()
	n, err := w.writeFrom(buf, 0, inline)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		go w.finish(buf, n, held, seq)
		return nil
	}
	buf.free()
	if err != nil {
		err = &OpError{Op: "send", MaybeSent: n > 0, Err: w.fail(err)}
		w.room.Release(held)
		return err
	}
	if w.wrote(held, seq) {
		go w.flush()
	}
	return nil
}

// finish writes the rest of buf, of which n bytes are gone, and what gathered
// since.
func (w *Writer) finish(buf *buffer, n int, held int64, seq uint64) {
	_, err := w.writeFrom(buf, n, w.stall)
	buf.free()
	if err != nil {
		_ = w.fail(err)
		w.room.Release(held)
		return
	}
	if w.wrote(held, seq) {
		w.flush()
	}
}

// flush writes until nothing is left.
func (w *Writer) flush() {
	for {
		runtime.Gosched() // let those who are about to send join
		w.mu.Lock()
		if w.err != nil {
			w.writing = false
			w.mu.Unlock()
			return
		}
		buf, held, seq := w.take()
		w.mu.Unlock()
		_, err := w.writeFrom(buf, 0, w.stall)
		buf.free()
		if err != nil {
			_ = w.fail(err)
			w.room.Release(held)
			return
		}
		if !w.wrote(held, seq) {
			return
		}
	}
}

// take hands out what has gathered. It needs mu.
func (w *Writer) take() (buf *buffer, held int64, seq uint64) {
	buf, held, seq = w.gathered, w.held, w.seq
	w.gathered, w.held, w.unasked = nil, 0, 0
	return buf, held, seq
}

// writeFrom writes what is in buf but the first n bytes, and returns how much of it
// is gone then.
func (w *Writer) writeFrom(buf *buffer, n int, d time.Duration) (total int, err error) {
	if buf == nil {
		return 0, nil
	}
	if len(buf.ends) == 0 {
		m, err := w.write(buf.bytes[n:], d)
		return n + m, err
	}
	for _, end := range buf.ends {
		if end <= n {
			continue
		}
		m, err := w.write(buf.bytes[n:end], d)
		if n += m; err != nil {
			return n, err
		}
	}
	return n, nil
}

// write writes b, giving up when no byte has gone for d. Progress, however
// slow, is not a stall. A deadline is set only if the peer does not take all at
// once: setting one costs more than the write.
func (w *Writer) write(b []byte, d time.Duration) (total int, err error) {
	if total, err = w.now.write(b); total == len(b) || err != nil {
		return total, err
	}
	if w.now.able() {
		defer func() { err = cmp.Or(err, w.nc.SetWriteDeadline(time.Time{})) }()
	}
	wait, piece := d, len(b)
	switch {
	case !w.resumes:
		piece = tlsRecord // whose end is the only progress that can be seen
	case d == w.stall:
		wait = max(d/8, 1) // what may be missed of the moment of the last byte
	}
	for stuck := time.Duration(0); total < len(b); {
		if err := w.nc.SetWriteDeadline(time.Now().Add(wait)); err != nil {
			return total, err
		}
		n, err := w.nc.Write(b[total:min(len(b), total+piece)])
		total += n
		switch {
		case err == nil:
			stuck = 0
			continue
		case n > 0:
			stuck = 0
		default:
			stuck += wait
		}
		if !w.resumes || stuck >= d || d != w.stall || !errors.Is(err, os.ErrDeadlineExceeded) {
			return total, err
		}
	}
	return total, nil
}

// tlsRecord is the most that TLS encrypts at once (RFC 8446, section 5.1).
const tlsRecord = 16 << 10

// wrote notes that all up to seq is gone and reports whether more has gathered;
// if not, nobody is writing from here on.
func (w *Writer) wrote(held int64, seq uint64) (more bool) {
	w.room.Release(held)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done, w.last = seq, now()
	w.wake()
	w.tellRoom()
	more = w.gathered != nil && w.err == nil
	w.writing = more
	return more
}

// wake lets those in Flush look again. It needs mu.
func (w *Writer) wake() {
	if w.progress != nil {
		close(w.progress)
		w.progress = nil
	}
}

// fail notes why no more can be written, throws away what has gathered, and
// returns the reason that later calls will get.
func (w *Writer) fail(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = ErrStalled
	}
	err = told(err)
	w.mu.Lock()
	first := w.err == nil
	if first {
		w.err = err
	}
	err = w.err
	buf, held, _ := w.take()
	w.writing = false
	w.wake()
	w.mu.Unlock()
	w.seal(err)
	buf.free()
	w.room.Release(held)
	if first && w.broke != nil {
		w.broke(err)
	}
	return err
}

// Stop makes every later Append, and those that wait for room, return err, and
// throws away what has not been written. It does not interrupt a write under
// way.
func (w *Writer) Stop(err error) {
	w.mu.Lock()
	if w.err == nil {
		w.err = err
	}
	buf, held, _ := w.take()
	w.wake()
	w.mu.Unlock()
	w.seal(err)
	buf.free()
	w.room.Release(held)
}

// Seal appends what last appends, which may be nil, and makes every later
// Append, and those that wait for room, return err. What was taken in before is
// still written.
func (w *Writer) Seal(err error, last func([]byte) []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil || w.sealed != nil {
		return
	}
	w.sealed = err
	w.seal(err)
	if last != nil {
		w.gather(0, last)
		w.kick()
	}
}

// Flush waits until all that was appended before the call is written. It
// returns ctx's error if that comes first, or why writing ended.
func (w *Writer) Flush(ctx context.Context) error {
	w.mu.Lock()
	target := w.seq
	for w.done < target {
		if err := w.err; err != nil {
			w.mu.Unlock()
			return err
		}
		w.kick() // it may be held
		if w.progress == nil {
			w.progress = make(chan struct{})
		}
		moved := w.progress
		w.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		w.mu.Lock()
	}
	w.mu.Unlock()
	return nil
}

// Beat appends b, a few bytes that show life, if nothing was written since the
// given time and nothing is being written; it never waits.
func (w *Writer) Beat(b []byte, since time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.beat(b, since)
}

// Follow is Beat, but only if nothing that was appended before waits to be written.
// It reports whether b is on its way.
func (w *Writer) Follow(b []byte, since time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gathered == nil && w.beat(b, since)
}

// beat needs mu.
func (w *Writer) beat(b []byte, since time.Duration) bool {
	if w.err != nil || w.sealed != nil || w.writing || w.last > since {
		return false
	}
	w.gather(0, func(dst []byte) []byte { return append(dst, b...) })
	w.kick()
	return true
}

// lastWrite returns when a write last ended.
func (w *Writer) lastWrite() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// A buffer holds what has gathered. Nil is one that holds nothing.
type buffer struct {
	bytes []byte
	ends  []int // of the messages that leave apart; if there are any, the last is that of bytes
}

var buffers = sync.Pool{New: func() any { return &buffer{bytes: make([]byte, 0, 4<<10)} }}

// free gives the buffer back, unless it has grown large.
func (b *buffer) free() {
	if b == nil || cap(b.bytes) > keepBuffer {
		return
	}
	b.bytes, b.ends = b.bytes[:0], b.ends[:0]
	buffers.Put(b)
}

// closeWrite half-closes nc if it can.
func closeWrite(nc net.Conn) error {
	if h, ok := nc.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return nil
}

// drain reads and drops what comes until the peer has closed or nc's deadline
// passes, so that closing does not reset the connection, and lose what we wrote
// last, over bytes that the peer sent meanwhile.
func drain(nc net.Conn) { _, _ = io.CopyN(io.Discard, nc, 16<<20) }
