package mem

import (
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
	"weak"
)

// A pipeHalf is one direction of a pipe: a bounded stream of bytes with one
// end that writes and one that reads.
//
// There is one condition for everybody, because a reader waits only while the
// stream is empty and a writer only while it is full: both at once would be a
// bug. The condition is signalled after mu was released, so that the woken
// goroutine does not run into a lock that is still held.
type pipeHalf struct {
	mu   sync.Mutex // protects the fields below; never held while waiting
	cond sync.Cond

	limit int
	ring  *pipeRing              // nil while the stream is empty
	spare weak.Pointer[pipeRing] // the last ring, if nobody needed its memory

	queue  []uint64 // tickets of the Writes that wait, in the order of their turn
	ticket uint64   // the last one given out
	want   int      // room for which the first in the queue is worth waking

	readBy, writeBy pipeDeadline

	finished bool // the writer sends no more
	deaf     bool // the reader takes no more
	writerUp bool // the writing end was not closed
	readerUp bool // the reading end was not closed
	reset    bool // one of the ends was closed by a reset
}

func (h *pipeHalf) init(limit int) {
	h.cond.L = &h.mu
	h.limit = limit
	h.writerUp, h.readerUp = true, true
}

// read serves the reading end. An error other than io.EOF is bare.
func (h *pipeHalf) read(p []byte) (int, error) {
	h.mu.Lock()
	for {
		err := h.readErr(len(p) == 0)
		if err != nil || len(p) == 0 {
			h.mu.Unlock()
			return 0, err
		}
		if h.ring != nil {
			n := h.take(p)
			wake := len(h.queue) > 0 && h.limit-h.used() >= h.want
			h.mu.Unlock()
			if wake {
				h.cond.Broadcast()
			}
			return n, nil
		}
		h.wait(&h.readBy)
	}
}

// readErr returns why a Read cannot wait, if so. As with a socket, a Read of
// no bytes fails only on an end that is closed.
func (h *pipeHalf) readErr(empty bool) error {
	switch {
	case !h.readerUp:
		return net.ErrClosed
	case empty:
		return nil
	case h.readBy.passed():
		return os.ErrDeadlineExceeded
	case h.deaf:
		return io.EOF
	case h.ring != nil:
		return nil
	case h.reset:
		return os.NewSyscallError("read", syscall.ECONNRESET)
	case h.finished:
		return io.EOF
	}
	return nil
}

// write serves the writing end: all of p, or an error and how much went out.
func (h *pipeHalf) write(p []byte) (n int, err error) {
	h.mu.Lock()
	if err := h.writeErr(); err != nil || len(p) == 0 {
		h.mu.Unlock()
		return 0, err
	}
	if len(h.queue) == 0 {
		n = h.put(p)
	}
	if n < len(p) {
		n, err = h.queueUp(p, n)
	}
	h.mu.Unlock()
	h.cond.Broadcast()
	return n, err
}

// queueUp writes p from n on, in turn with other Writes that found no room.
// The queue keeps the bytes of a Write together, and is not a mutex because
// whoever waits in it must see deadlines, Close and a synctest clock.
func (h *pipeHalf) queueUp(p []byte, n int) (int, error) {
	h.ticket++
	me := h.ticket
	h.queue = append(h.queue, me)
	for unseen := n; ; unseen = 0 {
		if h.queue[0] == me {
			k := h.put(p[n:])
			n += k
			unseen += k
			// Waking a writer for each byte of room would cost two switches a
			// Read. A reader that waits has emptied the stream, so half of it
			// always comes free.
			h.want = max(1, min(len(p)-n, h.limit/2))
		}
		if n == len(p) {
			h.leave(me)
			return n, nil
		}
		if unseen > 0 { // else two in the queue would wake each other for ever
			h.cond.Broadcast()
		}
		h.wait(&h.writeBy)
		if err := h.writeErr(); err != nil {
			h.leave(me)
			return n, err
		}
	}
}

func (h *pipeHalf) leave(ticket uint64) {
	i := slices.Index(h.queue, ticket)
	h.queue = slices.Delete(h.queue, i, i+1)
	if len(h.queue) == 0 {
		h.queue = nil
	}
}

// writeErr returns why a Write cannot go on, if so.
func (h *pipeHalf) writeErr() error {
	switch {
	case !h.writerUp:
		return net.ErrClosed
	case h.writeBy.passed():
		return os.ErrDeadlineExceeded
	case h.reset:
		return os.NewSyscallError("write", syscall.ECONNRESET)
	case h.finished, h.deaf:
		return errBroken
	}
	return nil
}

// finish ends the stream behind what was written.
func (h *pipeHalf) finish() error {
	h.mu.Lock()
	defer h.cond.Broadcast()
	defer h.mu.Unlock()
	if !h.writerUp {
		return net.ErrClosed
	}
	h.finished = true
	return nil
}

// discard ends the stream for the reader, who loses what is in it.
func (h *pipeHalf) discard() error {
	h.mu.Lock()
	defer h.cond.Broadcast()
	defer h.mu.Unlock()
	if !h.readerUp {
		return net.ErrClosed
	}
	h.drop()
	return nil
}

func (h *pipeHalf) drop() {
	h.deaf = true
	h.ring, h.spare = nil, weak.Pointer[pipeRing]{}
}

// closeWriter ends the writing end. The reader keeps what is in the stream.
func (h *pipeHalf) closeWriter(reset bool) {
	h.mu.Lock()
	defer h.cond.Broadcast()
	defer h.mu.Unlock()
	if !h.writerUp {
		return
	}
	h.writerUp, h.finished = false, true
	h.reset = h.reset || reset
	h.writeBy.stop()
}

// closeReader ends the reading end. Nobody will read what is in the stream.
func (h *pipeHalf) closeReader(reset bool) {
	h.mu.Lock()
	defer h.cond.Broadcast()
	defer h.mu.Unlock()
	if !h.readerUp {
		return
	}
	h.readerUp = false
	h.reset = h.reset || reset
	h.drop()
	h.readBy.stop()
}

func (h *pipeHalf) closed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.readerUp
}

// setReadDeadline reports whether the reading end is open.
func (h *pipeHalf) setReadDeadline(t time.Time) bool {
	h.mu.Lock()
	defer h.cond.Broadcast()
	defer h.mu.Unlock()
	h.readBy.set(t)
	return h.readerUp
}

// setWriteDeadline reports whether the writing end is open.
func (h *pipeHalf) setWriteDeadline(t time.Time) bool {
	h.mu.Lock()
	defer h.cond.Broadcast()
	defer h.mu.Unlock()
	h.writeBy.set(t)
	return h.writerUp
}

// wait gives up mu until something changed, d passed, or for no reason.
func (h *pipeHalf) wait(d *pipeDeadline) {
	d.arm(h)
	h.cond.Wait()
}
