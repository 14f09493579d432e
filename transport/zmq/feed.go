package zmq

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"sync"

	"github.com/go-zeromq/zmq4"

	"github.com/polyport/polyport/transport"
)

// The first byte of a message by which SUB and XSUB change their subscriptions
// (https://rfc.zeromq.org/spec/29).
const (
	unsubscribeByte = 0
	subscribeByte   = 1
)

// topics is a set of prefixes, each counted. It is safe for concurrent use.
type topics struct {
	mu     sync.RWMutex // protects the fields below
	counts map[string]int
	total  int
	bytes  int
}

// add adds a prefix unless that is more than the limits allow.
func (t *topics) add(prefix string, l transport.Limits) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.total >= l.Subscriptions {
		return tooLarge("more than %d subscriptions", l.Subscriptions)
	}
	if t.bytes += len(prefix); t.bytes > l.HeaderBytes {
		return tooLarge("the topics of all subscriptions are over %d bytes", l.HeaderBytes)
	}
	if t.counts == nil {
		t.counts = make(map[string]int)
	}
	t.counts[prefix]++
	t.total++
	return nil
}

// remove undoes one add, if there was one.
func (t *topics) remove(prefix string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.counts[prefix]
	if n == 0 {
		return
	}
	t.total--
	t.bytes -= len(prefix)
	if t.counts[prefix] = n - 1; n == 1 {
		delete(t.counts, prefix)
	}
}

// match reports whether a topic begins with one of the prefixes.
func (t *topics) match(topic string) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if len(t.counts) <= len(topic) {
		for prefix := range t.counts {
			if strings.HasPrefix(topic, prefix) {
				return true
			}
		}
		return false
	}
	for n := range len(topic) + 1 {
		if t.counts[topic[:n]] > 0 {
			return true
		}
	}
	return false
}

// publisher is the end that was dialed by a SUB or XSUB.
type publisher struct {
	*conn
	topics topics
}

func newPublisher(c *conn) *publisher {
	p := &publisher{conn: c}
	c.info.Feed = true
	c.arrange, c.command = p.heed, p.obey
	return p
}

// heed acts on a message by which the peer changes its subscriptions. An XSUB
// may also say what is none of that, which nobody here waits for.
func (p *publisher) heed(m *transport.Message, _ []byte, ends []int) error {
	if len(ends) > 0 || len(m.Body) == 0 {
		return errNothing
	}
	topic := string(m.Body[1:])
	switch m.Body[0] {
	case subscribeByte:
		if err := p.topics.add(topic, p.info.Limits); err != nil {
			return err
		}
	case unsubscribeByte:
		p.topics.remove(topic)
	}
	return errNothing
}

// obey acts on the commands that stand for these messages since ZMTP 3.1.
func (p *publisher) obey(cmd command) error {
	if cmd.name == zmq4.CmdCancel {
		p.topics.remove(string(cmd.body))
		return nil
	}
	return p.topics.add(string(cmd.body), p.info.Limits)
}

// Wants reports whether the peer has subscribed to a prefix of topic.
func (p *publisher) Wants(topic string) bool { return p.topics.match(topic) && p.stream.Err() == nil }

// Publish sends m, once, if the peer wants its topic, which is m.To.
func (p *publisher) Publish(ctx context.Context, m *transport.Message) error {
	return p.publish(ctx, m, m.To)
}

// publish is Publish with the frame before the body that the peer is to get.
func (p *publisher) publish(ctx context.Context, m *transport.Message, first string) error {
	if err := p.stream.Over("send"); err != nil {
		return err
	}
	size, err := p.pack(m, "")
	switch {
	case len(m.To) > p.may.HeaderBytes:
		err = tooLarge("the topic has %d bytes; the limit is %d", len(m.To), p.may.HeaderBytes)
	case err == nil && !p.Wants(m.To):
		err = noRoute("the peer has not subscribed to %.100q", m.To)
	}
	if err != nil {
		return p.notSent("send", err)
	}
	return p.stream.Write(ctx, "send", size+len(first)+longestHead, func(dst []byte) []byte {
		return p.appendMessage(appendFrame(dst, hasMore, first), m, "")
	})
}

