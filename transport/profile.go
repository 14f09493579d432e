package transport

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// A Profile names an older system whose programs a connection gets along with as
// they are: where they differ from the specifications of their wire and of
// JSON-RPC, this end does as they do. Empty means the specifications.
type Profile string

const (
	// OVirt is oVirt's host agent (vdsm) and its clients: the engine, which is
	// written in Java, and those in Python. They speak STOMP.
	OVirt Profile = "ovirt"
	// OpenDaylight is the JSON-RPC bus of OpenDaylight, and the Python programs
	// that were written for it. They speak ZMQ, HTTP and WebSocket.
	OpenDaylight Profile = "odl"
)

// WholeRecords reports whether peers of p need what is written together in one TLS
// record, as far as one has room (16 KiB): those of [OVirt] read a record at a time,
// and the head of a frame and the first byte of its body at once. Whoever makes TLS
// connections for p sets DynamicRecordSizingDisabled then.
func (p Profile) WholeRecords() bool { return p == OVirt }

// profileParameter names a profile in a URL: "stomp://host?profile=ovirt".
const profileParameter = "profile"

// profile returns the one that a URL names or else p, if the wire s has it.
func (s Scheme) profile(u *url.URL, p Profile) (Profile, error) {
	if q := u.Query(); q.Has(profileParameter) {
		p = Profile(q.Get(profileParameter))
	}
	if p == "" || slices.Contains(s.Profiles, p) {
		return p, nil
	}
	known := "none"
	if len(s.Profiles) > 0 {
		known = fmt.Sprintf("%q", s.Profiles)
	}
	return "", WithReason(ErrInvalid, fmt.Sprintf("no profile %.60q for %s; it has %s", string(p), s.Name, strings.Trim(known, "[]")))
}
