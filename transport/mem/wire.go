package mem

import (
	"context"
	"net"
	"net/url"
	"strings"

	"github.com/polyport/polyport/transport"
)

// Transport speaks the wire of this package over any net.Conn; see the package
// comment. The zero value is ready for use.
type Transport struct {
	// Duplex has a server refuse clients that want to go in lock-step, or only to
	// listen.
	Duplex bool
}

// listeners are the names of mem URLs. They are global as the ports of TCP are:
// Dial and Listen have nothing in common but the URL. Tests that want a world
// of their own use a Network.
var listeners Network

func init() {
	transport.Register(transport.Scheme{
		Name: scheme, Transport: Transport{}, Network: urls{},
		Profiles: []transport.Profile{transport.OVirt, transport.OpenDaylight},
	})
}

const (
	scheme = "mem"
	// software is the name that this end gives itself.
	software = "polyport"
	// magic begins a hello: a peer that speaks something else is found out.
	magic = "polyport/mem"
	// version is the newest version of the frames, and the oldest.
	version = 1
	// maxName bounds the names of subscriptions, which go into each message.
	maxName = 255
)

// urls connects mem URLs.
type urls struct{}

func (urls) Dial(ctx context.Context, addr string) (net.Conn, error) {
	return listeners.Dial(ctx, addr)
}

func (urls) Listen(addr string) (net.Listener, error) { return listeners.Listen(addr) }

// destinationOf returns the destination that the path of a URL names.
func destinationOf(u *url.URL) string {
	if d := strings.Trim(u.Path, "/"); d != "" {
		return d
	}
	return transport.DefaultDestination
}