// Send is Publish.
func (p *publisher) Send(ctx context.Context, m *transport.Message) error { return p.Publish(ctx, m) }

// reader is the end that dialed as a SUB.
type reader struct {
	*conn
	// tell sends a change of subscriptions. It runs under mu.
	tell func(ctx context.Context, op string, change byte, prefix string) error

	mu     sync.Mutex // protects the fields below
	subs   []subscription
	lastID uint64
}

// A subscription is to the topics that begin with its prefix.
type subscription struct{ id, prefix string }

func newReader(c *conn) *reader {
	r := &reader{conn: c}
	c.info.Feed = true
	c.arrange, r.tell = r.unpackEvent, r.change
	return r
}

// Send fails: a SUB has nothing to say but what it wants.
func (r *reader) Send(context.Context, *transport.Message) error {
	if err := r.stream.Over("send"); err != nil {
		return err
	}
	return r.notSent("send", transport.WithReason(transport.ErrUnsupported,
		"this connection only carries events (?socket=sub); dial without it to send"))
}

// Subscribe asks for the topics that begin with s.Destination.
func (r *reader) Subscribe(ctx context.Context, s transport.Subscription) (id string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case s.Ack != transport.AckNone, s.Credit > 0, len(s.Headers) > 0:
		err = transport.WithReason(transport.ErrUnsupported, "a subscription to a feed has no acknowledgements, credit and headers")
	case r.find(s.ID) >= 0:
		err = invalid("there is a subscription %.60q already", s.ID)
	case len(r.subs) >= r.may.Subscriptions:
		err = tooLarge("more than %d subscriptions", r.may.Subscriptions)
	case len(s.Destination) > r.may.HeaderBytes:
		err = tooLarge("the topic has %d bytes; the limit is %d", len(s.Destination), r.may.HeaderBytes)
	}
	if err != nil {
		return "", r.notSent("subscribe", err)
	}
	id = cmp.Or(s.ID, r.newID())
	if err := r.tell(ctx, "subscribe", subscribeByte, s.Destination); err != nil {
		return "", err
	}
	r.subs = append(r.subs, subscription{id, s.Destination})
	return id, nil
}

// newID makes an ID that nobody has. It needs mu.
func (r *reader) newID() string {
	for {
		r.lastID++
		if id := strconv.FormatUint(r.lastID, 10); r.find(id) < 0 {
			return id
		}
	}
}

// find returns the place of a subscription, or -1. It needs mu.
func (r *reader) find(id string) int {
	for i := range r.subs {
		if r.subs[i].id == id {
			return i
		}
	}
	return -1
}

// Unsubscribe undoes Subscribe.
func (r *reader) Unsubscribe(ctx context.Context, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := r.find(id)
	if i < 0 {
		return r.notSent("subscribe", invalid("there is no subscription %.60q", id))
	}
	if err := r.tell(ctx, "subscribe", unsubscribeByte, r.subs[i].prefix); err != nil {
		return err
	}
	r.subs = append(r.subs[:i], r.subs[i+1:]...)
	return nil
}

// change is tell. The peer counts subscriptions, so each of ours is told.
func (r *reader) change(ctx context.Context, op string, change byte, prefix string) error {
	return r.stream.Write(ctx, op, len(prefix)+longestHead+1, func(dst []byte) []byte {
		dst = append(appendHead(dst, 0, 1+len(prefix)), change)
		return append(dst, prefix...)
	})
}

// unpackEvent makes an event of a message: its topic is in the first of several
// frames.
func (r *reader) unpackEvent(m *transport.Message, parts []byte, ends []int) error {
	if len(ends) > 0 {
		topic := string(parts[:ends[0]])
		if len(ends) > 1 {
			if _, _, err := r.properties(m, parts, ends); err != nil {
				return err
			}
		}
		m.To, m.Subject = topic, topic
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.subs {
		if strings.HasPrefix(m.To, r.subs[i].prefix) {
			m.Subscription = r.subs[i].id
			return nil
		}
	}
	return nil // unsubscribed meanwhile, or the topic begins the only frame
}
