package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/polyport/polyport/rpc/internal/envelope"
	"github.com/polyport/polyport/transport"
)

// maxWindow bounds what a subscriber can grant.
const maxWindow = 1 << 20

// A subscriber is one subscription of a peer, at the publisher. What it can be
// sent without waiting is sent by whoever publishes; the rest waits here, and
// is sent, in order, by a goroutine that lives as long as it has something to
// send. So a peer that does not read holds up nobody but itself.
type subscriber struct {
	of       *subscribers
	key      string
	id       string
	filter   string
	to       string // reply address, if the wire has any
	tail     []byte // what ends an event for this subscriber
	windowed bool
	feed     transport.Audience // which knows what the peer wants; nil for the others

	ctx    context.Context // ends with the subscription
	cancel context.CancelFunc

	mu      sync.Mutex  // protects the fields below
	lease   *time.Timer // nil without a lease
	credit  int         // events that may be sent, if it is windowed
	waiting []waitingEvent
	bytes   int           // of waiting
	missed  uint64        // dropped behind the last that waits
	sending bool          // somebody is in Send, or about to be
	room    chan struct{} // closed when there is room; nil if nobody waits
	last    bool          // no more events are taken
	over    bool
	why     *Error // to tell when it is over, nil if there is nobody to tell
}

// waitingEvent is an event that waits, with how many were dropped just before it.
type waitingEvent struct {
	event  *event
	missed uint64
}

// An offer is what came of an event.
type offer uint8

const (
	taken offer = iota
	mustWait
	turnedAway
)

// offer sends an event, or lets it wait, or drops something, as the policy has
// it. It waits for nothing but the system call.
func (s *subscriber) offer(e *event) offer {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.over, s.last:
		return turnedAway
	case !s.sending && len(s.waiting) == 0 && s.missed == 0 && s.open():
		s.sendNow(e)
		return taken
	case s.fits(e):
		s.push(e)
		return taken
	}
	switch s.of.hub.o.Policy {
	case Block:
		return mustWait
	case Disconnect:
		s.lose(1)
		s.finish(&Error{Code: CodeBusy, Message: "the subscriber was too slow"})
		return turnedAway
	case DropNewest:
		s.missed++
		s.of.hub.drop(1)
		return turnedAway
	}
	for !s.fits(e) {
		s.dropOldest()
	}
	s.push(e)
	return taken
}

// offerWait waits until e has room or ctx ends.
func (s *subscriber) offerWait(ctx context.Context, e *event) (ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.over && !s.last && !s.fits(e) {
		if s.ctx.Err() != nil { // the connection has ended
			return false, nil
		}
		if ctx.Err() != nil {
			s.missed++
			s.of.hub.drop(1)
			return false, context.Cause(ctx)
		}
		if s.room == nil {
			s.room = make(chan struct{})
		}
		room := s.room
		s.mu.Unlock()
		select {
		case <-room:
		case <-s.ctx.Done():
		case <-ctx.Done():
		}
		s.mu.Lock()
	}
	if s.over || s.last {
		return false, nil
	}
	s.push(e)
	return true, nil
}

// open reports whether the subscriber takes an event. It needs mu.
func (s *subscriber) open() bool { return !s.windowed || s.credit > 0 }

// fits needs mu.
func (s *subscriber) fits(e *event) bool {
	o := &s.of.hub.o
	return len(s.waiting) == 0 || len(s.waiting) < o.Buffer && s.bytes+len(e.Body) <= o.Bytes
}

// push needs mu.
func (s *subscriber) push(e *event) {
	s.waiting = append(s.waiting, waitingEvent{e, s.missed})
	s.bytes += len(e.Body)
	s.missed = 0
	s.wake()
}

// pop needs mu, and something that waits.
func (s *subscriber) pop() waitingEvent {
	p := s.waiting[0]
	s.waiting[0] = waitingEvent{}
	if s.waiting = s.waiting[1:]; len(s.waiting) == 0 {
		s.waiting = nil
	}
	s.bytes -= len(p.event.Body)
	s.makeRoom()
	return p
}

