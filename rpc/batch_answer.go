package rpc

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc/internal/envelope"
	"github.com/polyport/polyport/transport"
)

// A batchAnswer gathers the answers to the requests of one batch, which run
// side by side, and sends them as one array in the order of the requests
// (specification, section 6).
type batchAnswer struct {
	session *session
	message *transport.Message
	slots   []*outgoing // nil for what is not answered
	n       int         // requests admitted
	refused bool        // there was no place for them
	left    atomic.Int32
}

// receiveBatch sorts the elements of a batch. Its requests are admitted
// together or refused together.
func (s *session) receiveBatch(m *transport.Message, msgs []envelope.Message, at *place) {
	n := requests(msgs)
	b := &batchAnswer{session: s, message: m, slots: make([]*outgoing, 0, n)}
	all := make([]request, n) // in one piece, which lives until all are answered
	jobs := make([]queue.Job, 0, n)
	for i := range msgs {
		switch msg := &msgs[i]; msg.Kind {
		case envelope.Response:
		case envelope.Invalid:
			b.put(msg.ID, invalidRequest(msg))
		default:
			r := &all[len(jobs)]
			*r = request{session: s, message: m, method: s.find(msg.Method), msg: askedBy(msg), batch: b, slot: -1}
			r.Context, r.deadline = s.ctx, deadline(m, msg) //nolint:fatcontext // each request has its own
			if s.servesAtOnce(r.method) && msg.Kind == envelope.Notification {
				r.runAtOnce()
				continue
			}
			if msg.Kind == envelope.Request {
				r.slot = len(b.slots)
				b.slots = append(b.slots, nil)
			}
			jobs = append(jobs, r)
		}
	}
	s.answeredBatch(m, msgs)
	clear(msgs) // they keep the body alive
	if len(b.slots) > 0 && !s.answerable(m, envelope.Request) {
		return
	}
	b.admit(jobs, at)
}

// requests counts what of msgs may want an answer.
func requests(msgs []envelope.Message) (n int) {
	for i := range msgs {
		if msgs[i].Kind != envelope.Response {
			n++
		}
	}
	return n
}

// put fills the next slot with an error.
func (b *batchAnswer) put(id []byte, e *Error) {
	out := newOutgoing()
	out.msg.Body = b.session.appendError(out.msg.Body, id, e)
	b.slots = append(b.slots, out)
}

// admit queues the requests.
func (b *batchAnswer) admit(jobs []queue.Job, at *place) {
	if len(jobs) == 0 {
		b.finish()
		return
	}
	b.n = len(jobs)
	b.left.Store(int32(len(jobs)))
	s := b.session
	lane, exempt := b.route(jobs)
	err := s.serving.admit(b.n, exempt, b.message.Unsettled())
	if err == nil {
		for _, j := range jobs {
			s.enroll(j.(*request))
		}
		if lane == nil {
			b.scatter(jobs)
			return
		}
		if s.parked.follows(b.message, lane, jobs...) {
			return
		}
		if quick(jobs) && at.serve(s.ctx, &allHere{jobs: jobs}) {
			return
		}
		err = lane.SubmitAll(s.ctx, jobs)
		if err == nil || s.parked.takes(b.message, err, lane, jobs...) {
			return
		}
		s.serving.leave(b.n)
		s.serving.unexempt(exempt)
		s.serving.done(b.n)
	}
	for _, j := range jobs {
		j.(*request).leave()
		j.(*request).exit(false)
	}
	if b.message.Unsettled() && !errors.Is(err, queue.ErrFull) {
		b.discard()
		return // whoever is next will get it
	}
	b.n, b.refused = 0, true
	for _, j := range jobs {
		b.refuse(j.(*request), err)
	}
	b.finish()
}

