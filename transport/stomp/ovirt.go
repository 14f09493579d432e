package stomp

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-stomp/stomp/v3/frame"

	"github.com/polyport/polyport/transport"
)

// OVirtDestinations are the queues that oVirt's clients send their requests to, here
// and below, as to jms.topic.vdsm_requests.host.stats. A server with the profile
// [transport.OVirt] serves them besides [transport.DefaultDestination] if it is not
// told what to serve. The slice must not be changed.
var OVirtDestinations = []string{"jms.topic.vdsm_requests", "jms.topic.vdsm_irs_requests"}

const (
	// eventQueue is where oVirt's clients hear events.
	eventQueue = "jms.queue.events"
	// legacyPrefix begins oVirt's names: it tells its clients on a server that has no
	// profile.
	legacyPrefix = "jms."
	// topicPrefix begins those of a broker's topics.
	topicPrefix = "/topic/"
)

// What vdsm says, word by word: somebody may look for it.
const (
	noDestinationOrID   = "Missing destination or subscription id header"
	idExists            = "Subscription id already exists"
	noID                = "Missing id header"
	noSubscriptionThere = "Subscription not available"
)

// prepare has the connection begin as the options have it.
func (c *serverConn) prepare() {
	c.frames.begins = begins
	switch {
	case c.o.Profile == transport.OVirt:
		if slices.Equal(c.o.Destinations, []string{transport.DefaultDestination}) {
			c.o.Destinations = slices.Concat(c.o.Destinations, OVirtDestinations)
		}
		c.befriend()
	case slices.ContainsFunc(c.o.Destinations, isLegacy):
		c.watchful = true
	default:
		return
	}
	c.v, c.frames.version = v12, v12 // of who says nothing
	c.frames.begins, c.frames.limits = anyBegins, c.info.Limits
	c.info.Audience = true
}

func isLegacy(name string) bool { return strings.HasPrefix(name, legacyPrefix) }

// begins are the commands by which a session begins, anyBegins those by which a
// client of oVirt's may: its CONNECT may come late, or never.
var (
	begins    = []string{frame.CONNECT, frame.STOMP}
	anyBegins = []string{frame.CONNECT, frame.STOMP, frame.SUBSCRIBE, frame.SEND, frame.UNSUBSCRIBE, frame.DISCONNECT}
)

// befriend treats the peer as oVirt's from here on. It is for the goroutine that
// reads, or the handshake.
func (c *serverConn) befriend() {
	c.stream.Apart()
	c.frames.lenient = true
	c.friend.Store(true)
}

// recognise looks whether a client that nobody knew yet is one of oVirt's. It is for the
// goroutine that reads.
func (c *serverConn) recognise(f *frame.Frame) {
	var to string
	switch f.Command {
	case frame.SUBSCRIBE:
		to = f.Header.Get(frame.Destination)
	case frame.SEND:
		to = c.frames.carried.To
	}
	if isLegacy(to) {
		c.befriend()
		c.amend(func(i *transport.Info) { i.Profile = transport.OVirt })
	}
}

// amend has Info return another Info.
func (c *serverConn) amend(f func(*transport.Info)) {
	i := *c.Info()
	f(&i)
	c.shown.Store(&i)
}

// unannounced lets in a client whose first frame is no CONNECT, if it needs no
// credentials. The frame's body is read later.
func (c *serverConn) unannounced(ctx context.Context) error {
	user, err := c.admit(ctx, &frame.Frame{Header: frame.NewHeader()})
	if err != nil {
		return err
	}
	if !c.friend.Load() {
		c.befriend()
	}
	c.info.User = user
	c.agree(v12, 0, 0)
	c.unconnected = true
	return nil
}

