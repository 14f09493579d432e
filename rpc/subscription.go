package rpc

import (
	"context"
	"errors"
	"iter"
	"strconv"
	"sync"
	"time"
)

// SubscribeOptions adjust a [Subscription]. A nil pointer means the defaults.
type SubscribeOptions struct {
	// Window is how many events may be under way or wait here to be consumed,
	// and so bounds the memory they take up, together with the limit of a
	// message. When it is used up, events wait at the server, whose
	// [EventPolicy] decides what becomes of them; on a feed, whose server knows no
	// windows, they are lost here, which a [*GapError] tells. Zero means 256; the
	// most is 1,048,576.
	Window int
}

func (o *SubscribeOptions) window() int {
	if o == nil {
		return 256
	}
	return min(or(o.Window, 256), maxWindow)
}

// A Subscription receives the events of the topics that match its filter. Its
// methods are safe for concurrent use.
type Subscription struct {
	c      *Client
	name   string // what its ids begin with
	filter string
	words  []string // of filter
	window int
	ctx    context.Context // ends with the subscription
	cancel context.CancelFunc
	some   chan struct{} // has a token if there may be something for Events

	mu sync.Mutex // protects the fields below
	// id changes each time the subscription is made anew, so that nothing that
	// is said of the old one can be taken for the new.
	id       string
	makes    int
	live     bool   // the server has agreed
	share    *share // of what the wire was asked for, on a feed
	asking   bool   // a goroutine asks for it anew
	arrived  []arrival
	open     int // events that arrived and are not consumed
	consumed int // events consumed for which no more were asked
	dropped  uint64
	renewed  bool // the next arrival is the first after a loss
	beat     *time.Timer
	err      error // why it has ended, for the end of arrived
	over     bool
}

// An arrival is an event or a gap.
type arrival struct {
	event Event
	gap   *GapError
}

// Subscribe asks the server for the events of all topics that match filter, and
// returns when the server has agreed: what is published after that is seen.
//
// A filter is words with dots between them, as a topic is; the word * stands
// for any one word, and # for any number of words, none included. The server
// refuses a filter or a subscription too many with an [*Error]. ctx bounds the
// asking alone. Close ends the subscription.
//
// On a feed ([transport.Info].Feed) the wire is asked, and nobody agrees: Subscribe
// returns when that was sent, and what is published until it has arrived is missed.
// It asks for the longest prefix that all topics of filter have, once for all
// subscriptions with the same.
//
// From an oVirt host ([transport.OVirt]) events come by a queue of its own, which the
// wire is asked for once. There a filter has the form
// receiver|component|operation|unique, where * stands for any part and the receiver
// is the host as it was dialed, or its address; # alone stands for all events. An
// event's Topic is the name as it was sent, without a receiver.
//
// A connection made with [ClientOptions].Reconnect that is lost and made again
// renews its subscriptions, which shows as a [*GapError].
func (c *Client) Subscribe(ctx context.Context, filter string, o *SubscribeOptions) (*Subscription, error) {
	if err := c.s.checkFilter(filter); err != nil {
		return nil, &CallError{Method: subscribeMethod, Outcome: NotSent, Err: err}
	}
	s, err := c.s.subscriptions.add(c, filter, o.window())
	if err != nil {
		return nil, &CallError{Method: subscribeMethod, Outcome: NotSent, Err: err}
	}
	if c.s.heard != nil {
		return c.s.heard.subscribe(ctx, s)
	}
	makes, err := s.ask(ctx)
	if err != nil {
		s.end(OutcomeOf(err) == Unknown)
		return nil, err
	}
	s.agreed(makes)
	return s, nil
}

// SubscribeFunc is [Client.Subscribe] with a function that gets what
// [Subscription.Events] yields, one after the other, on a goroutine of its own.
// It may do anything, wait and call the client included. After Close it is not
// called again, but a call under way goes on.
func (c *Client) SubscribeFunc(ctx context.Context, filter string, o *SubscribeOptions, fn func(Event, error)) (*Subscription, error) {
	s, err := c.Subscribe(ctx, filter, o)
	if err != nil {
		return nil, err
	}
	go func() {
		for e, err := range s.Events() {
			fn(e, err)
		}
	}()
	return s, nil
}

