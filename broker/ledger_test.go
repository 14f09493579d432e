package broker_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp"
	"github.com/polyport/polyport/transport/faultconn"
	"github.com/polyport/polyport/transport/stomp"
)

const (
	ledgerQueue = "/queue/ledger"
	deadQueue   = "/queue/dead"
	// poison is how often a message fails whoever tries it.
	poison = 997
	// window is how many messages of a producer may be unconfirmed.
	window = 256
)

// TestLedger keeps books on every message that goes through a queue with eight
// consumers on three wires, whose connections are cut without warning and who
// release, fail and reject some messages: each is settled exactly once, or
// dead-lettered, and none is lost.
func TestLedger(t *testing.T) {
	n, life := 20_000, int64(25_000)
	if os.Getenv("POLYPORT_LONG") == "1" {
		n, life = 1_000_000, 60_000
	}
	b := newBooks(t, n, life)
	start := time.Now()
	ctx, stop := context.WithCancel(t.Context())
	var consumers sync.WaitGroup
	for _, c := range []consumer{
		{wire: "stomp", ack: transport.AckEach, cuts: true},
		{wire: "stomp", ack: transport.AckEach, cuts: true},
		{wire: "stomp", ack: transport.AckUpTo, cuts: true},
		{wire: "stomp", ack: transport.AckNone},
		{wire: "amqp", ack: transport.AckEach, cuts: true},
		{wire: "amqp", ack: transport.AckEach, cuts: true},
		{wire: "amqp", ack: transport.AckNone},
		{wire: "hub", ack: transport.AckEach},
		{wire: "amqp", ack: transport.AckEach, dead: true},
	} {
		consumers.Go(func() { b.work(ctx, c) })
	}
	var producers sync.WaitGroup
	producers.Go(func() { b.produce(ctx, "stomp", 0, n/2) })
	producers.Go(func() { b.produce(ctx, "amqp", n/2, n) })
	producers.Wait()
	b.untilDone(ctx)
	stop()
	consumers.Wait()
	b.check(time.Since(start))
}

// An entry is what happened to one message. What its consumer's connection had
// settled when it was cut may or may not have come to the broker: perhaps.
type entry struct {
	fresh, again, released      uint16 // deliveries with attempt 0 and more; outcomes
	accepted, perhaps, rejected uint16
	dead                        uint16 // deliveries by the dead-letter queue
}

// books are those of a run.
type books struct {
	t       *testing.T
	hub     *broker.Hub
	address map[string]string // by wire
	life    int64             // of a connection, in bytes, at most

	cuts, refused atomic.Int64
	mu            sync.Mutex
	entries       []entry
}

