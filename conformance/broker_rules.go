package conformance

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/polyport/polyport/transport"
)

// brokerRules are about queues of a broker and those who consume them.
var brokerRules = []Rule{
	{
		Name:  "QueueKeeps",
		Text:  "What is sent to a queue that nobody consumes is kept, in order, also when its sender has gone.",
		needs: needsBroker,
		check: checkQueueKeeps,
	},
	{
		Name:  "QueueShared",
		Text:  "Several consumers of one queue share it: each message reaches one of them, once.",
		needs: needsBroker,
		check: checkQueueShared,
	},
	{
		Name:  "QueueCredit",
		Text:  "The other side gives no more messages that are unsettled than it has credit for; others get the rest.",
		needs: needsBroker,
		check: checkQueueCredit,
	},
	{
		Name: "UnsettledComesBack",
		Text: "What is unsettled when its connection ends is given to somebody else, with an Attempt over 0; what is " +
			"settled is not.",
		needs: needsBroker,
		check: checkUnsettledComesBack,
	},
	{
		Name:  "ReleasedComesBack",
		Text:  "A message that was Released is given to somebody again, as is one that has Failed, then with an Attempt over 0.",
		needs: needsBroker,
		check: checkReleasedComesBack,
	},
	{
		Name:  "RejectedIsGone",
		Text:  "A message that was Rejected, which can never be processed, is given to nobody again.",
		needs: needsBroker,
		check: checkRejectedIsGone,
	},
	{
		Name:  "ManyClients",
		Text:  "Clients of one consumer get each its own answers, whatever IDs the others use.",
		needs: needsBroker,
		check: checkManyClients,
	},
	{
		Name:  "LateAnswer",
		Text:  "An answer to a client that has gone does not harm the connection of the one who sends it.",
		needs: needsBroker,
		check: checkLateAnswer,
	},
}

// A consumer is a connection that consumes a queue.
type consumer struct {
	transport.Conn
	in *inbox
}

// consumer connects one, whose messages are settled one by one.
func (r *rig) consumer(queue string, credit int) *consumer {
	r.Helper()
	c, err := r.h.Broker.consume(r.soon(), queue, r.h.options(nil).Dial, transport.Subscription{Ack: transport.AckEach, Credit: credit})
	if err != nil {
		r.Fatalf("cannot consume a queue: %v", err)
	}
	r.Cleanup(func() { r.closeAll(c) })
	return &consumer{Conn: c, in: r.inbox(c)}
}

// producer connects one who sends to a queue.
func (r *rig) producer(queue string) transport.Conn {
	r.Helper()
	c, err := r.h.Broker.Dial(r.soon(), queue, r.h.options(nil).Dial)
	if err != nil {
		r.Fatalf("cannot connect: %v", err)
	}
	r.Cleanup(func() { r.closeAll(c) })
	return c
}

// produce sends the messages from first to last-1.
func (r *rig) produce(c transport.Conn, first, last int) {
	r.Helper()
	for i := first; i < last; i++ {
		r.send(c, &transport.Message{Body: fmt.Append(nil, i)})
	}
}

// take receives the messages from first to last-1.
func (c *consumer) take(r *rig, first, last int) (got []*transport.Message) {
	r.Helper()
	for i := first; i < last; i++ {
		got = append(got, r.nextText(c.in, strconv.Itoa(i)))
	}
	return got
}

// over settles what is left, and checks that no more has come.
func (c *consumer) over(r *rig, why string, left ...*transport.Message) {
	r.Helper()
	r.accept(left...)
	r.quiet()
	r.none(c.in, why)
}

func checkQueueKeeps(r *rig) {
	queue := queueName()
	c := r.producer(queue)
	r.produce(c, 0, 10)
	r.close(c)
	in := r.consumer(queue, 0)
	got := in.take(r, 0, 10)
	if n := slices.IndexFunc(got, func(m *transport.Message) bool { return m.Attempt != 0 }); n >= 0 {
		r.Errorf("message %d has come once: Attempt = %d, want 0", n, got[n].Attempt)
	}
	in.over(r, "after all had come", got...)
}

func checkQueueShared(r *rig) {
	const consumers, count = 3, 300
	queue := queueName()
	type taken struct {
		by   int
		body string
	}
	all := make(chan taken, 2*count)
	for i := range consumers {
		c, err := r.h.Broker.consume(r.soon(), queue, r.h.options(nil).Dial,
			transport.Subscription{Ack: transport.AckEach, Credit: 10})
		if err != nil {
			r.Fatalf("cannot consume a queue: %v", err)
		}
		r.Cleanup(func() { r.closeAll(c) })
		r.inboxThat(c, func(m *transport.Message) {
			r.accept(m)
			all <- taken{by: i, body: string(m.Body)}
		})
	}
	p := r.producer(queue)
	r.Go(func() {
		for i := range count {
			if err := p.Send(r.Context(), &transport.Message{Body: fmt.Append(nil, i)}); err != nil {
				r.Errorf("Send of message %d: %v", i, err)
				return
			}
		}
	})
	by := map[string]int{}
	note := func(t taken) {
		if first, twice := by[t.body]; twice {
			r.Errorf("message %s has come to consumer %d and to consumer %d", t.body, first, t.by)
		}
		by[t.body] = t.by
	}
	for len(by) < count {
		select {
		case t := <-all:
			note(t)
		case <-r.soon().Done():
			r.Fatalf("%d of %d messages have come", len(by), count)
		}
	}
	r.quiet()
	for len(all) > 0 {
		note(<-all)
	}
}

