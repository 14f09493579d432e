package stomp

import (
	"strings"

	"github.com/polyport/polyport/transport"
)

// Transport speaks STOMP. The zero value is ready for use.
type Transport struct{}

func init() {
	profiles := []transport.Profile{transport.OVirt}
	transport.Register(transport.Scheme{Name: "stomp", Port: "61613", Transport: Transport{}, Profiles: profiles})
	transport.Register(transport.Scheme{Name: "stomps", Port: "61614", TLS: true, Transport: Transport{}, Profiles: profiles})
}

const (
	scheme = "stomp"
	// software is the name in the header server ("CONNECTED Frame").
	software = "polyport"
	// tempPrefix begins the destinations that need no SUBSCRIBE.
	tempPrefix = "/temp-queue/"
	// queuePrefix is what most clients put before a queue's name.
	queuePrefix = "/queue/"
)

// destination spells a queue's name as SEND has it.
func destination(name string) string {
	if strings.HasPrefix(name, "/") {
		return name
	}
	return queuePrefix + name
}
