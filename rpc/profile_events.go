package rpc

import (
	"net"
	"net/url"
	"strings"

	"github.com/polyport/polyport/rpc/internal/envelope"
	"github.com/polyport/polyport/transport"
)

// hearEvents has the session of a client hear events by the means of the peer's
// programs, besides calling: at a destination of theirs, or whatever notification
// comes.
func (s *session) hearEvents(conn transport.Conn) {
	h := s.own
	if s.feed != nil || s.lockstep != nil || h.events == "" && !h.unnamedTopics {
		return
	}
	f := &feed{s: s, at: h.events, shares: make(map[string]*share)}
	if wire, ok := transport.As[transport.Subscriber](conn); ok && f.at != "" {
		f.wire = wire
	} else if f.at != "" {
		return
	}
	f.remade, _ = transport.As[transport.ReplyAddresser](conn)
	s.heard = f
}

// brings reports whether a message is one of events of four parts.
func (f *feed) brings(m *transport.Message) bool { return f != nil && f.at != "" && m.To == f.at }

// hearParts offers events to all who may have subscribed to them.
func (f *feed) hearParts(msgs []envelope.Message, bad bool) {
	if bad {
		f.notHeard("")
		return
	}
	var names []string
	for i := range msgs {
		event, ok := parts(string(msgs[i].Method))
		if !ok || msgs[i].Kind != envelope.Notification {
			f.notHeard(string(msgs[i].Method))
			continue
		}
		if names == nil {
			names = f.s.hostNames()
		}
		e := Event{Topic: string(msgs[i].Method), Params: msgs[i].Params, codec: f.s.codec, metadata: msgs[i].Metadata}
		f.s.subscriptions.hear(e, func(filter []string) bool { return matchesParts(filter, event, names) })
	}
	clear(msgs)
}

// takes hands a notification to the subscriptions where they stand for whatever
// comes.
func (f *feed) takes(m *transport.Message, msg *envelope.Message) bool {
	if f == nil || f.at != "" || msg.Kind != envelope.Notification || !f.s.subscriptions.used.Load() {
		return false
	}
	f.hearTopic(string(msg.Method), msg)
	f.s.settle(m, transport.Accepted)
	return true
}

// hostNames are what the peer's host goes by: as it was dialed, and its address.
func (s *session) hostNames() []string {
	names := make([]string, 0, 2)
	if s.host != "" {
		names = append(names, s.host)
	}
	if a := s.conn.Info().Remote; a != nil {
		host, _, err := net.SplitHostPort(a.String())
		if err != nil {
			host = a.String()
		}
		names = append(names, host)
	}
	return names
}

// hostOf is the host that a URL names, or "".
func hostOf(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// checkFilter says what is wrong with a filter on this connection.
func (s *session) checkFilter(filter string) error {
	if s.heard != nil && s.heard.at != "" && filter != "#" {
		return checkParts(filter)
	}
	return checkWords(filter)
}

// filterWords cuts a filter into what is compared.
func (s *session) filterWords(filter string) []string {
	if s.heard != nil && s.heard.at != "" {
		return strings.Split(filter, partSeparator)
	}
	return strings.Split(filter, ".")
}