// route finds the lane by which all of jobs go, or nil if they go by several, and
// how many of them are exempt from the limit of requests in flight.
func (b *batchAnswer) route(jobs []queue.Job) (lane *queue.Lane, exempt int) {
	one := true
	for _, j := range jobs {
		r := j.(*request)
		r.route()
		exempt += r.exempt()
		if r.lane == nil || lane != nil && r.lane != lane {
			one = false
		}
		lane = r.lane
	}
	if !one {
		return nil, exempt
	}
	return lane, exempt
}

// scatter queues requests that go by several lanes, each as if it came alone.
func (b *batchAnswer) scatter(jobs []queue.Job) {
	for _, j := range jobs {
		r := j.(*request)
		err := queue.ErrFull
		if r.lane != nil {
			if b.session.parked.follows(b.message, r.lane, r) {
				continue
			}
			err = r.lane.Submit(r, r)
		}
		if err == nil || b.session.parked.takes(b.message, err, r.lane, r) {
			continue
		}
		if r.slot < 0 {
			b.session.drop(r.msg.Method, err)
			r.done(nil)
			continue
		}
		r.done(b.session.refused(r.msg.ID, err))
	}
}

// refuse fills the slot of a request that was not admitted.
func (b *batchAnswer) refuse(r *request, err error) {
	if r.slot < 0 {
		b.session.drop(r.msg.Method, err)
		return
	}
	b.slots[r.slot] = b.session.refused(r.msg.ID, err)
}

// refused is the answer to a request of which nothing was executed.
func (s *session) refused(id []byte, err error) *outgoing {
	out := newOutgoing()
	out.msg.Body = s.appendError(out.msg.Body, id, refusal(err))
	return out
}

// discard gives back what put took.
func (b *batchAnswer) discard() {
	for _, out := range b.slots {
		if out != nil {
			out.free()
		}
	}
}

// done takes the answer to one request, nil for a notification.
func (b *batchAnswer) done(r *request, out *outgoing) {
	if r.slot >= 0 {
		b.slots[r.slot] = out
	}
	if b.left.Add(-1) == 0 {
		b.finish()
	}
}

// finish sends the array, or nothing if there is nothing to answer.
func (b *batchAnswer) finish() {
	s := b.session
	if len(b.slots) == 0 {
		outcome := transport.Accepted
		if b.refused {
			outcome = transport.Released
		}
		s.silent(b.message, outcome, b.n)
		return
	}
	if len(b.slots) == 1 && s.habits().bareOne {
		s.answer(b.message, b.slots[0], b.n)
		return
	}
	all := newOutgoing()
	all.msg.Body = append(all.msg.Body, '[')
	for i, out := range b.slots {
		if i > 0 {
			all.msg.Body = append(all.msg.Body, ',')
		}
		all.msg.Body = append(all.msg.Body, out.msg.Body...)
		out.free()
	}
	all.msg.Body = append(all.msg.Body, ']')
	s.answer(b.message, all, b.n)
}

// quick reports whether all requests of a batch take little time.
func quick(jobs []queue.Job) bool {
	for _, j := range jobs {
		if r := j.(*request); r.away || r.method == nil || !r.method.quick.enough() {
			return false
		}
	}
	return true
}

// allHere is the requests of a batch as one job, in turn.
type allHere struct {
	jobs []queue.Job
	next int
}

// Run serves them. One that ends its goroutine leaves the others to others.
func (a *allHere) Run(ctx context.Context) {
	defer func() {
		if rest := a.jobs[a.next:]; len(rest) > 0 {
			lane := a.way()
			go func() {
				if err := lane.SubmitWait(ctx, rest); err != nil {
					(&allHere{jobs: rest}).Drop(err)
				}
			}()
		}
	}()
	for a.next < len(a.jobs) {
		a.next++
		a.jobs[a.next-1].Run(ctx)
	}
}

func (a *allHere) way() *queue.Lane { return a.jobs[0].(*request).lane }

func (a *allHere) doubt() {
	for _, j := range a.jobs {
		j.(*request).doubt()
	}
}

// Drop drops them all.
func (a *allHere) Drop(err error) {
	for _, j := range a.jobs {
		j.Drop(err)
	}
}
