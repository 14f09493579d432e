package transport

import (
	"context"
	"net"
)

// A Multiplexer is a [Transport] on whose byte streams a peer holds several
// conversations, one after the other or at once, as HTTP has them. A [Listener]
// takes what its Host makes instead of what Server returns.
type Multiplexer interface {
	Transport
	// Host returns what serves the byte streams of one listener, whose options are
	// o. It calls ready for each conversation as it begins. ready takes the Conn
	// over, and returns when somebody has accepted it; or it closes it, because the
	// listener is closed.
	Host(o *ListenOptions, ready func(Conn)) Host
}

// A Host serves the byte streams of one listener. Its methods are safe for
// concurrent use.
type Host interface {
	// Serve takes over a byte stream, and returns when the handshake is over: when
	// the peer has said what it wants, or did not do so before ctx ended or broke
	// the protocol. On an error it has closed nc. Reads and writes of nc time out
	// when ctx ends while Serve runs. A stream that is one conversation, as those of
	// other transports are, is returned as a Conn; otherwise that is nil, and ready
	// has been or will be called.
	Serve(ctx context.Context, nc net.Conn) (Conn, error)
	// Close ends the byte streams that carry no conversation now, and those that
	// do when their conversations end. It returns when no goroutine is left but
	// those of conversations.
	Close() error
}
