package mem

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// pipeDefault is how many bytes a pipe holds each way unless told otherwise:
// what a small socket buffer holds.
const pipeDefault = 64 << 10

// Pipe returns the two ends of an in-memory connection that behaves like a TCP
// connection on one machine. It is PipeSize(0).
func Pipe() (a, b net.Conn) {
	return PipeSize(0)
}

// PipeSize returns the two ends of an in-memory connection that holds up to n
// bytes in each direction; n below 1 means 64 KiB. What is written to one end
// is read from the other, in order, and the directions are independent.
//
// Unlike [net.Pipe] a Write returns as soon as its bytes are in the buffer and
// waits only while the buffer is full. Concurrent Writes are never mixed and
// go in the order in which they started to wait. Concurrent Reads are allowed
// and share the bytes in no particular order. A Read or Write of no bytes
// never waits.
//
// Close may be called from anywhere, any number of times, and returns nil. It
// ends the Reads and Writes of its own end with an error that wraps
// [net.ErrClosed] and drops what that end had not read. The peer still reads
// everything that was written before, then [io.EOF]; its Writes fail with an
// error that matches both [io.ErrClosedPipe] and [syscall.EPIPE].
//
// Both ends also have three methods of [net.TCPConn]:
//
//   - CloseWrite() error closes one direction: the peer reads the rest, then
//     io.EOF, and its Writes still arrive. Further Writes of this end fail as
//     if the peer had closed. It may be repeated; after Close it fails with
//     net.ErrClosed.
//   - CloseRead() error closes the other direction: this end reads io.EOF, and
//     what it had not read is dropped. The peer's Writes fail as after Close.
//   - SetLinger(sec int) error with sec 0 turns a later Close into a reset: the
//     peer reads what was written before, then [syscall.ECONNRESET] in place of
//     io.EOF, and its Writes fail with the same. Other values of sec undo that.
//
// Deadlines may be moved while an operation waits. A timeout is a [net.Error]
// that wraps [os.ErrDeadlineExceeded]; a Write that timed out says how many
// bytes went out. Every error but io.EOF is a [*net.OpError] of network "mem".
//
// A pipe has no goroutine, and needs no Close to be collected. All its waiting
// is durable in the sense of [testing/synctest]. Buffers are taken when first
// needed and given up when drained, so an idle pair costs about half a KiB.
func PipeSize(n int) (a, b net.Conn) {
	ca, cb := newPipe(n, "pipe:a", "pipe:b")
	return ca, cb
}

// newPipe returns a pair whose ends are called a and b. Everything the pair
// needs while idle is one allocation.
func newPipe(n int, a, b pipeAddr) (*pipeConn, *pipeConn) {
	if n < 1 {
		n = pipeDefault
	}
	pair := new(struct {
		ab, ba pipeHalf
		a, b   pipeConn
	})
	pair.ab.init(n)
	pair.ba.init(n)
	pair.a.in, pair.a.out, pair.a.peer, pair.a.addr = &pair.ba, &pair.ab, &pair.b, a
	pair.b.in, pair.b.out, pair.b.peer, pair.b.addr = &pair.ab, &pair.ba, &pair.a, b
	return &pair.a, &pair.b
}

// A pipeConn is one end of a pipe.
type pipeConn struct {
	in, out *pipeHalf
	peer    *pipeConn
	addr    pipeAddr
	abort   atomic.Bool // Close resets
}

// Read takes what is there, at most len(p) bytes, and waits while there is
// nothing.
func (c *pipeConn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = c.opError("read", err)
	}
	return n, err
}

// Write puts all of p into the pipe, waiting for room as needed. p is copied.
func (c *pipeConn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	if err != nil {
		err = c.opError("write", err)
	}
	return n, err
}

// Close ends this end; see [PipeSize].
func (c *pipeConn) Close() error {
	reset := c.abort.Load()
	c.out.closeWriter(reset)
	c.in.closeReader(reset)
	return nil
}

// CloseWrite ends the stream towards the peer; see [PipeSize].
func (c *pipeConn) CloseWrite() error {
	if err := c.out.finish(); err != nil {
		return c.opError("close", err)
	}
	return nil
}

// CloseRead ends the stream from the peer; see [PipeSize].
func (c *pipeConn) CloseRead() error {
	if err := c.in.discard(); err != nil {
		return c.opError("close", err)
	}
	return nil
}

// SetLinger chooses what Close does; see [PipeSize].
func (c *pipeConn) SetLinger(sec int) error {
	if c.in.closed() {
		return c.opError("set", net.ErrClosed)
	}
	c.abort.Store(sec == 0)
	return nil
}

// LocalAddr returns the name of this end.
func (c *pipeConn) LocalAddr() net.Addr { return c.addr }

// RemoteAddr returns the name of the other end.
func (c *pipeConn) RemoteAddr() net.Addr { return c.peer.addr }

// SetDeadline sets both deadlines. The zero time means none.
func (c *pipeConn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline bounds Reads, those that wait now included.
func (c *pipeConn) SetReadDeadline(t time.Time) error {
	if !c.in.setReadDeadline(t) {
		return c.opError("set", net.ErrClosed)
	}
	return nil
}

// SetWriteDeadline bounds Writes, those that wait now included.
func (c *pipeConn) SetWriteDeadline(t time.Time) error {
	if !c.out.setWriteDeadline(t) {
		return c.opError("set", net.ErrClosed)
	}
	return nil
}

func (c *pipeConn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: c.addr.Network(), Source: c.addr, Addr: c.peer.addr, Err: err}
}

// pipeAddr is the address of one end, or of a listener.
type pipeAddr string

func (pipeAddr) Network() string  { return "mem" }
func (a pipeAddr) String() string { return string(a) }

// errBroken is why a Write fails when nobody can read its bytes any more. It
// answers to the names that net.Pipe and a TCP connection use for this.
var errBroken error = brokenError{}

type brokenError struct{}

func (brokenError) Error() string { return "broken pipe" }

func (brokenError) Is(target error) bool {
	return target == io.ErrClosedPipe || target == syscall.EPIPE
}
