package broker_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/transport"
)

// The model is one queue as a list. Every delivery is checked against it: a queue
// hands out the first message of the list, with the attempts that the model has
// counted, and never one that is settled or with somebody. So nothing is lost,
// nothing doubled, and the order is kept.
type model struct {
	t    *testing.T
	name string
	o    broker.Options

	seq     int
	list    []*letter // in the queue
	held    int       // with consumers
	waiting []*letter // for room
	dead    []string
	settled int
}

// A letter is a message of the model.
type letter struct {
	text    string
	seq     int
	attempt int
	sent    *sent
}

// A reader is a consumer of the model, and an outlet.
type reader struct {
	transport.Consumer
	m     *model
	owner *peer
	acks  bool
	room  int
	held  map[uint64]*letter
	gone  bool
}

func (r *reader) Deliver(msg *transport.Message, token uint64) bool {
	m := r.m
	switch {
	case r.gone:
		m.t.Fatalf("a consumer that has left gets %q", msg.Body)
	case r.room == 0:
		return false
	case len(m.list) == 0:
		m.t.Fatalf("%q comes, and there should be nothing", msg.Body)
	}
	first := m.list[0]
	if string(msg.Body) != first.text || msg.Attempt != first.attempt {
		m.t.Fatalf("got %q attempt %d, want %q attempt %d", msg.Body, msg.Attempt, first.text, first.attempt)
	}
	m.list = m.list[1:]
	r.room--
	if r.acks {
		m.held++
		r.held[token] = first
	} else {
		m.settled++
		m.admit()
	}
	return true
}

func (r *reader) End(err error) { r.m.t.Errorf("End: %v", err) }

func (m *model) full() bool { return len(m.list)+m.held >= m.o.QueueDepth }

func (m *model) append(l *letter) {
	m.seq++
	l.seq = m.seq
	m.list = append(m.list, l)
}

func (m *model) putBack(l *letter) {
	i, _ := slices.BinarySearchFunc(m.list, l.seq, func(o *letter, seq int) int { return o.seq - seq })
	m.list = slices.Insert(m.list, i, l)
}

// admit lets in who waits. What was let in while a delivery was under way is in the
// hub a moment later.
func (m *model) admit() {
	for len(m.waiting) > 0 && !m.full() {
		m.append(m.waiting[0])
		m.waiting = m.waiting[1:]
	}
}

func (m *model) retry(l *letter, front bool) {
	l.attempt++
	switch {
	case l.attempt >= m.o.Attempts:
		m.dead = append(m.dead, l.text)
	case front:
		m.putBack(l)
	default:
		m.append(l)
	}
}

// send sends a new message and checks what its sender is told.
func (m *model) send(p *peer, text string) *letter {
	l := &letter{text: text}
	refused := m.full() && len(m.waiting) >= m.o.Waiting
	switch {
	case refused:
	case m.full() || len(m.waiting) > 0:
		m.waiting = append(m.waiting, l)
	default:
		m.append(l)
	}
	l.sent = p.send("/queue/"+m.name, text)
	told, err := l.sent.now()
	if refused != (told && errors.Is(err, transport.ErrBusy)) {
		m.t.Fatalf("send %q: %t %v, want refused %t", text, told, err, refused)
	}
	return l
}

func (r *reader) settle(token uint64, o transport.Outcome) {
	m, l := r.m, r.held[token]
	delete(r.held, token)
	m.held--
	switch o {
	case transport.Accepted:
		m.settled++
	case transport.Released:
		m.putBack(l)
	case transport.Failed:
		m.retry(l, false)
	default:
		m.dead = append(m.dead, l.text)
	}
	m.admit()
	r.Settled(token, o)
}

// leave gives back what r holds; the hub is told by the caller.
func (r *reader) leave() {
	r.gone = true
	all := []*letter{}
	for _, l := range r.held {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b *letter) int { return a.seq - b.seq })
	for _, l := range all {
		r.m.held--
		r.m.retry(l, true)
	}
	r.m.admit()
}

