package http

import (
	"net"

	"github.com/polyport/polyport/transport"
)

// NewSocket returns an end of a WebSocket over nc whose handshake is over: the
// client's or the server's, of a peer of ours or another.
func NewSocket(nc net.Conn, client, ours bool, o *transport.Options) transport.Conn {
	all := (&transport.DialOptions{Options: *o}).WithDefaults()
	s := newSocket(nc, new(transport.Info), &all.Options)
	s.frames.masked, s.masks, s.to, s.bye = !client, client, transport.DefaultDestination, 1001
	protocol := plainProtocol
	if !client {
		s.served = []string{transport.DefaultDestination}
	}
	if ours {
		protocol = ownProtocol
	}
	s.agree(protocol, -1, &all.Options)
	return s
}

// NewListener returns the end that reads events from nc, after the head of the
// response.
func NewListener(nc net.Conn, chunked bool, o *transport.Options) transport.Conn {
	all := (&transport.DialOptions{Options: *o}).WithDefaults()
	l := &listener{info: transport.Info{Scheme: schemeHTTP, Limits: all.Limits, Remote: nc.RemoteAddr()}}
	l.stream = transport.NewStream(nc, schemeHTTP, &all.Options, 0)
	l.events = eventReader{stream: l.stream, limits: all.Limits, chunks: chunks{used: chunked}}
	return l
}
