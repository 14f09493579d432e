package rpc

import (
	"context"
	"strings"
	"sync"

	"github.com/polyport/polyport/rpc/internal/envelope"
	"github.com/polyport/polyport/transport"
)

// A feed is what a client hears where the connection carries nothing but what the
// server publishes. There the wire takes subscriptions, to prefixes of topics, and
// sends an event once, whatever matches. So equal prefixes are asked for once, and
// each event is offered to all subscriptions.
type feed struct {
	s    *session
	wire transport.Subscriber // nil if there is nobody to ask
	at   string               // the one destination of all events, if they have one
	// remade says by its method when there is a connection again; nil if none is
	// ever made anew.
	remade transport.ReplyAddresser

	mu      sync.Mutex // protects the fields below
	shares  map[string]*share
	losses  int
	telling bool   // a goroutine will tell of them
	unheard uint64 // messages that were no events
}

// A share is a subscription of the wire, for all that begin alike.
type share struct {
	prefix string
	made   chan struct{} // closed when the wire was asked; id and err are set then
	id     string
	err    error
	users  int // protected by feed.mu
}

// onlyHear makes the session of a client one that only hears, if the wire is so.
func (s *session) onlyHear(conn transport.Conn) {
	wire, ok := transport.As[transport.Subscriber](conn)
	if !ok || !s.owned || !conn.Info().Feed {
		return
	}
	s.feed = &feed{s: s, wire: wire, shares: make(map[string]*share)}
	s.feed.remade, _ = transport.As[transport.ReplyAddresser](conn)
	s.heard = s.feed
	s.conn = hearing{conn}
	s.back = s.conn
}

// A hearing is the connection of a client that only hears.
type hearing struct{ transport.Conn }

// Unwrap returns the connection.
func (h hearing) Unwrap() transport.Conn { return h.Conn }

// Send fails.
func (h hearing) Send(context.Context, *transport.Message) error {
	return &transport.OpError{
		Op: "send", Scheme: h.Info().Scheme,
		Err: transport.WithReason(transport.ErrUnsupported,
			"this connection only carries events; to call, dial without ?socket=sub or ?format=sse"),
	}
}

// subscribe asks for what s is to hear, and returns s.
func (f *feed) subscribe(ctx context.Context, s *Subscription) (*Subscription, error) {
	share, err := f.join(ctx, f.prefix(s.filter))
	if err != nil {
		s.end(false)
		return nil, f.s.failed(subscribeMethod, err)
	}
	s.mu.Lock()
	over := s.over
	s.share = share
	s.mu.Unlock()
	if over { // with the connection
		f.leave(share)
	}
	return s, nil
}

// prefix is what the wire is asked for.
func (f *feed) prefix(filter string) string {
	switch {
	case f.at != "":
		return f.at
	case f.s.own.unnamedTopics:
		return ""
	}
	return literalPrefix(filter)
}

// join returns the share of a prefix, which it asks the wire for if there is none.
func (f *feed) join(ctx context.Context, prefix string) (*share, error) {
	for {
		f.mu.Lock()
		sh := f.shares[prefix]
		if sh == nil {
			sh = &share{prefix: prefix, made: make(chan struct{}), users: 1}
			f.shares[prefix] = sh
			f.mu.Unlock()
			return sh, f.make(ctx, sh)
		}
		sh.users++
		f.mu.Unlock()
		select {
		case <-sh.made:
			if sh.err == nil {
				return sh, nil
			}
		case <-ctx.Done():
			f.leave(sh)
			return nil, &transport.OpError{Op: "subscribe", Err: context.Cause(ctx)}
		}
	}
}

// make asks the wire for a share. One that was refused is forgotten.
func (f *feed) make(ctx context.Context, sh *share) error {
	if f.wire != nil {
		sh.id, sh.err = f.wire.Subscribe(ctx, transport.Subscription{Destination: sh.prefix})
	}
	if sh.err != nil {
		f.mu.Lock()
		delete(f.shares, sh.prefix)
		f.mu.Unlock()
	}
	close(sh.made)
	return sh.err
}

// leave ends a share when its last user has left.
func (f *feed) leave(sh *share) {
	f.mu.Lock()
	sh.users--
	last := sh.users == 0
	if last && f.shares[sh.prefix] == sh {
		delete(f.shares, sh.prefix)
	}
	f.mu.Unlock()
	if last && f.wire != nil {
		_ = f.wire.Unsubscribe(f.s.ctx, sh.id) // or the connection ends
	}
}

// hear offers an event to all who may have subscribed to it. A message that is
// none is counted, and told of when their number has doubled.
func (f *feed) hear(m *transport.Message, msgs []envelope.Message, bad bool) {
	topic := m.Subject
	if !bad && f.s.own.unnamedTopics {
		topic = string(msgs[0].Method)
	}
	if bad || msgs[0].Kind != envelope.Notification || string(msgs[0].Method) != topic {
		f.notHeard(topic)
	} else {
		f.hearTopic(topic, &msgs[0])
	}
	clear(msgs)
}

// notHeard counts a message that is no event, and tells of it when their number has
// doubled.
func (f *feed) notHeard(topic string) {
	f.mu.Lock()
	f.unheard++
	n := f.unheard
	f.mu.Unlock()
	if n&(n-1) == 0 {
		want := "a notification whose method is the topic"
		if f.at != "" {
			want = "a notification whose method has four parts with | between them"
		}
		f.s.log.Warn("what came by a feed is no event", "want", want, "count", n, "topic", topic[:min(len(topic), 100)])
	}
}

// hearTopic offers an event to those whose filters may stand for its topic.
func (f *feed) hearTopic(topic string, msg *envelope.Message) {
	words := strings.Split(topic, ".")
	e := Event{Topic: topic, Params: msg.Params, codec: f.s.codec, metadata: msg.Metadata}
	f.s.subscriptions.hear(e, func(filter []string) bool { return matches(filter, words) })
}

// hear hands an event to all whose filters match it.
func (t *subscriptions) hear(e Event, matches func(filter []string) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.byID {
		if matches(s.words) {
			s.came(e)
		}
	}
}

// lost has all subscriptions told that the connection was lost: before the first event
// of the next one, or when there is one, if that is earlier. It has renewed what was
// asked for by then.
func (f *feed) lost() {
	f.s.subscriptions.heardLoss()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.losses++
	if !f.telling {
		f.telling = true
		f.s.subscriptions.wg.Go(f.tell)
	}
}

// tell waits until the last loss is over, and tells.
func (f *feed) tell() {
	for over := false; !over; {
		f.mu.Lock()
		n := f.losses
		f.mu.Unlock()
		if f.remade != nil {
			_, _ = f.remade.ReplyAddress(f.s.ctx) // the address does not matter
		}
		f.mu.Lock()
		over = f.losses == n
		f.telling = !over
		f.mu.Unlock()
	}
	f.s.subscriptions.tellLoss()
}

// heardLoss notes that the next arrival is the first after a loss.
func (t *subscriptions) heardLoss() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.byID {
		s.mu.Lock()
		s.renewed = s.share != nil
		s.mu.Unlock()
	}
}

// tellLoss puts a gap in the place of a loss, where none is there.
func (t *subscriptions) tellLoss() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.byID {
		s.mu.Lock()
		if !s.over {
			s.tellLoss()
		}
		s.mu.Unlock()
	}
}