func checkQueueCredit(r *rig) {
	queue := queueName()
	p := r.producer(queue)
	a := r.consumer(queue, 2)
	r.produce(p, 0, 5)
	got := a.take(r, 0, 2)
	r.quiet()
	r.none(a.in, "though two are unsettled and the credit is 2")
	b := r.consumer(queue, 2)
	others := b.take(r, 2, 4)
	r.quiet()
	r.none(b.in, "though two are unsettled and the credit is 2")
	r.accept(got[1])
	got = append(got[:1], a.take(r, 4, 5)...)
	a.over(r, "after all had come", got...)
	b.over(r, "after all had come", others...)
}

// back checks that a message that comes back says so.
func (r *rig) back(m *transport.Message) {
	r.Helper()
	if m.Attempt == 0 {
		r.Errorf("message %s has come back: Attempt = 0, want more", brief(m.Body))
	}
}

func checkUnsettledComesBack(r *rig) {
	queue := queueName()
	a := r.consumer(queue, 3)
	p := r.producer(queue)
	r.produce(p, 0, 3)
	r.accept(a.take(r, 0, 3)[1])
	r.close(a)
	b := r.consumer(queue, 5)
	back := []*transport.Message{r.next(b.in), r.next(b.in)} // in any order
	if a, b := string(back[0].Body), string(back[1].Body); a+b != "02" && a+b != "20" {
		r.Fatalf("0 and 2 were unsettled, and %q and %q came back", a, b)
	}
	for _, m := range back {
		r.back(m)
	}
	r.produce(p, 3, 4)
	fresh := b.take(r, 3, 4)
	if fresh[0].Attempt != 0 {
		r.Errorf("a message that has come once: Attempt = %d, want 0", fresh[0].Attempt)
	}
	b.over(r, "after all had come", append(back, fresh...)...)
}

func checkReleasedComesBack(r *rig) {
	for _, o := range []transport.Outcome{transport.Released, transport.Failed} {
		queue := queueName()
		a := r.consumer(queue, 1)
		r.produce(r.producer(queue), 0, 1)
		if err := a.take(r, 0, 1)[0].Settle(o); err != nil {
			r.Errorf("Settle(%v): %v", o, err)
		}
		if r.h.Broker.HoldsReleased {
			r.quiet()
			r.none(a.in, "though the broker is said to hold what was released")
			r.close(a)
		}
		b := r.consumer(queue, 1)
		var m *transport.Message
		select {
		case m = <-a.in.msgs:
		case m = <-b.in.msgs:
		case <-r.soon().Done():
			r.Fatalf("a message that was %v has not come back within %v", o, r.patience())
		}
		if o == transport.Failed {
			r.back(m)
		}
		a.over(r, "though it was accepted", m)
		b.over(r, "though it was accepted")
	}
}

func checkRejectedIsGone(r *rig) {
	queue := queueName()
	a := r.consumer(queue, 1)
	r.produce(r.producer(queue), 0, 2)
	if err := a.take(r, 0, 1)[0].Settle(transport.Rejected("it can never be processed")); err != nil {
		r.Errorf("Settle: %v", err)
	}
	_ = a.take(r, 1, 2)
	r.close(a)
	b := r.consumer(queue, 2)
	b.over(r, "though one was rejected and there was one more", b.take(r, 1, 2)...)
}

func checkManyClients(r *rig) {
	const clients, each = 3, 20
	queue := queueName()
	server := r.consumer(queue, 0)
	var in [clients]*inbox
	var asked [clients]string
	for i := range in {
		c := r.producer(queue)
		in[i] = r.inbox(c)
		id := transport.TextID("the same everywhere")
		r.send(c, &transport.Message{Body: fmt.Append(nil, i), ReplyTo: r.replyAddress(c), ID: id, CorrelationID: id})
		m := server.take(r, i, i+1)[0]
		asked[i] = m.ReplyTo
		r.accept(m)
	}
	for n := range each {
		for i := range in {
			r.send(server, &transport.Message{To: asked[i], Body: fmt.Appendf(nil, "%d for %d", n, i)})
		}
	}
	for i := range in {
		for n := range each {
			if got, want := string(r.next(in[i]).Body), fmt.Sprintf("%d for %d", n, i); got != want {
				r.Fatalf("client %d got the answer %q, want %q", i, got, want)
			}
		}
	}
	r.quiet()
	for i := range in {
		r.none(in[i], "after all had come")
	}
}

func checkLateAnswer(r *rig) {
	queue := queueName()
	server := r.consumer(queue, 0)
	gone := r.producer(queue)
	r.send(gone, &transport.Message{Body: []byte("0"), ReplyTo: r.replyAddress(gone)})
	asked := server.take(r, 0, 1)[0]
	r.close(gone)
	r.quiet()
	for range 3 {
		r.send(server, &transport.Message{To: asked.ReplyTo, Body: []byte("too late")})
	}
	r.accept(asked)
	client := r.producer(queue)
	in := r.inbox(client)
	r.send(client, &transport.Message{Body: []byte("1"), ReplyTo: r.replyAddress(client)})
	m := server.take(r, 1, 2)[0]
	r.send(server, &transport.Message{To: m.ReplyTo, Body: []byte("in time")})
	r.nextText(in, "in time")
	server.over(r, "after all had come", m)
}
