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
	units   [][]queue.Job
	working bool
}

// takes parks what the queue refused with err, if m is of that kind. A batch
// that is larger than the queue could wait for ever.
func (p *parked) takes(m *transport.Message, err error, jobs ...queue.Job) bool {
	if !m.Unsettled() || !errors.Is(err, queue.ErrFull) || len(jobs) > p.s.lane.Depth() {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.units = append(p.units, jobs)
	if !p.working {
		p.working = true
		p.wg.Go(p.work)
	}
	return true
}

func (p *parked) work() {
	for {
		jobs := p.next()
		if jobs == nil {
			return
		}
		if err := p.s.lane.SubmitWait(p.s.ctx, jobs); err != nil {
			for _, j := range jobs {
				j.Drop(err)
			}
		}
	}
}

func (p *parked) next() []queue.Job {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.units) == 0 {
		p.units, p.working = nil, false
		return nil
	}
	jobs := p.units[0]
	p.units = p.units[1:]
	return jobs
}
