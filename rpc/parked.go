package rpc

import (
	"errors"
	"sync"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/transport"
)

// parked are the requests for which the queue has no place and which their
// sender counts as under way, as a broker does until they are acknowledged.
// Refusing them would help nobody: the sender gives no more than it was granted
// credit for, and the others go to other servers meanwhile. That credit bounds
// them. A goroutine that lives as long as there are any waits for places, so
// that the receiving one need not.
type parked struct {
	s  *session
	wg sync.WaitGroup

	mu      sync.Mutex // protects the fields below
	units   []parkedUnit
	working bool
}

// A parkedUnit is jobs that belong together and the lane that they wait for.
type parkedUnit struct {
	lane *queue.Lane
	jobs []queue.Job
}

// takes parks what the queue refused with err, if m is of that kind. A batch
// that is larger than the queue could wait for ever.
func (p *parked) takes(m *transport.Message, err error, lane *queue.Lane, jobs ...queue.Job) bool {
	if !m.Unsettled() || !errors.Is(err, queue.ErrFull) || len(jobs) > lane.Depth() {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.units = append(p.units, parkedUnit{lane: lane, jobs: jobs})
	if !p.working {
		p.working = true
		p.wg.Go(p.work)
	}
	return true
}

func (p *parked) work() {
	for {
		u, ok := p.next()
		if !ok {
			return
		}
		if err := u.lane.SubmitWait(p.s.ctx, u.jobs); err != nil {
			for _, j := range u.jobs {
				j.Drop(err)
			}
		}
	}
}

func (p *parked) next() (u parkedUnit, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.units) == 0 {
		p.units, p.working = nil, false
		return u, false
	}
	u = p.units[0]
	p.units = p.units[1:]
	return u, true
}
