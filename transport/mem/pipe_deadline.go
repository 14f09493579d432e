package mem

import "time"

// A pipeDeadline is when the operations of one end give up. Its timer exists
// only once an operation had to wait, and runs only while the deadline may
// still matter: setting a deadline before every operation costs little.
type pipeDeadline struct {
	at    time.Time // zero: never
	timer *time.Timer
	armed bool // the timer will wake everybody at the time at
}

func (d *pipeDeadline) passed() bool {
	return !d.at.IsZero() && !time.Now().Before(d.at)
}

// set moves the deadline. Whoever waits has to be woken, to arm it anew.
func (d *pipeDeadline) set(t time.Time) {
	d.stop()
	d.at = t
}

func (d *pipeDeadline) stop() {
	if d.armed {
		d.timer.Stop()
		d.armed = false
	}
}

// arm makes sure that the waiters of h are woken when the deadline passes. A
// timer that fires too early, late or for an older deadline does no harm: the
// waiters look at the clock and come back here.
func (d *pipeDeadline) arm(h *pipeHalf) {
	if d.armed || d.at.IsZero() {
		return
	}
	d.armed = true
	if d.timer != nil {
		d.timer.Reset(time.Until(d.at))
		return
	}
	d.timer = time.AfterFunc(time.Until(d.at), func() {
		h.mu.Lock()
		d.armed = false
		h.mu.Unlock()
		h.cond.Broadcast()
	})
}
