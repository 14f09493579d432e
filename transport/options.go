package transport

import (
	"crypto/tls"
	"log/slog"
	"time"
)

// Limits bound what a peer can make this end take in. They are checked before
// memory is taken. Zero fields mean the defaults.
type Limits struct {
	// Message is the most bytes in a message's body. Zero means 4 MiB.
	Message int
	// HeaderBytes is the most bytes of all header fields of a frame. Zero means
	// 64 KiB.
	HeaderBytes int
	// Headers is the most header fields of a frame. Zero means 128.
	Headers int
	// Subscriptions is the most a peer may have on a connection. Zero means
	// 1024.
	Subscriptions int
	// Unsettled is the most messages that may wait for the peer's settlement on
	// a connection. Zero means 1024.
	Unsettled int
}

// WithDefaults returns l with its zero fields set.
func (l Limits) WithDefaults() Limits {
	return Limits{
		Message:       or(l.Message, 4<<20),
		HeaderBytes:   or(l.HeaderBytes, 64<<10),
		Headers:       or(l.Headers, 128),
		Subscriptions: or(l.Subscriptions, 1024),
		Unsettled:     or(l.Unsettled, 1024),
	}
}

// Options adjust a connection of either side.
type Options struct {
	// Limits bound what the peer may send.
	Limits Limits
	// Heartbeat is how often this end offers, and asks for, signs of life. Zero
	// means 10 s, negative none. Less than 1 s is taken as 1 s.
	Heartbeat time.Duration
	// WriteStall is how long one write may make no progress before the
	// connection is given up with [ErrStalled]. Zero means 30 s.
	WriteStall time.Duration
	// FrameTimeout is how long a frame may take from its first byte to its
	// last. Zero means 1 min.
	FrameTimeout time.Duration
	// SendBuffer is how many bytes of messages may wait to be written. A larger
	// message is taken when nothing else waits. Zero means 1 MiB.
	SendBuffer int
	// Linger bounds Close. Zero means 1 s.
	Linger time.Duration
	// TLS adjusts a "…s" scheme. Nil means TLS 1.3 with the system's roots when
	// dialing; listening needs a certificate. Without a MinVersion 1.3 is
	// meant.
	TLS *tls.Config
	// PlaintextPasswords allows credentials without TLS from one machine to
	// another: to be sent when dialing, to be taken when listening. Within a
	// machine, over the loopback interface or in memory, they always are.
	PlaintextPasswords bool
	// Profile names an older system whose programs to get along with. A URL's
	// parameter profile, of Dial and of Listen, counts instead. The wire has to know
	// it; where several share a port, those that do not do without.
	Profile Profile
	// Logger gets records of what has no other way out. Nil discards them.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	o.Limits = o.Limits.WithDefaults()
	switch {
	case o.Heartbeat < 0:
		o.Heartbeat = -1
	case o.Heartbeat == 0:
		o.Heartbeat = 10 * time.Second
	default:
		o.Heartbeat = max(o.Heartbeat, MinHeartbeat)
	}
	o.WriteStall = or(o.WriteStall, 30*time.Second)
	o.FrameTimeout = or(o.FrameTimeout, time.Minute)
	o.SendBuffer = or(o.SendBuffer, 1<<20)
	o.Linger = or(o.Linger, time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// DialOptions adjust [Dial] and [Redial]. A nil pointer means the defaults.
type DialOptions struct {
	Options
	// Timeout bounds the dialing, TLS and handshake of one attempt. Zero means
	// 10 s.
	Timeout time.Duration
	// VirtualHost is the virtual host asked for. Empty means the URL's host
	// name.
	VirtualHost string
}

// WithDefaults returns a copy of o, which may be nil, with its zero fields set.
func (o *DialOptions) WithDefaults() *DialOptions {
	var d DialOptions
	if o != nil {
		d = *o
	}
	d.Options = d.Options.withDefaults()
	d.Timeout = or(d.Timeout, 10*time.Second)
	return &d
}

// ListenOptions adjust [Listen]. A nil pointer means the defaults.
type ListenOptions struct {
	Options
	// Authenticator decides who may connect. Nil lets everybody in, and takes
	// no name for authenticated.
	Authenticator Authenticator
	// VirtualHosts are the ones served. None means any.
	VirtualHosts []string
	// Destinations are the names of the queues served, such as "rpc"; each wire
	// spells them in its own way. None means [DefaultDestination].
	Destinations []string
	// Broker takes what peers send to other destinations, and gives them what they
	// ask for there. Nil refuses it, but for addresses of replies.
	Broker Broker
	// HandshakeTimeout bounds the time from accept to the end of the protocol's
	// handshake. Zero means 10 s.
	HandshakeTimeout time.Duration
	// Handshakes is how many connections may be in that phase at once; further
	// ones wait in the system's backlog. Zero means 1024.
	Handshakes int
	// Connections is how many may be open at once; further ones are closed when
	// accepted. Zero means 10,000.
	Connections int
}

// DefaultDestination is the destination that a URL without a path means.
const DefaultDestination = "rpc"

// WithDefaults returns a copy of o, which may be nil, with its zero fields set.
func (o *ListenOptions) WithDefaults() *ListenOptions {
	var l ListenOptions
	if o != nil {
		l = *o
	}
	l.Options = l.Options.withDefaults()
	if len(l.Destinations) == 0 {
		l.Destinations = []string{DefaultDestination}
	}
	l.HandshakeTimeout = or(l.HandshakeTimeout, 10*time.Second)
	l.Handshakes = or(l.Handshakes, 1024)
	l.Connections = or(l.Connections, 10_000)
	return &l
}

// or returns v if it is positive, else def.
func or[T ~int | ~int64](v, def T) T {
	if v > 0 {
		return v
	}
	return def
}
