package app

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/stomp"
)

// profiles are those that an address may have.
var profiles = []transport.Profile{transport.OVirt, transport.OpenDaylight}

// CheckProfile says what is wrong with a profile for the wire of a scheme, or for
// all wires if that is empty; nil if nothing. No profile is right everywhere.
func CheckProfile(p transport.Profile, scheme string) error {
	switch {
	case p == "":
		return nil
	case !slices.Contains(profiles, p):
		return fmt.Errorf("unknown profile %.60q; known are %s", string(p), listed(profiles))
	case scheme == "" || knows(scheme, p):
		return nil
	}
	return fmt.Errorf("the wire %s has no profile %s; %s has it", scheme, p, strings.Join(having(Wires(), p), ", "))
}

// checkParameters says what is wrong with the parameters of an address.
func checkParameters(u *url.URL) error {
	for name := range u.Query() {
		if name != "profile" {
			return fmt.Errorf("unknown parameter %.60q of an address to listen at; known is profile", name)
		}
	}
	return CheckProfile(transport.Profile(u.Query().Get("profile")), u.Scheme)
}

// knows reports whether the wire of a scheme has a profile.
func knows(scheme string, p transport.Profile) bool {
	s, ok := transport.Lookup(scheme)
	return ok && slices.Contains(s.Profiles, p)
}

// having returns those of some schemes whose wires have a profile.
func having(schemes []string, p transport.Profile) (some []string) {
	for _, s := range schemes {
		if knows(s, p) {
			some = append(some, s)
		}
	}
	return some
}

func listed(all []transport.Profile) string {
	names := make([]string, len(all))
	for i, p := range all {
		names[i] = string(p)
	}
	return strings.Join(names, ", ")
}

// profileOf returns the profile of an address: its own, or else that of all, if
// its wire has it.
func (c Config) profileOf(u *url.URL) transport.Profile {
	if q := u.Query(); q.Has("profile") {
		return transport.Profile(q.Get("profile"))
	}
	if u.Scheme != "" && !knows(u.Scheme, c.Profile) {
		return ""
	}
	return c.Profile
}

// has reports whether the profile p is asked for, of all addresses or of one.
func (c Config) has(p transport.Profile) bool {
	return c.Profile == p || slices.ContainsFunc(c.Listen, func(addr string) bool {
		u, err := listenURL(addr)
		return err == nil && c.profileOf(u) == p
	})
}

// destinationsOf returns the queues that are served at an address with a profile.
func (c Config) destinationsOf(p transport.Profile) []string {
	switch {
	case len(c.Destinations) > 0:
		return c.Destinations
	case p == transport.OVirt:
		return append([]string{transport.DefaultDestination}, stomp.OVirtDestinations...)
	}
	return nil
}

// options are those of an address.
func (s *Server) options(u *url.URL) *transport.ListenOptions {
	o := *s.p.Options
	o.Profile = s.p.Config.profileOf(u)
	o.Destinations = s.p.Config.destinationsOf(o.Profile)
	return &o
}
