package amqp

import (
	"context"
	"errors"
	"math"
	"sync"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp/internal/frames"
)

// A spout is a link to send by, below go-amqp, which attaches and ends it. What
// is sent by it is written here, by whoever sends, and so are credit, window and
// outcomes counted here: go-amqp hands each message from goroutine to goroutine
// four times. The link has a session to itself, in which nobody else sends.
type spout struct {
	c       *clientConn
	largest int // bytes of a message in a frame that the peer takes

	mu      sync.Mutex // protects the fields below
	channel uint16
	handle  uint32
	mode    uint8  // in which the peer wants messages settled
	window  uint32 // transfer frames that the peer takes
	credit  uint32 // messages that the peer takes
	next    uint32 // the number of the next transfer frame
	count   uint32 // messages so far, and the next one's delivery-id
	partial bool   // a message has begun and is not whole
	// waiting are told of the outcomes of their messages. It is nil at the end.
	waiting map[uint32]func(error)
	changed chan struct{} // closed at the next change; nil if nobody waits
	err     error         // why nothing more can be sent
}

func newSpout(c *clientConn) *spout {
	most := min(c.guard.said().frameMax, frameSize)
	return &spout{c: c, largest: max(most, frames.MinMaxSize) - frames.MaxTransferHead, waiting: map[uint32]func(error){}}
}

// attached notes what the peer says of the link.
func (s *spout) attached(window uint32, a *frames.Attach) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.window, s.mode = window, a.SendMode
}

// takes reports whether the peer takes some of l now. It needs mu.
func (s *spout) takes(l *letter) bool {
	if s.err != nil || s.window == 0 {
		return false
	}
	return l.begun || s.credit > 0 && !s.partial
}

// write writes l, or as much of it as the peer takes, if it takes any. What is to
// be written whole must fit a frame. ctx bounds the wait for room in the stream;
// if that is none, nothing is written.
func (s *spout) write(ctx context.Context, l *letter) error {
	s.mu.Lock()
	takes := s.takes(l)
	s.mu.Unlock()
	if !takes {
		return nil
	}
	return s.c.guard.stream.Write(ctx, "send", l.size, func(dst []byte) []byte {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.takes(l) { // still
			dst = s.append(dst, l)
		}
		return dst
	})
}

// append appends the transfers of l (part 2, section 2.7.5). Each of them says
// that it is settled: RabbitMQ 4 ends the session if but the last does. It needs
// mu.
func (s *spout) append(dst []byte, l *letter) []byte {
	t := frames.Transfer{Handle: s.handle, Settled: l.done == nil && s.mode != frames.SendUnsettled}
	first := !l.begun
	if first {
		l.begun = true
		t.ID = s.count
		s.count++
		s.credit--
		if l.done != nil {
			s.waiting[t.ID] = l.done
		}
	}
	for ; s.window > 0 && !l.whole; first = false {
		n := min(len(l.payload), s.largest)
		t.More = n < len(l.payload)
		var at int
		dst, at = frames.BeginTransfer(dst, s.channel, &t, first)
		if l.m != nil {
			dst = appendMessage(dst, l.m, l.to, l.subject)
		}
		dst = frames.End(append(dst, l.payload[:n]...), at)
		l.payload, l.whole = l.payload[n:], !t.More
		s.next++
		s.window--
	}
	s.partial = !l.whole
	return dst
}

// wait waits until the peer takes some of l.
func (s *spout) wait(ctx context.Context, l *letter) error {
	for {
		s.mu.Lock()
		if takes, err := s.takes(l), s.err; takes || err != nil {
			s.mu.Unlock()
			return err
		}
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// wake needs mu.
func (s *spout) wake() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// flowed takes in the window and the credit that the peer gives (part 2, sections
// 2.5.6 and 2.6.7), and answers if it asks. A peer that wants its credit used up
// gets back what nobody waits for.
func (s *spout) flowed(f *frames.Flow) {
	s.mu.Lock()
	s.window = left(f.IncomingWindow, f.NextIncomingID, s.next)
	if f.HasLinkCredit {
		s.credit = left(f.LinkCredit, f.DeliveryCount, s.count)
	}
	drained := f.Drain && s.changed == nil
	if drained {
		s.count += s.credit
		s.credit = 0
	}
	answer := frames.Flow{
		NextIncomingID: f.NextOutgoingID, IncomingWindow: math.MaxInt16, NextOutgoingID: s.next, OutgoingWindow: math.MaxInt16,
		Handle: s.handle, HasHandle: f.HasHandle, DeliveryCount: s.count, LinkCredit: s.credit, Drain: f.Drain,
	}
	channel := s.channel
	s.wake()
	s.mu.Unlock()
	if f.Echo || drained {
		_ = s.c.guard.stream.Control("send", func(dst []byte) []byte { return answer.Append(dst, channel) })
	}
}

// left is what is left of what a peer gave when it had seen so many, now that
// there are more.
func left(given, seen, now uint32) uint32 {
	return uint32(min(max(0, int64(given)+int64(int32(seen-now))), math.MaxUint32))
}

// settled takes in outcomes (part 2, section 2.7.6). The answer is for a peer that
// settles only after us.
func (s *spout) settled(x *frames.Disposition) {
	if !x.Receiver || x.Outcome == frames.NoOutcome && !x.Settled {
		return
	}
	var told []func(error)
	s.mu.Lock()
	take := func(id uint32) {
		if done, ok := s.waiting[id]; ok {
			delete(s.waiting, id)
			told = append(told, done)
		}
	}
	if n := x.Last - x.First; int64(n) < int64(len(s.waiting)) {
		for id := x.First; id != x.Last+1; id++ {
			take(id)
		}
	} else {
		for id := range s.waiting {
			if id-x.First <= n {
				take(id)
			}
		}
	}
	channel := s.channel
	s.mu.Unlock()
	if !x.Settled {
		answer := frames.Disposition{First: x.First, Last: x.Last, Settled: true, Outcome: x.Outcome}
		_ = s.c.guard.stream.Control("send", func(dst []byte) []byte { return answer.Append(dst, channel) })
	}
	err := outcomeError(x)
	if err != nil {
		err = s.c.opError("send", err)
	}
	for _, done := range told {
		done(err)
	}
}

// stop sends nothing more, because of err. Outcomes may still come.
func (s *spout) stop(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	s.wake()
}

// end is stop, and tells those who wait for outcomes that there will be none.
func (s *spout) end(err error) {
	s.stop(err)
	s.mu.Lock()
	waiting := s.waiting
	s.waiting = nil
	s.mu.Unlock()
	for _, done := range waiting {
		done(s.c.lost(err))
	}
}

// lost is why the link is of no use any more, or nil.
func (s *spout) lost() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// settles reports whether the peer takes only messages that are settled, of which
// there are no outcomes.
func (s *spout) settles() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mode == frames.SendSettled
}

// isFull reports whether err says that there was no room in the stream.
func isFull(err error) bool {
	op, _ := errors.AsType[*transport.OpError](err)
	return errors.Is(err, transport.ErrBusy) && (op == nil || !op.MaybeSent)
}

// unwilling is a context for who does not wait.
var unwilling = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()
