package mem

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
)

// backlog is how many dialed connections a listener holds until they are
// accepted.
const backlog = 128

// A Network is a set of named listeners in memory, and the way to reach them.
// Its connections are those of [PipeSize].
//
// The zero value is a network on which nobody listens. A Network may be used
// by any number of goroutines and must not be copied after first use. It has
// no goroutine and needs no Close.
type Network struct {
	// Buffer is how many bytes a connection holds each way. Below 1 means
	// 64 KiB. It must not change once the network is in use.
	Buffer int

	mu        sync.Mutex // protects the fields below
	listeners map[string]*netListener
	last      uint64 // the last number given to a name
}

// Listen takes a name and accepts the connections dialed to it. Any text is a
// name; host:port is customary. An empty name, or one that ends in ":0", asks
// for a fresh one, as port 0 does: the listener's Addr says which.
//
// A name that is taken gives a [*net.OpError] that wraps
// [syscall.EADDRINUSE]; closing its listener frees it.
//
// Up to 128 connections wait to be accepted. Close of the listener ends
// Accept with an error that wraps [net.ErrClosed], refuses the Dials that
// wait, resets the connections that nobody accepted, and leaves accepted ones
// alone. It may be called more than once and returns nil.
func (n *Network) Listen(name string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if host, ok := strings.CutSuffix(name, ":0"); ok || name == "" {
		name = n.fresh(host)
	}
	if _, taken := n.listeners[name]; taken {
		return nil, &net.OpError{
			Op: "listen", Net: pipeAddr("").Network(), Addr: pipeAddr(name),
			Err: os.NewSyscallError("bind", syscall.EADDRINUSE),
		}
	}
	l := &netListener{
		network: n,
		addr:    pipeAddr(name),
		waiting: make(chan *pipeConn, backlog),
		done:    make(chan struct{}),
	}
	if n.listeners == nil {
		n.listeners = make(map[string]*netListener)
	}
	n.listeners[name] = l
	return l, nil
}

// fresh returns a name of the host that is free.
func (n *Network) fresh(host string) string {
	if host == "" {
		host = "mem"
	}
	for {
		n.last++
		name := fmt.Sprintf("%s:%d", host, n.last)
		if _, taken := n.listeners[name]; !taken {
			return name
		}
	}
}

// Dial connects to the listener of that name. It returns before the
// connection was accepted, as a TCP connect does; while 128 others wait it
// waits too, until ctx ends. ctx has no influence on the connection returned.
//
// A failed Dial returns a [*net.OpError]. It wraps [syscall.ECONNREFUSED] if
// nobody listens or the listener is closed meanwhile, and ctx's error if that
// came first.
func (n *Network) Dial(ctx context.Context, name string) (net.Conn, error) {
	conn, err := n.dial(ctx, name)
	if err != nil {
		return nil, &net.OpError{
			Op: "dial", Net: pipeAddr("").Network(), Addr: pipeAddr(name), Err: err,
		}
	}
	return conn, nil
}

func (n *Network) dial(ctx context.Context, name string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	n.mu.Lock()
	l := n.listeners[name]
	n.last++
	caller := pipeAddr(fmt.Sprintf("dialer:%d", n.last))
	n.mu.Unlock()
	if l == nil {
		return nil, errRefused()
	}
	near, far := newPipe(n.Buffer, caller, l.addr)
	select {
	case l.waiting <- far:
		// Close may have emptied the backlog just before this one joined it.
		// Then it is ours to clear: Close does not come back.
		if l.closed() {
			l.cut()
		}
		return near, nil
	case <-l.done:
		return nil, errRefused()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func errRefused() error { return os.NewSyscallError("connect", syscall.ECONNREFUSED) }

// A netListener is a name that was taken.
type netListener struct {
	network *Network
	addr    pipeAddr
	waiting chan *pipeConn // the backlog; never closed
	once    sync.Once
	done    chan struct{} // closed by Close
}

// Accept returns the connection that waited longest, or waits for one.
func (l *netListener) Accept() (net.Conn, error) {
	if l.closed() {
		return nil, l.errClosed()
	}
	select {
	case conn := <-l.waiting:
		return conn, nil
	case <-l.done:
		return nil, l.errClosed()
	}
}

// Close gives the name back; see [Network.Listen].
func (l *netListener) Close() error {
	l.once.Do(func() {
		l.network.mu.Lock()
		delete(l.network.listeners, string(l.addr))
		l.network.mu.Unlock()
		close(l.done)
		l.cut()
	})
	return nil
}

// Addr returns the name, on network "mem".
func (l *netListener) Addr() net.Addr { return l.addr }

// cut resets what waits to be accepted.
func (l *netListener) cut() {
	for {
		select {
		case conn := <-l.waiting:
			conn.abort.Store(true)
			_ = conn.Close()
		default:
			return
		}
	}
}

func (l *netListener) closed() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

func (l *netListener) errClosed() error {
	return &net.OpError{Op: "accept", Net: l.addr.Network(), Addr: l.addr, Err: net.ErrClosed}
}
