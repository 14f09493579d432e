package rpc

import (
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc/internal/envelope"
)

// ServiceOptions give a service, all methods whose names begin with its name and
// a dot, a queue of its own, so that it may be slow or stuck without holding up
// the others. The zero value means the defaults.
type ServiceOptions struct {
	// Queue adjusts its queue: how many requests may wait and run, and what
	// happens to one for which there is no place. Under the policies that wait
	// the whole connection does, its other services included.
	Queue *queue.Options
	// InFlight is how many requests of one connection may wait for the service.
	// They do not count towards [Limits].InFlight. With a Key those that run count
	// as well. Zero means the same number.
	InFlight int
	// Width is how many handlers may run at once for one connection. Zero means
	// that of [ServerOptions].
	Width int
	// Key is the name of a parameter: calls in which it has the same value are
	// handled one after the other in the order in which they came, whoever sent
	// them, and others side by side. In params by position it is the place of
	// that field. Values are compared as JSON texts; calls without one count as
	// having the same. Order across connections is that of receiving. Width does
	// not apply. Empty means no order.
	Key string
	// Stopped says that the service does not run until [Server.StartService].
	Stopped bool
}

// A service is one with a queue of its own.
type service struct {
	gate             gate
	away             *service // by which its requests go while it does not run here; nil for such a one
	unnamed          bool     // it stands for all that are not known here
	accepted, events atomic.Uint64

	queue    *queue.Queue
	inFlight int
	width    int
	key      string

	seed  maphash.Seed
	mu    sync.Mutex // protects the field below
	keyed map[uint64]*keyedLane
}

// newService returns a service, and the way of its requests while it does not run.
func newService(so ServiceOptions, o *ServerOptions) *service {
	qo := queue.Options{Logger: o.Logger}
	if so.Queue != nil {
		qo = *so.Queue
	}
	s := &service{
		queue: queue.New(&qo), key: so.Key, seed: maphash.MakeSeed(),
		inFlight: or(so.InFlight, o.Limits.InFlight), width: or(so.Width, o.Width),
	}
	if so.Stopped {
		s.gate.shut()
	}
	s.away = newAway(s.inFlight, s.width, o)
	s.away.key = so.Key
	return s
}

// newAway returns the way of requests that are forwarded. They wait for others, and
// take nothing but a goroutine, so that there may be many, but where they are to
// run one after the other.
func newAway(inFlight, width int, o *ServerOptions) *service {
	if width > 1 {
		width = inFlight
	}
	return &service{
		queue: queue.New(&queue.Options{Depth: 4096, Workers: 1024, Logger: o.Logger}),
		seed:  maphash.MakeSeed(), inFlight: inFlight, width: width,
	}
}

// A keyedLane is the lane of all requests with one value of the key, as long as
// there are any. That different values may have the same sum, and so wait for
// each other in vain, does no harm.
type keyedLane struct {
	*queue.Lane
	sum   uint64
	users int
}

// enter returns the lane for the value of a key.
func (s *service) enter(value []byte) *keyedLane {
	sum := maphash.Bytes(s.seed, value)
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.keyed[sum]
	if k == nil {
		if s.keyed == nil {
			s.keyed = make(map[uint64]*keyedLane)
		}
		k = &keyedLane{Lane: s.queue.Lane(&queue.LaneOptions{Width: 1}), sum: sum}
		s.keyed[sum] = k
	}
	k.users++
	return k
}

// leave undoes enter.
func (s *service) leave(k *keyedLane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.users--; k.users == 0 {
		delete(s.keyed, k.sum)
	}
}

// keyOf returns the value of the parameter called name, or nil.
func (m *method) keyOf(name string, params []byte) (value []byte) {
	if envelope.IsArray(params) {
		if m == nil { // its service is served elsewhere
			return nil
		}
		at := slices.IndexFunc(m.fields, func(f field) bool { return f.name == name })
		all := envelope.Elements(params, nil)
		if at < 0 || at >= len(all) {
			return nil
		}
		return all[at]
	}
	envelope.Members(params, func(n, v []byte) bool {
		if string(n) != name {
			return true
		}
		value = v
		return false
	})
	return value
}

// route finds the lane by which r goes to its handler, or none if its peer has too
// many under way there.
func (r *request) route() {
	l := &r.session.lanes
	r.lane = l.common
	s := l.service(r.msg.Method)
	switch {
	case s == nil && r.method == nil:
		s = l.elsewhereFor(r.msg.Method)
		r.away = s != nil
	case s == nil:
	case s.gate.enter():
		r.entered = true
	default:
		s, r.away = s.away, true
	}
	if s == nil {
		return
	}
	r.service = s
	s.accepted.Add(1)
	if s.key == "" {
		r.lane = r.session.lanes.of(s)
		return
	}
	if !r.message.Unsettled() { // their number is bounded elsewhere
		if r.counted = r.session.lanes.enter(s); !r.counted {
			r.lane = nil
			return
		}
	}
	r.keyed = s.enter(r.method.keyOf(s.key, r.msg.Params))
	r.lane = r.keyed.Lane
}

// exit gives back what r had of its service: a place that does not count towards
// its connection's, if it was admitted, and its being inside.
func (r *request) exit(admitted bool) {
	if r.service == nil {
		return
	}
	if admitted {
		r.session.serving.unexempt(1)
	} else {
		r.service.accepted.Add(^uint64(0))
	}
	r.out()
}

// out gives back r's being inside its service.
func (r *request) out() {
	if r.entered {
		r.entered = false
		r.service.gate.exit()
	}
}

// leave ends r's life and gives back what it had, but for its place in flight.
func (r *request) leave() {
	r.end(&errHandled)
	r.session.roll.remove(r)
	if r.keyed != nil {
		r.service.leave(r.keyed)
		r.keyed = nil
	}
	if r.counted {
		r.session.lanes.leave(r.service)
		r.counted = false
	}
}
