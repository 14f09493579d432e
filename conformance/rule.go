package conformance

import (
	"slices"
	"strings"
)

// A Rule is one sentence of the contract with the test of it.
type Rule struct {
	// Name is stable: it is the name of the subtest.
	Name string
	// Text is the sentence, in the words of package transport where it has one.
	Text string

	needs needs
	// direct says why the rule holds only where the ends are connected to one
	// another; it completes "through a broker …". Empty means that it holds there,
	// too.
	direct string
	check  func(*rig)
}

// needs is what a rule cannot do without.
type needs uint8

const (
	// needsStream: byte streams that the rule makes itself.
	needsStream needs = 1 << iota
	// needsBubble: virtual time. It includes needsStream.
	needsBubble
	// needsServer: bytes to a fresh server.
	needsServer
	// needsBroker: a broker between the ends.
	needsBroker
	// needsAnswers: a server of JSON-RPC at the other end.
	needsAnswers
	// needsHub: a server's end that honours ListenOptions.Broker.
	needsHub
)

// Rules returns all rules about a wire in the order in which they run. Those
// about a server of JSON-RPC are [ServerRules].
func Rules() []Rule {
	return slices.Concat(
		messageRules, orderRules, sendRules, limitRules, recvRules, closeRules, lossRules,
		beatRules, slowRules, routeRules, subscribeRules, publishRules, settleRules, creditRules,
		confirmRules, flushRules, gatherRules, lockstepRules, feedRules, infoRules, accessRules,
		redialRules, hostileRules, damageRules, brokerRules, hubRules, hubDeliverRules,
	)
}

// Lookup finds a rule by its name, in any case of letters, among [Rules] and
// [ServerRules].
func Lookup(name string) (Rule, bool) {
	all := slices.Concat(Rules(), ServerRules())
	i := slices.IndexFunc(all, func(r Rule) bool { return strings.EqualFold(r.Name, name) })
	if i < 0 {
		return Rule{}, false
	}
	return all[i], true
}

// Check tests one rule. It fails or skips t, always with a reason, or returns.
func (r Rule) Check(t TB, h *Harness) {
	t.Helper()
	if h.Broker != nil {
		h = h.Broker.harness(h)
	}
	if why := r.missing(t, h); why != "" {
		t.Skip(why)
	}
	if !r.virtual(t, h) {
		newRig(t, h, false).run(r)
		return
	}
	inside := *h
	inside.Stream = nil // what belongs to the outer world would stop the clock
	var skipped string
	bubble(t, func(t TB) {
		rig := newRig(t, &inside, true)
		defer func() { skipped = rig.skipped }()
		rig.run(r)
	})
	if skipped != "" {
		t.Skip(skipped)
	}
}

// virtual reports whether the rule is to be tested in virtual time. Where it
// makes its own byte streams, those of the harness do not matter.
func (r Rule) virtual(t TB, h *Harness) bool {
	own := needsBubble
	if h.RawDial == nil {
		own |= needsServer
	}
	return canBubble(t) && h.Server == nil && (h.inMemory() || h.Transport != nil && r.needs&own != 0)
}

// missing returns why the rule cannot be tested, or "".
func (r Rule) missing(t TB, h *Harness) string {
	switch {
	case h.Server == nil && r.needs&needsAnswers != 0:
		return "the rule is about a server of JSON-RPC, and the harness has none"
	case h.Server != nil:
		return r.missingAt(h)
	case h.Broker == nil && r.needs&needsBroker != 0:
		return "the rule is about a broker, and the harness has none"
	case r.needs&needsHub != 0 && (h.Hub == nil || h.Broker != nil):
		return "the rule is about a broker behind a server, and the harness does not say that the server knows of one (Hub)"
	case h.Broker != nil && r.direct != "":
		return "through a broker " + r.direct
	case h.Transport == nil && h.Pair == nil:
		return "the harness has neither Transport nor Pair"
	case h.Transport == nil && r.needs&(needsStream|needsBubble) != 0:
		return "the rule makes its own byte streams, and the harness has no Transport to put on them"
	case h.Transport == nil && h.RawDial == nil && r.needs&needsServer != 0:
		return "the rule sends bytes to a fresh server, and the harness has no RawDial"
	case r.needs&needsBubble != 0 && !canBubble(t):
		return "the rule needs virtual time, which only go test has"
	}
	return ""
}

// missingAt is missing for a server that somebody else runs.
func (r Rule) missingAt(h *Harness) string {
	switch {
	case r.needs&needsAnswers == 0:
		return "the rule needs both ends of a connection, and the harness has a server that somebody else runs"
	case h.RawDial == nil && r.needs&needsServer != 0:
		return "the rule sends bytes to a fresh server, and the harness has no RawDial"
	}
	return ""
}
