package broker

import (
	"slices"

	"github.com/polyport/polyport/transport"
)

// A Rule allows or denies something to some peers.
type Rule struct {
	// User is the name that the peer has logged in by; "*" is everybody who has
	// logged in, "" everybody at all.
	User string `json:"user,omitempty"`
	// Certificate, if not empty, is the subject's common name, or one of the
	// alternative names (DNS, e-mail, URI, IP), of the client certificate, which was
	// verified.
	Certificate string `json:"certificate,omitempty"`
	// Deny turns the rule round: it denies what it lists.
	Deny bool `json:"deny,omitempty"`
	// Send, Consume and Subscribe are patterns of destinations: "/queue/calc",
	// "/queue/orders.*", "/topic/news.#", "#" for everything. Names are words with
	// dots between them; * is one word, # any number.
	Send []string `json:"send,omitempty"`
	// Consume is for taking messages from queues.
	Consume []string `json:"consume,omitempty"`
	// Subscribe is for listening to topics. A subscription with wild words is
	// allowed if the pattern takes in all of it, and denied if it takes in any.
	Subscribe []string `json:"subscribe,omitempty"`
}

// Rules is an [Access] by a list. The first rule that is about the peer, the action
// and the destination decides; what no rule is about is denied.
type Rules []Rule

// Check says what is wrong with the patterns, nil if nothing. The error wraps
// [transport.ErrInvalid].
func (r Rules) Check() error {
	for i := range r {
		for _, p := range slices.Concat(r[i].Send, r[i].Consume, r[i].Subscribe) {
			if p == "#" {
				continue
			}
			d, err := ParseDestination(p)
			if err == nil && d.Kind != Queue && d.Kind != Topic {
				err = because(transport.ErrInvalid, "the pattern %.100q is neither # nor begins with /queue/ or /topic/", p)
			}
			if err == nil {
				if why := badWords(d.Name); why != "" {
					err = because(transport.ErrInvalid, "the pattern %.100q %s", p, why)
				}
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// May implements [Access].
func (r Rules) May(peer *transport.Info, a Action, d Destination) error {
	for i := range r {
		rule := &r[i]
		if !rule.isAbout(peer) || !rule.names(a, d) {
			continue
		}
		if rule.Deny {
			return refused(peer, a, d, "a rule denies it")
		}
		return nil
	}
	return refused(peer, a, d, "no rule allows it; ask who keeps the broker's rules for one")
}

// isAbout reports whether the rule is for a peer.
func (r *Rule) isAbout(peer *transport.Info) bool {
	switch {
	case r.User == "*" && peer.User == "", r.User != "" && r.User != "*" && r.User != peer.User:
		return false
	case r.Certificate != "":
		return hasName(peer, r.Certificate)
	}
	return true
}

// hasName reports whether a peer has a verified certificate with a name.
func hasName(peer *transport.Info, name string) bool {
	if peer.TLS == nil || len(peer.TLS.VerifiedChains) == 0 || len(peer.TLS.PeerCertificates) == 0 {
		return false
	}
	c := peer.TLS.PeerCertificates[0]
	if c.Subject.CommonName == name || slices.Contains(c.DNSNames, name) || slices.Contains(c.EmailAddresses, name) {
		return true
	}
	for _, u := range c.URIs {
		if u.String() == name {
			return true
		}
	}
	for _, ip := range c.IPAddresses {
		if ip.String() == name {
			return true
		}
	}
	return false
}

// names reports whether one of the rule's patterns is about a destination.
func (r *Rule) names(a Action, d Destination) bool {
	patterns := r.Send
	switch a {
	case Consume:
		patterns = r.Consume
	case Subscribe:
		patterns = r.Subscribe
	}
	for _, text := range patterns {
		if text == "#" {
			return true
		}
		p, err := ParseDestination(text)
		if err != nil || p.Kind != d.Kind {
			continue
		}
		if matches(p.Name, d.Name) || r.Deny && a == Subscribe && overlap(p.Name, d.Name) {
			return true
		}
	}
	return false
}
