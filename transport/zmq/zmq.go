package zmq

import (
	"fmt"
	"net/url"

	"github.com/go-zeromq/zmq4"

	"github.com/polyport/polyport/transport"
)

// Transport speaks ZMTP. The zero value is ready for use.
type Transport struct{}

func init() {
	s := transport.Scheme{
		Name: "zmq", Port: "5555", Transport: Transport{},
		Profiles: []transport.Profile{transport.OpenDaylight},
		Ports:    map[transport.Profile]string{transport.OpenDaylight: "10000"},
	}
	transport.Register(s)
	s.Name, s.Port, s.TLS = "zmqs", "5556", true
	transport.Register(s)
}

const (
	scheme = "zmq"
	// software is the name that an end gives itself towards another of ours.
	software = "polyport"
	// version is the one of ZMTP that is spoken.
	version = "3.0"
)

// A pattern is how the two sockets of a connection converse.
type pattern uint8

const (
	duplex   pattern = iota // DEALER and ROUTER: either end at any time
	lockstep                // REQ and REP: turn by turn
	feed                    // SUB and PUB: one end subscribes, the other publishes
)

// socketOf returns the socket that a URL asks for.
func socketOf(u *url.URL, p transport.Profile) (zmq4.SocketType, error) {
	s := u.Query().Get("socket")
	if p == transport.OpenDaylight {
		return odlSocket(s)
	}
	switch s {
	case "", "dealer":
		return zmq4.Dealer, nil
	case "req":
		return zmq4.Req, nil
	case "sub":
		return zmq4.Sub, nil
	default:
		return "", invalid("socket=%.60q: there is socket=dealer (the default), req and sub", s)
	}
}

// patternOf returns the pattern of a connection by the socket of the end that
// dialed.
func patternOf(dialer zmq4.SocketType) pattern {
	switch dialer {
	case zmq4.Req:
		return lockstep
	case zmq4.Sub, zmq4.XSub:
		return feed
	}
	return duplex
}

// malformed is the error for what breaks the rules of ZMTP.
func malformed(format string, args ...any) error {
	return transport.WithReason(transport.ErrProtocol, fmt.Sprintf(format, args...))
}

// tooLarge is the error for what is over a limit.
func tooLarge(format string, args ...any) error {
	return transport.WithReason(transport.ErrTooLarge, fmt.Sprintf(format, args...))
}

// invalid is the error for what cannot be said on this wire.
func invalid(format string, args ...any) error {
	return transport.WithReason(transport.ErrInvalid, fmt.Sprintf(format, args...))
}

// refused is the error for a peer that is not let in, or does not let us in.
func refused(format string, args ...any) error {
	return transport.WithReason(transport.ErrRefused, fmt.Sprintf(format, args...))
}
