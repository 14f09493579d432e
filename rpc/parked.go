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
// them. For each lane that has any a goroutine waits for places, so that the
// receiving one need not, nor those for other lanes.
type parked struct {
	s  *session
	wg sync.WaitGroup

	mu    sync.Mutex // protects the field below
	lines map[*queue.Lane][]parkedUnit
}

// A parkedUnit is jobs that belong together.
type parkedUnit []queue.Job

// follows parks jobs behind others that wait for the same lane, if there are any:
// they must not overtake them.
func (p *parked) follows(m *transport.Message, lane *queue.Lane, jobs ...queue.Job) bool {
	if !m.Unsettled() || len(jobs) > lane.Depth() {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.lines[lane]) == 0 {
		return false
	}
	p.lines[lane] = append(p.lines[lane], jobs)
	return true
}

// takes parks what the queue refused with err, if m is of that kind. A batch
// that is larger than the queue could wait for ever.
func (p *parked) takes(m *transport.Message, err error, lane *queue.Lane, jobs ...queue.Job) bool {
	if !m.Unsettled() || !errors.Is(err, queue.ErrFull) || len(jobs) > lane.Depth() {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lines == nil {
		p.lines = make(map[*queue.Lane][]parkedUnit)
	}
	p.lines[lane] = append(p.lines[lane], jobs)
	if len(p.lines[lane]) == 1 {
		p.wg.Go(func() { p.work(lane) })
	}
	return true
}

func (p *parked) work(lane *queue.Lane) {
	for {
		p.mu.Lock()
		jobs := p.lines[lane][0]
		p.mu.Unlock()
		if err := lane.SubmitWait(p.s.ctx, jobs); err != nil {
			for _, j := range jobs {
				j.Drop(err)
			}
		}
		if p.leave(lane) {
			return
		}
	}
}

// leave takes off the first unit of a line, which has waited until now, and
// reports whether it was the last.
func (p *parked) leave(lane *queue.Lane) (last bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line := p.lines[lane]
	if len(line) == 1 {
		delete(p.lines, lane)
		return true
	}
	line[0] = nil
	p.lines[lane] = line[1:]
	return false
}