// makeRoom lets those who wait for room look again. It needs mu.
func (s *subscriber) makeRoom() {
	if s.room != nil {
		close(s.room)
		s.room = nil
	}
}

// unpop puts back an event that could not be sent. It needs mu.
func (s *subscriber) unpop(e *event) {
	s.waiting = append([]waitingEvent{{event: e}}, s.waiting...)
	s.bytes += len(e.Body)
	s.credit++
}

// dropOldest needs mu.
func (s *subscriber) dropOldest() {
	missed := s.pop().missed + 1
	s.of.hub.drop(1)
	if len(s.waiting) > 0 {
		s.waiting[0].missed += missed
		return
	}
	s.missed += missed
}

// lose drops all that waits, and n more. It needs mu.
func (s *subscriber) lose(n uint64) {
	s.of.hub.drop(n + uint64(len(s.waiting)))
	s.missed += n
	for _, p := range s.waiting {
		s.missed += p.missed + 1
	}
	s.waiting, s.bytes = nil, 0
}

// grant lets the peer have n more events.
func (s *subscriber) grant(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.credit = min(s.credit+n, maxWindow)
	s.wake()
}

// wake starts the goroutine that sends, if there is something that it can send.
// It needs mu.
func (s *subscriber) wake() {
	if !s.sending && (s.ready() || s.over && s.why != nil) {
		s.sending = true
		s.of.wg.Go(s.work)
	}
}

// ready reports whether there is something that can be sent. It needs mu.
func (s *subscriber) ready() bool {
	return (!s.over || s.why != nil) && s.open() && (len(s.waiting) > 0 || s.missed > 0)
}

// sendNow sends an event for which nobody has to wait. It is entered and left
// with mu held, and gives it up meanwhile.
func (s *subscriber) sendNow(e *event) {
	s.of.wg.Add(1)
	defer s.of.wg.Done()
	s.sending = true
	s.credit--
	s.mu.Unlock()
	err := s.sendEvent(noWait, e)
	s.mu.Lock()
	s.sending = false
	s.settle(e, err)
	s.wake()
}

// work sends what waits for as long as the subscriber takes it.
func (s *subscriber) work() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for more := true; more && s.ready(); {
		more = s.step()
	}
	if s.over {
		s.sayGoodbye()
	}
	s.sending = false
}

// step sends one thing. It is entered and left with mu held, and gives it up
// meanwhile. False means that there is no room and that none is waited for.
func (s *subscriber) step() bool {
	if len(s.waiting) == 0 {
		return s.sendGap(&s.missed)
	}
	if s.waiting[0].missed > 0 {
		return s.sendGap(&s.waiting[0].missed)
	}
	e := s.pop().event
	s.credit--
	s.mu.Unlock()
	err := s.sendEvent(s.ctx, e)
	s.mu.Lock()
	s.settle(e, err)
	return !errors.Is(err, transport.ErrBusy)
}

// settle notes what became of an attempt to send e. It needs mu.
func (s *subscriber) settle(e *event, err error) {
	switch {
	case err == nil:
	case errors.Is(err, transport.ErrBusy):
		s.unpop(e)
	case errors.Is(err, transport.ErrTooLarge), errors.Is(err, transport.ErrInvalid):
		s.of.s.log.Warn("event cannot be sent to a subscriber", "filter", s.filter, "err", err)
		s.credit++
		s.of.hub.drop(1)
		if len(s.waiting) > 0 {
			s.waiting[0].missed++
		} else {
			s.missed++
		}
	case s.feed != nil && errors.Is(err, transport.ErrNoRoute): // unsubscribed meanwhile
	case !s.over:
		s.of.s.log.Debug("nobody is there for an event", "filter", s.filter, "err", err)
		s.finish(nil)
	}
	if s.over && s.why == nil {
		s.waiting, s.bytes = nil, 0
	}
}

