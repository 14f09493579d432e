package conformance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

// confirmRules are about the ability Confirmer, at either end, with and
// without a subscription that acknowledges.
var confirmRules = []Rule{
	{
		Name: "Confirm",
		Text: "SendConfirmed calls done exactly once, with nil when the peer has confirmed the message; none waits " +
			"for another's confirmation.",
		check: checkConfirm,
	},
	{
		Name:   "ConfirmMeansTaken",
		Text:   "No message is confirmed that the peer has not taken.",
		direct: "what is confirmed has been taken by the broker, received or not",
		check:  checkConfirmMeansTaken,
	},
	{
		Name:  "ConfirmLost",
		Text:  "done gets an error when the connection ends first, and it is one that may have been sent.",
		needs: needsStream,
		check: checkConfirmLost,
	},
	{
		Name:  "ConfirmClosed",
		Text:  "done is called once also when this end Closes, and never for a SendConfirmed that has failed.",
		check: checkConfirmClosed,
	},
	{
		Name:   "ConfirmWaits",
		Text:   "SendConfirmed is Send: over Limits.Unsettled it waits, within its ctx.",
		direct: "what is confirmed has been taken by the broker, which does not wait for the other end",
		check:  checkConfirmWaits,
	},
	{
		Name:   "ConfirmRefused",
		Text:   "done gets an error when the peer has refused the message.",
		direct: "what is confirmed has been taken by the broker, whatever the other end says of it",
		check:  checkConfirmRefused,
	},
	{
		Name:  "ConfirmBothWays",
		Text:  "Ends that confirm to one another do not wait for each other.",
		needs: needsStream,
		check: checkConfirmBothWays,
	},
}

// A confirming is a direction by which messages are to be confirmed.
type confirming struct {
	way
	by     transport.Confirmer
	stream net.Conn // of the receiver, where the rule has made it
	settle bool     // a message is confirmed by its settlement
}

// message is one that can be told from others.
func (c confirming) message(i int) *transport.Message {
	return &transport.Message{To: c.dest, Body: fmt.Append(nil, i)}
}

// confirms receives and settles what waits for that, as an application does:
// what was sent by a subscription that acknowledges, and what is Unsettled.
func (r *rig) confirms(c confirming) *inbox {
	return r.inboxThat(c.to, func(m *transport.Message) {
		if c.settle || m.Unsettled() {
			r.accept(m)
		}
	})
}

// eachConfirming calls f for each direction that can be confirmed, each on a
// pair of its own, and skips the rule if there is none.
func (r *rig) eachConfirming(change func(*transport.Options), f func(confirming)) {
	r.Helper()
	tried := 0
	for _, connect := range []func(func(*transport.Options)) (confirming, bool){
		r.confirmingClient, r.confirmingServer, r.confirmingSubscription,
	} {
		if c, ok := connect(change); ok {
			tried++
			f(c)
		}
	}
	if tried == 0 {
		r.skipf("neither end declares to be a Confirmer")
	}
}

// streams makes options with a byte stream whose ends are known.
func (r *rig) streams(change func(*transport.Options)) PairOptions {
	o := r.h.options(change)
	if r.h.Transport != nil && r.h.Pair == nil {
		o.Client, o.Server = r.h.stream(r)
	}
	return o
}

func (r *rig) confirmingClient(change func(*transport.Options)) (confirming, bool) {
	o := r.streams(change)
	client, server := r.pair(o)
	by, ok := transport.As[transport.Confirmer](client)
	return confirming{way: way{name: "client to server", from: client, to: server}, by: by, stream: o.Server}, ok
}

// confirmingServer confirms answers, where the wire does.
func (r *rig) confirmingServer(change func(*transport.Options)) (confirming, bool) {
	o := r.streams(change)
	client, server := r.pair(o)
	by, ok := transport.As[transport.Confirmer](server)
	if !ok {
		return confirming{}, false
	}
	w := way{name: "server to client", from: server, to: client, dest: r.route(client, server)}
	err := by.SendConfirmed(r.soon(), &transport.Message{To: w.dest, Body: []byte("confirmed?")}, func(error) {})
	if err != nil {
		r.wantErr(w.name+": SendConfirmed where answers are not confirmed", err, transport.ErrUnsupported)
		return confirming{}, false
	}
	r.wantText(client, "confirmed?")
	return confirming{way: w, by: by, stream: o.Client}, true
}