// connectLate answers a CONNECT that is not the first frame.
func (c *serverConn) connectLate(f *frame.Frame) error {
	if !c.unconnected {
		return malformed("unexpected %s from a client that is connected", f.Command)
	}
	if v, ok := highest(f.Header.Get(frame.AcceptVersion)); !ok || v < v12 && f.Header.Get(frame.AcceptVersion) != "" {
		return malformed("this session has begun without CONNECT and speaks %s; you accept %.40q",
			c.v, f.Header.Get(frame.AcceptVersion))
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.o.HandshakeTimeout)
	defer cancel()
	user, err := c.admit(ctx, f)
	if err == nil && user != c.info.User {
		err = transport.WithReason(transport.ErrRefused, "who logs in has to do so by the first frame")
	}
	if err != nil {
		c.refuse(err, f)
		return err
	}
	c.unconnected = false
	give, want, beat, peerBeat := c.friendlyBeats(f.Header.Get(frame.HeartBeat))
	if err := c.control("handshake", connected(v12, give, want)); err != nil {
		return err
	}
	c.amend(func(i *transport.Info) { i.Beat, i.PeerBeat = beat, peerBeat })
	c.stream.StartHeartbeat(beat, peerBeat, eol)
	return nil
}

// friendlyBeats returns what CONNECTED says of heart-beats to a client of oVirt's that
// has sent header, and what is kept. Numbers that are none count as 0.
//
// What it says depends on the options alone, because the client written in Java asks
// at each reconnect for three quarters of what it was told: an echo, as vdsm's, would
// shrink. The client in Python does not listen to what it is told. So beats go as
// often as the client has asked for, if that is more often, but not more often than
// [transport.MinHeartbeat].
func (c *serverConn) friendlyBeats(header string) (give, want, beat, peerBeat time.Duration) {
	x, y, _ := strings.Cut(header, ",")
	offer, wish := milliseconds(x), milliseconds(y)
	if own := c.o.Heartbeat; own > 0 && wish > 0 {
		give, beat = own, min(own, max(wish, transport.MinHeartbeat))
	}
	if offer > 0 {
		want, peerBeat = c.o.Heartbeat, transport.Negotiate(offer, c.o.Heartbeat)
	}
	return give, want, beat, peerBeat
}

func milliseconds(text string) time.Duration {
	ms, err := strconv.ParseUint(strings.TrimSpace(text), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

// complain tells a client of oVirt's what was wrong with a frame, and goes on: its
// frames are not worth less for it.
func (c *serverConn) complain(why error, receipt string, asked bool) {
	_ = c.stream.Control("send", func(dst []byte) []byte { return c.appendError(dst, why, receipt, asked) })
}

// settled is SettleMessage for a client of oVirt's.
func (c *serverConn) settled(o transport.Outcome) error {
	if o.IsRejected() {
		c.complain(transport.WithReason(transport.ErrProtocol, o.Reason()), "", false)
	}
	return nil
}

// answer sends m to every subscription of the peer's to just that destination.
// Nobody else gets it, whatever a broker has.
func (c *serverConn) answer(ctx context.Context, m *transport.Message, size int) error {
	subs := c.subscribedTo(m.To)
	if len(subs) == 0 && strings.HasPrefix(m.To, tempPrefix) {
		subs = append(subs, c.find(m.To))
	}
	switch len(subs) {
	case 0:
		return c.notSent("send", noSubscription(m.To))
	case 1:
		return c.hand(ctx, m, size, subs[0])
	}
	return c.deliver(ctx, m, size*len(subs), nil, subs...)
}

// Wants reports whether Publish of an event would reach a client of oVirt's: it
// has a name of four parts, "|virt|VM_status|id", of which the first is empty, and
// the client is subscribed to jms.queue.events. Topics of other names are not for
// this.
func (c *serverConn) Wants(topic string) bool {
	if !isEvent(topic) || !c.friend.Load() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.listening > 0 && !c.over
}

func isEvent(topic string) bool {
	return strings.HasPrefix(topic, "|") && strings.Count(topic, "|") == 3
}

// event is m as an event of oVirt's.
func event(m *transport.Message) *transport.Message {
	e := *m
	e.To, e.Subject = eventQueue, ""
	return &e
}

// topicOf is the destination at a broker that oVirt's clients mean by a name with
// dots, and filterOf what hears it and all below.
func topicOf(name string) string {
	if strings.HasPrefix(name, "/") {
		return name
	}
	return topicPrefix + name
}

func filterOf(name string) string {
	if strings.HasPrefix(name, "/") {
		return name
	}
	return topicPrefix + name + ".#"
}

// reaches reports whether somebody hears a broker's topic, as far as the broker says.
func (c *serverConn) reaches(to string) bool {
	r, ok := c.session.(transport.Reacher)
	return !ok || r.Reaches(to)
}