// sayGoodbye says why the subscription is over. It is entered and left with mu
// held, and gives it up meanwhile.
func (s *subscriber) sayGoodbye() {
	if s.why != nil {
		s.lose(0)
		n, why := s.missed, s.why
		s.missed, s.why = 0, nil
		s.mu.Unlock()
		if s.feed != nil {
			s.of.s.hangUp(why)
		} else {
			_ = s.sendEnd(n, why) // if it fails, the end of the connection says the same
		}
		s.mu.Lock()
	}
	s.of.forget(s)
}

// finish takes no more events. Why is told to the peer, unless it is nil. It
// needs mu.
func (s *subscriber) finish(why *Error) {
	if s.over {
		return
	}
	s.over, s.why = true, why
	s.cancel()
	if s.lease != nil {
		s.lease.Stop()
	}
	s.of.hub.remove(s)
	if why == nil {
		s.waiting, s.bytes = nil, 0
		s.of.forget(s)
		return
	}
	s.wake()
}

// end is finish for one who does not hold mu.
func (s *subscriber) end(why *Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finish(why)
}

// renew lengthens the lease, unless it is over.
func (s *subscriber) renew() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lease != nil && !s.over {
		s.lease.Reset(s.of.hub.o.Lease)
	}
	return !s.over
}

func (s *subscriber) sendEvent(ctx context.Context, e *event) error {
	if s.feed != nil {
		return s.feed.Publish(ctx, &e.Message)
	}
	out := newOutgoing()
	defer out.free()
	out.msg.Body = e.appendFor(out.msg.Body, s)
	return s.send(ctx, out)
}

// sendGap says that *missed events are missing here. It is as step.
func (s *subscriber) sendGap(missed *uint64) bool {
	n := *missed
	*missed = 0
	if s.feed != nil { // which has no words for it
		return true
	}
	s.mu.Unlock()
	out := newOutgoing()
	out.msg.Body = envelope.AppendRequestHead(out.msg.Body, nil, gapMethod)
	out.msg.Body = appendNotice(out.msg.Body, s.id, n)
	out.msg.Body = append(out.msg.Body, "}}"...)
	err := s.send(s.ctx, out)
	out.free()
	s.mu.Lock()
	if err != nil {
		s.missed += n
	}
	if err != nil && !errors.Is(err, transport.ErrBusy) {
		s.finish(nil)
	}
	return err == nil
}

func (s *subscriber) sendEnd(dropped uint64, why *Error) error {
	out := newOutgoing()
	defer out.free()
	out.msg.Body = envelope.AppendRequestHead(out.msg.Body, nil, endMethod)
	out.msg.Body = appendNotice(out.msg.Body, s.id, dropped)
	out.msg.Body = strconv.AppendInt(append(out.msg.Body, `,"code":`...), int64(why.Code), 10)
	out.msg.Body = envelope.AppendString(append(out.msg.Body, `,"message":`...), why.Message)
	out.msg.Body = append(out.msg.Body, "}}"...)
	return s.send(s.of.ctx, out)
}

// appendNotice appends the params that all notices have, without their end.
func appendNotice(dst []byte, id string, dropped uint64) []byte {
	dst = envelope.AppendString(append(dst, `{"subscription":`...), id)
	return strconv.AppendUint(append(dst, `,"dropped":`...), dropped, 10)
}

func (s *subscriber) send(ctx context.Context, out *outgoing) error {
	out.msg.To, out.msg.ContentType = s.to, contentType
	return s.of.s.conn.Send(ctx, &out.msg)
}

// tailFor ends an event: those who gave a window are told which subscription
// it counts for, all others see a plain notification.
func tailFor(id string, windowed bool) []byte {
	if !windowed {
		return []byte{'}'}
	}
	metadata := append(envelope.AppendString([]byte(`{"subscription":`), id), '}')
	return envelope.AppendTail(envelope.AppendMetadata(nil, json.RawMessage(metadata)))
}