// random runs so many random operations.
func (m *model) random(h *broker.Hub, r *rand.Rand, steps int) (letters []*letter) {
	peers := []*peer{join(m.t, h, "u"), join(m.t, h, "u"), join(m.t, h, "u")}
	var readers []*reader
	outcomes := []transport.Outcome{
		transport.Accepted, transport.Accepted, transport.Released,
		transport.Failed, transport.Rejected("it is bad"),
	}
	for i := range steps {
		readers = slices.DeleteFunc(readers, func(r *reader) bool { return r.gone })
		var one *reader
		if len(readers) > 0 {
			one = readers[r.IntN(len(readers))]
		}
		switch n := r.IntN(100); {
		case n < 40:
			letters = append(letters, m.send(peers[r.IntN(3)], fmt.Sprint("m", i)))
		case n < 48 && len(readers) < 5:
			p := peers[r.IntN(3)]
			one = &reader{m: m, owner: p, acks: r.IntN(4) > 0, room: r.IntN(4), held: make(map[uint64]*letter)}
			ack := transport.AckNone
			if one.acks {
				ack = transport.AckEach
			}
			c, err := p.sess.Attach(transport.Subscription{Destination: "/queue/" + m.name, Ack: ack}, one)
			if err != nil {
				m.t.Fatal(err)
			}
			one.Consumer = c
			readers = append(readers, one)
		case one == nil:
		case n < 65:
			one.room += r.IntN(3)
			one.Ready()
		case n < 90:
			for token := range one.held { // in no order
				one.settle(token, outcomes[r.IntN(len(outcomes))])
				break
			}
		case n < 93:
			one.leave()
			one.Detach()
			one.Detach()
		case n < 95:
			p := one.owner
			// The hub detaches them in an order of its own: so one by one.
			for _, o := range readers {
				if o.owner == p && !o.gone {
					o.leave()
					o.Detach()
				}
			}
			p.sess.Leave()
			*p = *join(m.t, h, "u")
		case n < 97:
			time.Sleep(time.Second) // some of those that wait have waited enough
			m.late(time.Now())
		}
		m.check(h, readers, fmt.Sprint("after step ", i))
	}
	for _, o := range readers {
		if !o.gone {
			o.leave()
			o.Detach()
		}
	}
	return letters
}

// late notes who has waited for too long.
func (m *model) late(time.Time) {
	synctest.Wait()
	m.waiting = slices.DeleteFunc(m.waiting, func(l *letter) bool {
		told, err := l.sent.now()
		if told && !errors.Is(err, transport.ErrBusy) {
			m.t.Fatalf("%q should wait for room, and its sender was told %v", l.text, err)
		}
		return told
	})
}

// check compares the figures, and that nobody with room is kept waiting.
func (m *model) check(h *broker.Hub, readers []*reader, when string) {
	synctest.Wait()
	q := queueOf(m.t, h, m.name)
	if q.Depth != len(m.list) || q.Unsettled != m.held || q.Waiting != len(m.waiting) || int(q.Settled) != m.settled {
		m.t.Fatalf("%s: the queue has %+v, want depth %d, unsettled %d, waiting %d, settled %d",
			when, q, len(m.list), m.held, len(m.waiting), m.settled)
	}
	for _, r := range readers {
		if !r.gone && r.room > 0 && len(m.list) > 0 {
			m.t.Fatalf("%s: a consumer has room for %d, and %d messages wait", when, r.room, len(m.list))
		}
	}
	for _, l := range m.list {
		if told, err := l.sent.now(); !told || err != nil {
			m.t.Fatalf("%s: %q is in the queue, and its sender was told %t %v", when, l.text, told, err)
		}
	}
}

func TestModel(t *testing.T) {
	runs := 300
	if testing.Short() {
		runs = 50
	}
	for seed := range uint64(runs) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { oneModel(t, seed) })
		})
		if t.Failed() {
			break
		}
	}
}

func oneModel(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 8))
	o := broker.Options{QueueDepth: 1 + r.IntN(12), Waiting: 1 + r.IntN(4), Attempts: 1 + r.IntN(4), SendWait: 3 * time.Second}
	h := newHub(t, &o)
	m := &model{t: t, name: "q", o: o}
	letters := m.random(h, r, 200)

	time.Sleep(time.Minute / 2) // nobody waits any more
	m.late(time.Now())
	m.check(h, nil, "at the end")
	var left []string
	for _, l := range m.list {
		left = append(left, l.text)
	}
	p := join(t, h, "u")
	rest := p.attach("/queue/q", transport.AckNone, len(left)+1)
	texts := []string{}
	for _, g := range rest.take() {
		texts = append(texts, g.text)
	}
	if !slices.Equal(texts, left) && len(left) > 0 {
		t.Errorf("in the queue are %q, want %q", texts, left)
	}
	rest.Detach()
	rest = p.attach("/queue/dead-letter", transport.AckNone, len(m.dead)+1)
	dead := rest.texts()
	if len(dead) > o.QueueDepth || !slices.Equal(dead, m.dead[max(0, len(m.dead)-o.QueueDepth):]) && len(dead) > 0 {
		t.Errorf("the dead letters are %q, want the last %d of %q", dead, o.QueueDepth, m.dead)
	}
	accepted := 0
	for _, l := range letters {
		told, err := l.sent.now()
		if !told {
			t.Errorf("the sender of %q was never told", l.text)
		}
		if err == nil {
			accepted++
		}
	}
	if got := m.settled + len(m.dead) + len(left); got != accepted {
		t.Errorf("%d messages taken in; %d settled + %d dead + %d left = %d", accepted, m.settled, len(m.dead), len(left), got)
	}
	p.sess.Leave()
}