// Events yields the events in the order in which they came, and waits for more.
// An event counts as consumed when the loop's body has ended for it.
//
// A [*GapError] says that events are missing at that place, and the loop goes
// on; one that follows a reconnect comes when the subscription has been
// renewed, so that a state which is looked up then misses nothing that is
// published later. Any other error is the last that is yielded: an [*Error] if
// the server ended the subscription (with [CodeShuttingDown] or, for a
// subscriber that was too slow, [CodeBusy]), or else why the connection ended.
// After Close the loop ends without one.
//
// A loop that was left can be followed by another. Several at once share the
// events.
func (s *Subscription) Events() iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for {
			a, err, ok := s.next()
			switch {
			case !ok:
				return
			case err != nil:
				yield(Event{}, err)
				return
			case a.gap != nil:
				if !yield(Event{}, a.gap) {
					return
				}
			case !s.consume(a.event, yield):
				return
			}
		}
	}
}

// consume yields one event.
func (s *Subscription) consume(e Event, yield func(Event, error) bool) bool {
	defer s.consumedOne() // also when the loop's body panics
	return yield(e, nil)
}

// next waits for what comes next. It is false after Close.
func (s *Subscription) next() (a arrival, err error, ok bool) { //nolint:revive // err is what is yielded
	for {
		s.mu.Lock()
		switch {
		case s.over && s.err == nil:
			s.mu.Unlock()
			s.signal() // for the next who looks
			return arrival{}, nil, false
		case len(s.arrived) > 0:
			a = s.arrived[0]
			s.arrived[0] = arrival{}
			s.arrived = s.arrived[1:]
			s.mu.Unlock()
			s.signal()
			return a, nil, true
		case s.err != nil:
			err = s.err
			s.mu.Unlock()
			s.signal()
			return arrival{}, err, true
		}
		s.mu.Unlock()
		<-s.some
	}
}

func (s *Subscription) signal() {
	select {
	case s.some <- struct{}{}:
	default:
	}
}

// Dropped returns how many events the server is known to have dropped because
// they were not consumed in time.
func (s *Subscription) Dropped() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped
}

// Filter returns what was subscribed to.
func (s *Subscription) Filter() string { return s.filter }

// Close ends the subscription and all loops over its events, and tells the
// server. It may be called again, from anywhere, and always returns nil.
func (s *Subscription) Close() error {
	s.end(false)
	return nil
}

// end forgets the subscription, and tells the server if it knows it, or may. If
// it is just being asked anew, whoever does that tells.
func (s *Subscription) end(tell bool) {
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		return
	}
	s.over, s.err, s.arrived = true, nil, nil
	id, known, share := s.id, s.live, s.share
	s.stop()
	s.mu.Unlock()
	s.c.s.subscriptions.forget(id)
	s.signal()
	if share != nil {
		s.c.s.heard.leave(share)
	}
	if tell || known {
		_ = s.c.tell(s.c.s.ctx, unsubscribeMethod, unsubscribeParams{Subscription: id}) // or the connection ends
	}
}

// stop needs mu.
func (s *Subscription) stop() {
	s.live = false
	if s.beat != nil {
		s.beat.Stop()
	}
	s.cancel()
}

// fail ends the subscription with an error, which comes after what has arrived.
func (s *Subscription) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.over, s.err = true, err
	s.stop()
	s.signal()
}

// came takes an event. One that the window has no room for was not to be sent, or
// is lost, where the wire knows no windows.
func (s *Subscription) came(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.tellLoss()
	if s.open >= s.window {
		s.gap(1)
		return
	}
	s.open++
	s.arrived = append(s.arrived, arrival{event: e})
	s.signal()
}

// tellLoss puts the gap of a loss in its place. It needs mu.
func (s *Subscription) tellLoss() {
	if s.renewed {
		s.renewed = false
		s.put(new(GapError))
	}
}

// gap notes that n events are missing. It needs mu.
func (s *Subscription) gap(n uint64) {
	if n == 0 || s.over {
		return
	}
	s.dropped += n
	s.put(&GapError{Dropped: n})
}

// put adds a gap, or makes one of two that follow each other. It needs mu.
func (s *Subscription) put(g *GapError) {
	last := len(s.arrived) - 1
	switch {
	case last < 0 || s.arrived[last].gap == nil:
		s.arrived = append(s.arrived, arrival{gap: g})
	case g.Dropped == 0 || s.arrived[last].gap.Dropped == 0:
		s.arrived[last].gap = new(GapError)
	default:
		s.arrived[last].gap = &GapError{Dropped: s.arrived[last].gap.Dropped + g.Dropped}
	}
	s.signal()
}