// confirmingSubscription confirms by settlement.
func (r *rig) confirmingSubscription(change func(*transport.Options)) (confirming, bool) {
	o := r.streams(change)
	client, server := r.pair(o)
	by, ok := transport.As[transport.Confirmer](server)
	sub, subscribes := transport.As[transport.Subscriber](client)
	if !ok || !subscribes {
		return confirming{}, false
	}
	w := way{name: "server to subscription", from: server, to: client, dest: r.topic(1)}
	_, err := sub.Subscribe(r.soon(), transport.Subscription{ID: "s", Destination: r.topic(1), Ack: transport.AckEach})
	if err != nil {
		r.Fatalf("Subscribe: %v", err)
	}
	r.send(client, &transport.Message{Body: []byte("marker")})
	r.wantText(server, "marker")
	return confirming{way: w, by: by, stream: o.Client, settle: true}, true
}

// dones counts what SendConfirmed reports.
type dones struct {
	calls  []atomic.Int32
	errs   chan error
	wanted int
}

func newDones(n int) *dones {
	return &dones{calls: make([]atomic.Int32, n), errs: make(chan error, 4*n), wanted: n}
}

// of is the done of message i.
func (d *dones) of(i int) func(error) {
	return func(err error) {
		d.calls[i].Add(1)
		d.errs <- err
	}
}

// each waits until all are done, calls f with each error, and checks that each
// was told once.
func (r *rig) each(d *dones, c confirming, f func(error)) {
	r.Helper()
	for i := range d.wanted {
		select {
		case err := <-d.errs:
			f(err)
		case <-r.soon().Done():
			r.Fatalf("%s: done was called for %d of %d messages", c.name, i, d.wanted)
		}
	}
	r.quiet()
	for i := range d.calls {
		if n := d.calls[i].Load(); n != 1 {
			r.Errorf("%s: done was called %d times for message %d, want once", c.name, n, i)
		}
	}
}

func checkConfirm(r *rig) {
	const count = 200
	r.eachConfirming(nil, func(c confirming) {
		r.inbox(c.from)
		in := r.confirms(c)
		d := newDones(count)
		r.Go(func() {
			for i := range count {
				if err := c.by.SendConfirmed(context.Background(), c.message(i), d.of(i)); err != nil {
					r.Errorf("%s: SendConfirmed: %v", c.name, err)
				}
			}
		})
		for i := range count {
			r.nextText(in, strconv.Itoa(i))
		}
		r.each(d, c, func(err error) {
			if err != nil {
				r.Errorf("%s: done of a message that was received: %v", c.name, err)
			}
		})
	})
}

func checkConfirmMeansTaken(r *rig) {
	r.eachConfirming(nil, func(c confirming) {
		r.inbox(c.from)
		d := newDones(1)
		start := time.Now()
		if err := c.by.SendConfirmed(r.soon(), c.message(0), d.of(0)); err != nil {
			r.Fatalf("%s: SendConfirmed: %v", c.name, err)
		}
		if took := time.Since(start); took > time.Second {
			r.Errorf("%s: SendConfirmed has waited %v for the confirmation", c.name, took)
		}
		r.quiet()
		select {
		case err := <-d.errs:
			r.Fatalf("%s: done(%v) was called while the peer had not received", c.name, err)
		default:
		}
		r.confirms(c)
		r.each(d, c, func(err error) {
			if err != nil {
				r.Errorf("%s: done of a message that was received: %v", c.name, err)
			}
		})
	})
}

func checkConfirmLost(r *rig) {
	const count = 5
	r.eachConfirming(nil, func(c confirming) {
		if c.stream == nil {
			r.skipf("the rule resets the byte stream, and the harness makes its own")
		}
		in := r.inbox(c.from)
		d := newDones(count)
		for i := range count {
			if err := c.by.SendConfirmed(r.soon(), c.message(i), d.of(i)); err != nil {
				r.Fatalf("%s: SendConfirmed: %v", c.name, err)
			}
		}
		r.quiet()
		reset(c.stream)
		r.each(d, c, func(err error) {
			if err == nil || transport.NotSent(err) {
				r.Errorf("%s: done when the connection was lost: err = %v, want one that is not NotSent", c.name, err)
			}
		})
		_ = r.wantOver(in)
	})
}

func checkConfirmClosed(r *rig) {
	const count = 5
	r.eachConfirming(shortLinger, func(c confirming) {
		d := newDones(count)
		for i := range count {
			if err := c.by.SendConfirmed(r.soon(), c.message(i), d.of(i)); err != nil {
				r.Fatalf("%s: SendConfirmed: %v", c.name, err)
			}
		}
		r.close(c.from)
		late := newDones(1)
		err := c.by.SendConfirmed(r.soon(), c.message(count), late.of(0))
		r.wantErr(c.name+": SendConfirmed after Close", err, transport.ErrClosed)
		r.each(d, c, func(err error) {
			if transport.NotSent(err) {
				r.Errorf("%s: done at Close: err = %v, want none or one that is not NotSent", c.name, err)
			}
		})
		if n := late.calls[0].Load(); n != 0 {
			r.Errorf("%s: done was called %d times for a SendConfirmed that has failed", c.name, n)
		}
	})
}

