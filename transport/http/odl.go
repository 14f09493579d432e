package http

import (
	"context"

	"github.com/polyport/polyport/transport"
)

// The profile OpenDaylight. By HTTP its bus differs in little: its client says no
// Host, and neither end takes more than odlBody. By WebSocket a frame is a message;
// neither end asks for signs of life, says a sub-protocol, or takes longer frames
// than odlFrame. One end asks and the other answers in order, so both are in
// lock-step here; and its publishers send what they publish to whoever has connected.

const (
	// odlBody is the most bytes of a body by HTTP: more is answered by 413, or ends
	// the connection.
	odlBody = 256 << 10
	// odlFrame is the most bytes of a frame by WebSocket: more ends the connection.
	odlFrame = 64 << 10
)

// profile returns the profile of a host's connections.
func (h *host) profile() transport.Profile {
	if h.o.Profile == transport.OpenDaylight {
		return transport.OpenDaylight
	}
	return "" // of another wire at the port
}

// fits returns why a body of n bytes cannot be sent.
func fits(n int, info *transport.Info) error {
	limit, whose := info.Limits.Message, ""
	if info.Profile == transport.OpenDaylight {
		theirs := odlBody
		if info.Scheme == schemeSocket {
			theirs = odlFrame
		}
		if theirs < limit {
			limit, whose = theirs, " of OpenDaylight"
		}
	}
	if n > limit {
		return tooLarge("the body has %d bytes, the limit%s is %d", n, whose, limit)
	}
	return nil
}

// odlSocket returns why a URL's socket cannot be had.
func odlSocket(name string, p transport.Profile) error {
	if p == transport.OpenDaylight && name != "" && name != "req" && name != "sub" {
		return invalid("socket=%.60q: OpenDaylight speaks with socket=req (the default) and sub, and with no other", name)
	}
	return nil
}

// odl reports whether s gets along with OpenDaylight.
func (s *socket) odl() bool { return s.info.Profile == transport.OpenDaylight }

// likeODL is agree with it.
func (s *socket) likeODL() {
	s.info.Lockstep, s.info.Headers = true, false
	s.stream.Apart()
}

// A socketFeed is the end that dialed a publisher of OpenDaylight. What comes is
// what is published, and which topic it is says the notification.
type socketFeed struct {
	*socket
	choices
}

func newSocketFeed(s *socket) *socketFeed {
	s.info.Lockstep, s.info.Feed = false, true
	return &socketFeed{socket: s}
}

// Recv returns the next event.
func (f *socketFeed) Recv(ctx context.Context) (*transport.Message, error) {
	return f.stream.Receive(ctx, func() (*transport.Message, error) {
		for {
			m, err := f.nextMessage()
			if err != nil {
				return nil, err
			}
			if m.To = ""; f.wantsAny(m) {
				return m, nil
			}
		}
	})
}

// Send fails: a subscriber says nothing.
func (f *socketFeed) Send(context.Context, *transport.Message) error {
	if err := f.stream.Over("send"); err != nil {
		return err
	}
	return f.notSent(transport.WithReason(transport.ErrUnsupported,
		"this connection only carries events (?socket=sub); dial without it to send"))
}

// Subscribe chooses all events: nobody but their receiver knows their topics.
func (f *socketFeed) Subscribe(_ context.Context, s transport.Subscription) (id string, err error) {
	if err := f.stream.Over("subscribe"); err != nil {
		return "", err
	}
	if id, err = f.choose(s, f.info.Limits); err != nil {
		return "", f.notSent(err)
	}
	return id, nil
}

// Unsubscribe undoes Subscribe.
func (f *socketFeed) Unsubscribe(_ context.Context, id string) error {
	if err := f.drop(id); err != nil {
		return f.notSent(err)
	}
	return nil
}