// consumedOne makes room for another event, and asks for more when half of the
// window is free.
func (s *Subscription) consumedOne() {
	s.mu.Lock()
	s.open--
	s.consumed++
	id, n := s.grant()
	s.mu.Unlock()
	s.more(id, n)
}

// grant returns how many events to ask for, 0 for none now. It needs mu.
func (s *Subscription) grant() (id string, n int) {
	if !s.live || s.consumed < (s.window+1)/2 {
		return "", 0
	}
	n, s.consumed = s.consumed, 0
	return s.id, n
}

func (s *Subscription) more(id string, n int) {
	if n > 0 {
		_ = s.c.tell(s.ctx, moreMethod, moreParams{Subscription: id, N: n}) // if it fails the connection has
	}
}

// ask asks the server for the subscription as it is now. It returns how often
// it had been made, for agreed.
func (s *Subscription) ask(ctx context.Context) (makes int, err error) {
	s.mu.Lock()
	free := s.window - s.open
	s.consumed = 0
	p := subscribeParams{Filter: s.filter, Window: &free, Subscription: s.id}
	makes = s.makes
	s.mu.Unlock()
	var answer subscribed
	if err := s.c.Call(ctx, subscribeMethod, p, &answer); err != nil {
		return makes, err
	}
	if answer.Lease > 0 {
		s.keep(time.Duration(answer.Lease) * time.Millisecond)
	}
	return makes, nil
}

// agreed notes that the server has agreed. False means that the connection was
// lost since.
func (s *Subscription) agreed(makes int) bool {
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		return true
	}
	if s.makes != makes {
		s.again()
		s.mu.Unlock()
		return false
	}
	s.tellLoss()
	s.live, s.asking = true, false
	id, n := s.grant()
	s.mu.Unlock()
	s.more(id, n)
	return true
}

// lost has the subscription made anew under another id. It needs mu.
func (s *Subscription) lost() {
	s.makes++
	s.id = s.name + "-" + strconv.Itoa(s.makes)
	s.renewed = true
	if s.live {
		s.live = false
		s.again()
	}
}

// again asks the server anew until it agrees, or the subscription ends. It
// needs mu.
func (s *Subscription) again() {
	if !s.asking && !s.over {
		s.asking = true
		s.c.s.subscriptions.wg.Go(s.renew)
	}
}

func (s *Subscription) renew() {
	defer s.withdraw()
	for s.ctx.Err() == nil {
		makes, err := s.ask(s.ctx)
		switch {
		case err == nil:
			if s.agreed(makes) {
				return
			}
			continue
		case OutcomeOf(err) == Answered && !passing(err):
			s.fail(err)
			return
		}
		select {
		case <-time.After(time.Second):
		case <-s.ctx.Done():
		}
	}
}

// withdraw tells the server of a subscription that has ended while it was asked
// for, and forgets one that the server refused.
func (s *Subscription) withdraw() {
	s.mu.Lock()
	over, id, refused := s.over, s.id, s.err != nil
	s.mu.Unlock()
	if over {
		s.c.s.subscriptions.forget(id)
	}
	if over && !refused {
		_ = s.c.tell(s.c.s.ctx, unsubscribeMethod, unsubscribeParams{Subscription: id}) // or the connection ends
	}
}

// passing reports whether asking again later may help.
func passing(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (e.Code == CodeBusy || e.Code == CodeShuttingDown)
}

// keep renews the subscription before its lease ends.
func (s *Subscription) keep(lease time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	if s.beat != nil {
		s.beat.Stop()
	}
	s.beat = time.AfterFunc(lease/3, func() { s.c.s.subscriptions.keep(s, lease) })
}

// lengthen renews the lease. A server that does not know the subscription any
// more is asked anew.
func (s *Subscription) lengthen(lease time.Duration) {
	s.mu.Lock()
	id := s.id
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(s.ctx, lease/3)
	defer cancel()
	err := s.c.Call(ctx, subscribeMethod, subscribeParams{Subscription: id}, nil)
	if e, ok := errors.AsType[*Error](err); ok && e.Code == CodeUnknownHandle {
		s.c.s.subscriptions.remake(s, id)
		return // what asks anew keeps it
	}
	s.keep(lease)
}