func checkConfirmWaits(r *rig) {
	const limit = 4
	r.eachConfirming(func(o *transport.Options) { o.Limits.Unsettled = limit }, func(c confirming) {
		r.inbox(c.from)
		r.quiet() // what was sent to find a route is confirmed
		d := newDones(limit + 1)
		for i := range limit {
			ctx := r.soon()
			if i%2 == 0 {
				ctx = ended() // there is room
			}
			if err := c.by.SendConfirmed(ctx, c.message(i), d.of(i)); err != nil {
				r.Fatalf("%s: SendConfirmed of message %d, the limit is %d: %v", c.name, i, limit, err)
			}
		}
		err := c.by.SendConfirmed(ended(), c.message(limit), func(error) {
			r.Errorf("%s: done of a SendConfirmed that has failed", c.name)
		})
		r.wantErr(c.name+": SendConfirmed over Limits.Unsettled with an ended ctx", err, transport.ErrBusy)
		sent := make(chan error, 1)
		r.Go(func() { sent <- c.by.SendConfirmed(r.Context(), c.message(limit), d.of(limit)) })
		r.quiet()
		select {
		case err := <-sent:
			r.Fatalf("%s: SendConfirmed over Limits.Unsettled has not waited: %v", c.name, err)
		default:
		}
		in := r.confirms(c)
		for i := range limit + 1 {
			r.nextText(in, strconv.Itoa(i))
		}
		if err := <-sent; err != nil {
			r.Errorf("%s: SendConfirmed that waited: %v", c.name, err)
		}
		r.each(d, c, func(err error) {
			if err != nil {
				r.Errorf("%s: done: %v", c.name, err)
			}
		})
	})
}

func checkConfirmRefused(r *rig) {
	c, ok := r.confirmingSubscription(nil)
	if !ok {
		r.skipf("the server's end does not confirm what is sent by a subscription")
	}
	r.inbox(c.from)
	for i, o := range []transport.Outcome{transport.Released, transport.Failed, transport.Rejected("no good"), transport.Accepted} {
		d := newDones(1)
		if err := c.by.SendConfirmed(r.soon(), c.message(i), d.of(0)); err != nil {
			r.Fatalf("SendConfirmed: %v", err)
		}
		if err := r.recv(c.to).Settle(o); err != nil {
			r.Errorf("Settle(%v): %v", o, err)
		}
		r.each(d, c, func(err error) {
			if (err == nil) != (o == transport.Accepted) {
				r.Errorf("done of a message that was %v: err = %v", o, err)
			}
		})
	}
}

func checkConfirmBothWays(r *rig) {
	const count = 300
	o := r.h.options(func(o *transport.Options) { o.SendBuffer = smallBuffer })
	o.Client, o.Server = mem.PipeSize(smallPipe)
	client, server := r.pair(o)
	var both []confirming
	if by, ok := transport.As[transport.Confirmer](client); ok {
		both = append(both, confirming{way: way{name: "client to server", from: client, to: server}, by: by})
	}
	by, ok := transport.As[transport.Confirmer](server)
	sub, subscribes := transport.As[transport.Subscriber](client)
	if ok && subscribes {
		_, err := sub.Subscribe(r.soon(), transport.Subscription{ID: "s", Destination: r.topic(1), Ack: transport.AckEach})
		if err != nil {
			r.Fatalf("Subscribe: %v", err)
		}
		r.send(client, &transport.Message{Body: []byte("marker")})
		r.wantText(server, "marker")
		w := way{name: "server to subscription", from: server, to: client, dest: r.topic(1)}
		both = append(both, confirming{way: w, by: by, settle: true})
	}
	if len(both) < 2 {
		r.skipf("not both ends declare to be a Confirmer")
	}
	reports := []*dones{newDones(count), newDones(count)}
	for i, c := range both {
		r.Go(func() {
			for n := range count {
				m := &transport.Message{To: c.dest, Body: pattern(chunk)}
				if err := c.by.SendConfirmed(context.Background(), m, reports[i].of(n)); err != nil {
					r.Errorf("%s: SendConfirmed: %v", c.name, err)
					return
				}
			}
		})
		r.confirms(c)
	}
	for i, c := range both {
		r.each(reports[i], c, func(err error) {
			if err != nil && !errors.Is(err, context.Canceled) {
				r.Errorf("%s: done: %v", c.name, err)
			}
		})
	}
}
