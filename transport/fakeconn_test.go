package transport_test

import (
	"bytes"
	"net"
	"os"
	"sync"
	"time"
)

// A fakeConn is a net.Conn that can do nothing but Write. It keeps what was
// written, by calls.
type fakeConn struct {
	net.Conn
	// take says how much of p goes out and what then; nil takes all at once.
	take func(c *fakeConn, p []byte) (int, error)

	mu       sync.Mutex // protects the fields below
	deadline time.Time
	calls    [][]byte
}

func (c *fakeConn) Write(p []byte) (n int, err error) {
	n = len(p)
	if c.take != nil {
		n, err = c.take(c, p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, bytes.Clone(p[:n]))
	return n, err
}

func (c *fakeConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return nil
}

// hold waits for release, but not beyond the deadline.
func (c *fakeConn) hold(release <-chan struct{}) error {
	c.mu.Lock()
	late := time.NewTimer(time.Until(c.deadline))
	c.mu.Unlock()
	defer late.Stop()
	select {
	case <-release:
		return nil
	case <-late.C:
		return os.ErrDeadlineExceeded
	}
}

// count returns how many calls of Write are over.
func (c *fakeConn) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.calls)
}

// written returns all bytes taken.
func (c *fakeConn) written() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(bytes.Join(c.calls, nil))
}

// gated returns a fakeConn that takes one Write for each value in the channel,
// and all of them once it is closed.
func gated() (*fakeConn, chan struct{}) {
	gate := make(chan struct{})
	return &fakeConn{take: func(c *fakeConn, p []byte) (int, error) {
		if err := c.hold(gate); err != nil {
			return 0, err
		}
		return len(p), nil
	}}, gate
}

// slow returns a fakeConn whose every Write takes d.
func slow(d time.Duration) *fakeConn {
	return &fakeConn{take: func(_ *fakeConn, p []byte) (int, error) {
		time.Sleep(d)
		return len(p), nil
	}}
}