func newBooks(t *testing.T, n int, life int64) *books {
	hub := broker.New(&broker.Options{
		Attempts: 6, DeadLetters: "dead",
		Access: broker.Rules{{Send: []string{"#"}, Consume: []string{"#"}}}, // the consumer within this process shares
	})
	b := &books{t: t, hub: hub, life: life, entries: make([]entry, n), address: map[string]string{}}
	t.Cleanup(func() {
		if err := hub.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, wire := range []string{"stomp", "amqp"} {
		b.address[wire] = serveWire(t, wire, hub)
	}
	return b
}

// serveWire has a hub reached by a wire until the test ends, and returns where.
func serveWire(t *testing.T, wire string, hub *broker.Hub) string {
	t.Helper()
	l, err := transport.Listen(t.Context(), wire+"://127.0.0.1:0", &transport.ListenOptions{Broker: hub})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			all.Go(func() {
				for {
					if _, err := c.Recv(context.Background()); err != nil {
						_ = c.Close()
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return l.Addr().String()
}

// dial connects by a wire. The connection is cut after a random number of bytes
// if wanted; cut tells if it has been.
func (b *books) dial(ctx context.Context, wire string, cuts bool) (c transport.Conn, cut func() bool, err error) {
	whole := func() bool { return false }
	if wire == "hub" {
		c, err = b.hub.Dial(ctx, ledgerQueue)
		return c, whole, err
	}
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", b.address[wire])
	if err != nil {
		return nil, nil, err
	}
	cut = whole
	if cuts {
		rule := faultconn.Rule{
			Dir: []faultconn.Dir{faultconn.Read, faultconn.Write}[rand.IntN(2)], Unit: faultconn.Byte,
			At:   2_000 + rand.Int64N(b.life),
			Kind: []faultconn.Kind{faultconn.Cut, faultconn.Reset}[rand.IntN(2)],
		}
		faulty := faultconn.Wrap(nc, &faultconn.Schedule{Rules: []faultconn.Rule{rule}})
		nc, cut = faulty, func() bool { return len(faulty.Fired()) > 0 }
	}
	u := &url.URL{Scheme: wire, Host: b.address[wire], Path: ledgerQueue}
	var tr transport.Transport = stomp.Transport{}
	if wire == "amqp" {
		tr = amqp.Transport{}
	}
	if c, err = tr.Client(ctx, nc, u, nil); err != nil {
		return nil, nil, errors.Join(err, nc.Close())
	}
	return c, cut, nil
}

// produce sends messages first to end, and returns when all are the broker's. One
// for which there was no room is sent again.
func (b *books) produce(ctx context.Context, wire string, first, end int) {
	c, _, err := b.dial(ctx, wire, false)
	if err != nil {
		b.t.Error(err)
		return
	}
	var receiving sync.WaitGroup
	receiving.Go(func() { // what confirms comes in there
		if m, err := c.Recv(context.Background()); err == nil {
			b.t.Errorf("the producer by %s got %q", wire, m.Body)
		}
	})
	defer receiving.Wait()
	defer func() { _ = c.Close() }()
	confirmer, ok := transport.As[transport.Confirmer](c)
	if !ok {
		b.t.Errorf("%s confirms nothing", wire)
		return
	}
	var under sync.WaitGroup
	room, again := make(chan struct{}, window), make(chan int, window)
	send := func(n int) {
		room <- struct{}{}
		under.Add(1)
		err := confirmer.SendConfirmed(ctx, &transport.Message{To: ledgerQueue, Body: strconv.AppendInt(nil, int64(n), 10)}, func(err error) {
			defer under.Done()
			if err != nil {
				b.refused.Add(1)
				again <- n
			}
			<-room
		})
		if err != nil {
			b.t.Errorf("%s: %v", wire, err)
			under.Done()
			<-room
		}
	}
	for n := first; n < end && !b.t.Failed(); n++ {
		select {
		case m := <-again:
			send(m)
		default:
		}
		send(n)
	}
	for under.Wait(); len(again) > 0 && !b.t.Failed(); under.Wait() {
		send(<-again)
	}
}

// A consumer takes messages by a wire.
type consumer struct {
	wire string
	ack  transport.AckMode
	cuts bool // its connections are cut
	dead bool // it consumes the dead letters
}

// work consumes by one connection after the other until ctx ends.
func (b *books) work(ctx context.Context, c consumer) {
	for ctx.Err() == nil && !b.t.Failed() {
		conn, cut, err := b.dial(ctx, c.wire, c.cuts)
		if err != nil {
			if ctx.Err() == nil {
				b.t.Errorf("%s: %v", c.wire, err)
			}
			return
		}
		s := &shift{books: b, consumer: c, conn: conn}
		err = s.run(ctx)
		closeErr := conn.Close()
		was := cut() || c.cuts && ctx.Err() == nil // the fault tells the reader before it counts itself
		s.end(was)
		switch {
		case was && err != nil && !errors.Is(err, transport.ErrClosed):
			b.t.Errorf("%s: the connection did not end for having been cut: %v", c.wire, err)
		case was:
			b.cuts.Add(1)
		case ctx.Err() == nil:
			b.t.Errorf("%s: the connection ended, and nobody had cut it: %v", c.wire, err)
		case closeErr != nil:
			b.t.Errorf("%s: close: %v", c.wire, closeErr)
		}
	}
}

// A shift is what a consumer does on one connection.
type shift struct {
	*books
	consumer
	conn transport.Conn
	// What was settled, and what is to be with the next one (AckUpTo).
	accepted, rejected, pending []int
	last                        *transport.Message
}

func (s *shift) run(ctx context.Context) error {
	sub, ok := transport.As[transport.Subscriber](s.conn)
	if !ok {
		return fmt.Errorf("%s cannot subscribe", s.wire)
	}
	wish := transport.Subscription{Destination: ledgerQueue, Ack: s.ack}
	if s.dead {
		wish.Destination = deadQueue
	}
	if s.ack != transport.AckNone {
		wish.Credit = 64
	}
	if _, err := sub.Subscribe(ctx, wish); err != nil {
		return err
	}
	for {
		m, err := s.next(ctx)
		if err != nil {
			return err
		}
		if err := s.take(m); err != nil {
			return err
		}
	}
}

// next waits for a message. One that waits to be settled with the next does not
// wait for long.
func (s *shift) next(ctx context.Context) (*transport.Message, error) {
	if s.last == nil {
		m, err := s.conn.Recv(ctx)
		if s.ack == transport.AckNone && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return s.rest()
		}
		return m, err
	}
	soon, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
	m, err := s.conn.Recv(soon)
	cancel()
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		if err := s.settleUpTo(); err != nil {
			return nil, err
		}
		return s.conn.Recv(ctx)
	}
	return m, err
}

// rest waits for what is under way when the hub has nothing left: for it, what
// nobody acknowledges is done with when it was sent.
func (s *shift) rest() (*transport.Message, error) {
	quiet, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return s.conn.Recv(quiet)
}

// take books a message and settles it, one way or another.
func (s *shift) take(m *transport.Message) error {
	n, err := strconv.Atoi(string(m.Body))
	if err != nil || n < 0 || n >= len(s.entries) {
		return fmt.Errorf("there came %q, which nobody has sent", m.Body)
	}
	if s.dead {
		s.book(n, func(e *entry) { e.dead++ })
		return m.Settle(transport.Accepted)
	}
	s.book(n, func(e *entry) {
		if m.Attempt == 0 {
			e.fresh++
		} else {
			e.again++
		}
	})
	switch s.ack {
	case transport.AckNone:
		s.accepted = append(s.accepted, n)
		return m.Settle(transport.Accepted)
	case transport.AckUpTo:
		s.pending, s.last = append(s.pending, n), m
		if rand.IntN(4) == 0 {
			return s.settleUpTo()
		}
		return nil
	}
	return s.settle(m, n)
}

func (s *shift) settleUpTo() error {
	m := s.last
	s.accepted, s.pending, s.last = append(s.accepted, s.pending...), s.pending[:0], nil
	return m.Settle(transport.Accepted)
}

// settle says what becomes of a message that is settled by itself.
func (s *shift) settle(m *transport.Message, n int) error {
	luck := rand.IntN(1000)
	switch {
	case n%poison == 0 || luck < 10:
		return m.Settle(transport.Failed)
	case luck < 20:
		s.book(n, func(e *entry) { e.released++ })
		return m.Settle(transport.Released)
	case luck < 22:
		s.rejected = append(s.rejected, n)
		return m.Settle(transport.Rejected("a number that I do not like"))
	default:
		s.accepted = append(s.accepted, n)
		return m.Settle(transport.Accepted)
	}
}

// end books what was settled, once it is known if the connection was cut.
func (s *shift) end(cut bool) {
	for _, n := range s.accepted {
		s.book(n, func(e *entry) {
			if cut {
				e.perhaps++
			} else {
				e.accepted++
			}
		})
	}
	for _, n := range s.rejected {
		s.book(n, func(e *entry) {
			if !cut && s.wire != "stomp" { // where a NACK has no more to say
				e.rejected++
			}
		})
	}
}

func (b *books) book(n int, change func(*entry)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.entries[n])
}

// untilDone waits until the hub has nothing left.
func (b *books) untilDone(ctx context.Context) {
	for ctx.Err() == nil && !b.t.Failed() {
		left := 0
		for _, q := range b.hub.Stats().Queues {
			left += q.Depth + q.Unsettled + q.Waiting
		}
		if left == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// check closes the books.
func (b *books) check(took time.Duration) {
	var lost, twice, unburied, doubled, seen, again, dead int
	for n := range b.entries {
		e := &b.entries[n]
		seen += int(e.fresh + e.again)
		again += int(e.again)
		dead += int(e.dead)
		switch done := e.accepted + e.perhaps + e.dead; {
		case done == 0:
			lost++
		case e.accepted > 1, e.dead > 1, e.accepted+e.dead > 1:
			twice++
		case e.rejected > 0 && e.dead == 0:
			unburied++
		}
		if e.fresh > 1+e.released {
			doubled++
		}
	}
	s := b.hub.Stats()
	var q broker.QueueStats
	for _, one := range s.Queues {
		if "/queue/"+one.Name == ledgerQueue {
			q = one
		}
	}
	b.t.Logf("%d messages in %v: settled %d, dead-lettered %d, redelivered %d; %d deliveries seen, %d of them not the first; "+
		"%d connections cut, %d sends refused for lack of room",
		len(b.entries), took.Round(time.Millisecond), q.Settled, q.DeadLettered, q.Redelivered, seen, again, b.cuts.Load(), b.refused.Load())
	for what, n := range map[string]int{
		"lost": lost, "settled twice": twice, "rejected, and not among the dead letters": unburied,
		"delivered twice as if for the first time": doubled,
	} {
		if n > 0 {
			b.t.Errorf("%d messages were %s", n, what)
		}
	}
	if total := uint64(len(b.entries)); q.In != total || q.Settled+q.DeadLettered != total {
		b.t.Errorf("the hub took in %d, settled %d and buried %d; want %d in, and as many out", q.In, q.Settled, q.DeadLettered, total)
	}
	if uint64(dead) != q.DeadLettered {
		b.t.Errorf("%d dead letters came, the hub says that there were %d", dead, q.DeadLettered)
	}
	if b.cuts.Load() == 0 || dead == 0 || again == 0 {
		b.t.Errorf("cuts %d, dead letters %d, redeliveries %d: one of them never happened, so this was no test of it", b.cuts.Load(), dead, again)
	}
}
