package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

// hubRules are about the server's end of a wire and the broker behind it: what it
// has to do as a user of [transport.Broker]. See [Hub].
var hubRules = []Rule{
	{
		Name:  "HubJoin",
		Text:  "Join is called once for each connection, with its Info, and Leave once at its end, however it ends.",
		needs: needsHub,
		check: checkHubJoin,
	},
	{
		Name: "HubSend",
		Text: "What a peer sends to a destination that is not served goes past Recv to the broker, as it was sent; " +
			"what is sent to one that is comes out of Recv.",
		needs: needsHub,
		check: checkHubSend,
	},
	{
		Name:  "HubBytes",
		Text:  "The broker owns a message that it was given: its bytes and headers never change.",
		needs: needsHub,
		check: checkHubBytes,
	},
	{
		Name:  "HubSendOrder",
		Text:  "What a peer sends comes to the broker in that order.",
		needs: needsHub,
		check: checkHubSendOrder,
	},
	{
		Name:  "HubConfirm",
		Text:  "A message is confirmed to its sender once the broker calls done, and not before; dones come in any order.",
		needs: needsHub,
		check: checkHubConfirm,
	},
	{
		Name:  "HubRefused",
		Text:  "The sender of a message that the broker refuses is told why.",
		needs: needsHub,
		check: checkHubRefused,
	},
	{
		Name: "HubUndone",
		Text: "At most Limits.Unsettled messages are without their done; then no more is taken from the peer, Recv's " +
			"ctx and Close still work, and nothing is lost.",
		needs: needsHub,
		check: checkHubUndone,
	},
	{
		Name: "HubReplyTo",
		Text: "A reply address of the peer's own is attached as a private one and replaced by Address; messages by it " +
			"have the peer's own name for it. An ordinary one is passed on unchanged.",
		needs: needsHub,
		check: checkHubReplyTo,
	},
	{
		Name: "HubAnswers",
		Text: "Answers to requests that came out of Recv go to a private reply address without the broker, and to " +
			"another destination by it.",
		needs: needsHub,
		check: checkHubAnswers,
	},
	{
		Name:  "HubHostile",
		Text:  "Whatever a peer says, Leave follows on Join, and nothing of the connection comes after it.",
		needs: needsHub | needsStream,
		check: checkHubHostile,
	},
}

// says reports whether an error has a reason in it.
func says(err error, reason string) bool { return err != nil && strings.Contains(err.Error(), reason) }

func checkHubJoin(r *rig) {
	for _, end := range []struct {
		how string
		end func(h *hubbed, a net.Conn)
	}{
		{"the client closes", func(h *hubbed, _ net.Conn) { _ = h.client.Close() }},
		{"the server closes", func(h *hubbed, _ net.Conn) { _ = h.server.Close() }},
		{"the connection breaks", func(_ *hubbed, a net.Conn) { _ = a.Close() }},
	} {
		o := r.h.options(nil)
		if r.h.Transport == nil {
			r.skipf("the rule breaks a byte stream of its own, and the harness has no Transport to put on it")
		}
		o.Client, o.Server = r.h.stream(r)
		a := o.Client
		h := r.hubbedBy(o, nil)
		if got, want := h.session.info, h.server.Info(); got == nil || got.Scheme != want.Scheme || got.Remote != want.Remote {
			r.Errorf("Join(%+v), want the connection's Info, %+v", got, want)
		}
		r.send(h.client, h.message(1, "one"))
		await(r, h.session.sent, "a message")
		still(r, h.session.left, "the end of a connection that goes on")
		end.end(h, a)
		await(r, h.session.left, "the end: "+end.how)
		r.closeAll(h.client, h.server)
		still(r, h.session.left, "the end, once more: "+end.how)
		still(r, h.joined, "a connection, once more")
	}
}

func checkHubSend(r *rig) {
	h := r.hubbed(nil, nil)
	want := &transport.Message{
		To: h.place(1), Body: pattern(2000), ContentType: "text/plain", Subject: "news",
		ID: transport.TextID("id"), CorrelationID: transport.TextID("correlation"),
	}
	if h.client.Info().Headers {
		want.Headers = []transport.Header{{Name: "name", Value: "value"}, {Name: "other", Value: "a: b"}}
	}
	r.send(h.client, want)
	for _, diff := range r.differences(await(r, h.session.sent, "a message"), want) {
		r.Errorf("%s", diff)
	}
	r.send(h.client, &transport.Message{Body: []byte("a request")})
	r.nextText(h.asked, "a request")
	r.none(h.asked, "though it was for the broker")
	still(r, h.session.sent, "a message to what is served")
}

func checkHubBytes(r *rig) {
	const count = 64
	h := r.hubbed(nil, nil)
	var want []*transport.Message
	for i := range count {
		m := &transport.Message{To: h.place(i % 3), Body: pattern(1 + i*i)[i:], Subject: fmt.Sprint("subject ", i)}
		if h.client.Info().Headers {
			m.Headers = []transport.Header{{Name: fmt.Sprint("name-", i), Value: fmt.Sprint("value-", i)}}
		}
		want = append(want, m)
		r.send(h.client, m)
	}
	var got []*transport.Message
	for range count {
		got = append(got, await(r, h.session.sent, "a message"))
	}
	r.send(h.client, &transport.Message{Body: []byte("marker")})
	r.nextText(h.asked, "marker")
	for i, m := range got {
		for _, diff := range r.differences(m, want[i]) {
			r.Errorf("message %d, after further ones have come: %s", i, diff)
		}
	}
}

func checkHubSendOrder(r *rig) {
	const count = 500
	h := r.hubbed(nil, nil)
	r.Go(func() {
		for i := range count {
			if err := h.client.Send(r.Context(), h.message(1, strconv.Itoa(i))); err != nil {
				r.Errorf("Send of message %d: %v", i, err)
				return
			}
		}
	})
	for i := range count {
		if got := string(await(r, h.session.sent, fmt.Sprint("message ", i)).Body); got != strconv.Itoa(i) {
			r.Fatalf("message %d has come in the place of %d", i, i)
		}
	}
}

// confirmed sends a message that is to be confirmed.
func (h *hubbed) confirmed(body string, done func(error)) {
	h.r.Helper()
	by := ability[transport.Confirmer](h.r, h.client, "client", "Confirmer")
	if err := by.SendConfirmed(h.r.soon(), h.message(1, body), done); err != nil {
		h.r.Fatalf("SendConfirmed: %v", err)
	}
}

func checkHubConfirm(r *rig) {
	const count = 8
	undone := make(chan func(error), count)
	h := r.hubbed(nil, func(h *hub) { h.send = func(_ *transport.Message, done func(error)) { undone <- done } })
	var calls [count]atomic.Int32
	told := make(chan error, 2*count)
	for i := range count {
		h.confirmed(strconv.Itoa(i), func(err error) {
			calls[i].Add(1)
			told <- err
		})
	}
	var dones []func(error)
	for range count {
		dones = append(dones, await(r, undone, "a message"))
	}
	r.quiet()
	if len(told) > 0 {
		r.Errorf("a message was confirmed before the broker has called done")
	}
	for i := range count {
		dones[(i*3+5)%count](nil)
	}
	for range count {
		if err := await(r, told, "nothing, but the sender was not told either"); err != nil {
			r.Errorf("SendConfirmed's done: err = %v, want nil", err)
		}
	}
	r.quiet()
	for i := range calls {
		if n := calls[i].Load(); n != 1 {
			r.Errorf("the done of message %d was called %d times, want once", i, n)
		}
	}
}

func checkHubRefused(r *rig) {
	kinds := []error{transport.ErrNoRoute, transport.ErrRefused, transport.ErrBusy, transport.ErrTooLarge, transport.ErrInvalid}
	for _, kind := range kinds {
		for _, late := range []bool{false, true} {
			const reason = "there is a reason for this"
			refuse := transport.WithReason(kind, reason)
			undone := make(chan func(error), 1)
			h := r.hubbed(nil, func(h *hub) {
				h.send = func(_ *transport.Message, done func(error)) {
					if late {
						undone <- done
						return
					}
					done(refuse)
				}
			})
			told := make(chan error, 2)
			h.confirmed("x", func(err error) { told <- err })
			if late {
				done := await(r, undone, "a message")
				r.quiet()
				done(refuse)
			}
			err := await(r, told, "nothing, but the sender was not told either")
			if err == nil {
				r.Errorf("the done of a message that was refused: err = nil, want the reason")
			} else if !says(err, reason) {
				if ended := r.wantOver(h.in); !says(ended, reason) {
					r.Errorf("the done of a message that was refused: err = %v, and Recv = %v; want one that says %q", err, ended, reason)
				}
			}
			r.closeAll(h.client, h.server)
		}
	}
}

func checkHubUndone(r *rig) {
	const limit, count = 4, 20
	undone := make(chan func(error), 2*count)
	hold := func(h *hub) { h.send = func(_ *transport.Message, done func(error)) { undone <- done } }
	few := func() PairOptions {
		o := r.h.options(nil)
		o.Listen.Limits.Unsettled = limit
		return o
	}
	pour := func(h *hubbed) {
		r.Go(func() {
			for i := range count {
				if h.client.Send(r.Context(), h.message(1, strconv.Itoa(i))) != nil {
					return // at the end, a Send may fail
				}
			}
		})
	}
	h := r.hubbedQuietly(few(), hold)
	h.in = r.inbox(h.client)
	pour(h)
	ctx, cancel := context.WithCancel(r.Context())
	over := make(chan error, 1)
	r.Go(func() {
		_, err := h.server.Recv(ctx)
		over <- err
	})
	for range limit {
		await(r, h.session.sent, "a message")
	}
	still(r, h.session.sent, fmt.Sprintf("more than %d messages without their done", limit))
	cancel()
	if err := await(r, over, "nothing, but Recv has not returned when its ctx has ended"); !errors.Is(err, context.Canceled) {
		r.Errorf("Recv whose ctx was cancelled meanwhile: err = %v, want %v", err, context.Canceled)
	}
	h.asked = r.inbox(h.server)
	for i := range count {
		await(r, undone, fmt.Sprint("message ", i))(nil)
		if i < count-limit {
			if got := string(await(r, h.session.sent, "a message").Body); got != strconv.Itoa(i+limit) {
				r.Fatalf("message %s has come, want %d", got, i+limit)
			}
		}
	}
	r.closeAll(h.client, h.server)

	h = r.hubbedBy(few(), hold)
	pour(h)
	for range limit {
		await(r, h.session.sent, "a message")
	}
	r.quiet()
	r.close(h.server)
	_ = r.wantOver(h.asked)
	await(r, h.session.left, "the end")
	for len(undone) > 0 { // as a broker does, at some time
		(<-undone)(transport.ErrBusy)
	}
}

func checkHubReplyTo(r *rig) {
	h := r.hubbed(nil, nil)
	own := r.replyAddress(h.client)
	if own == "" {
		r.skipf("the wire needs no reply addresses")
	}
	m := h.message(1, "a request")
	m.ReplyTo = own
	var c *hubConsumer
	for i := range 2 {
		r.send(h.client, m)
		got := await(r, h.session.sent, "a message")
		if i == 0 {
			c = await(r, h.session.attached, "the private address")
		}
		if got.ReplyTo != c.address || !strings.HasPrefix(c.address, hubAddress) {
			r.Fatalf("ReplyTo = %q by the subscription to %q, want the private address of one", got.ReplyTo, c.want.Destination)
		}
	}
	still(r, h.session.attached, "the private address, once more")
	c.must(r, &transport.Message{To: c.address, Body: []byte("the answer"), CorrelationID: transport.TextID("x")}, 1)
	answer := r.nextText(h.in, "the answer")
	if answer.CorrelationID != transport.TextID("x") || strings.HasPrefix(answer.To, hubAddress) && answer.To != own {
		r.Errorf("the answer has come to %q with the CorrelationID %v, want the client's own name and %q",
			answer.To, answer.CorrelationID, "x")
	}
	m.ReplyTo = h.place(2)
	r.send(h.client, m)
	if got := await(r, h.session.sent, "a message").ReplyTo; got != m.ReplyTo {
		r.Errorf("ReplyTo = %q, want the one that was sent, %q", got, m.ReplyTo)
	}
}

func checkHubAnswers(r *rig) {
	h := r.hubbed(nil, nil)
	if !h.server.Info().Addressed {
		r.skipf("answers need no address on this wire")
	}
	ask := func(replyTo string) string {
		r.send(h.client, &transport.Message{Body: []byte("a request"), ReplyTo: replyTo})
		return r.nextText(h.asked, "a request").ReplyTo
	}
	to := ask(r.replyAddress(h.client))
	r.send(h.server, &transport.Message{To: to, Body: []byte("the answer")})
	r.nextText(h.in, "the answer")
	still(r, h.session.sent, "an answer to a private address")

	to = ask(h.place(1))
	body := []byte("the answer")
	r.send(h.server, &transport.Message{To: to, Body: body})
	clear(body)
	if got := await(r, h.session.sent, "an answer"); string(got.Body) != "the answer" || got.To != h.place(1) {
		r.Errorf("the broker has got %s to %q, want %q to %q", brief(got.Body), got.To, "the answer", h.place(1))
	}
	h.send = func(_ *transport.Message, done func(error)) { done(transport.WithReason(transport.ErrRefused, "no")) }
	if err := h.server.Send(r.soon(), &transport.Message{To: to}); err == nil {
		r.Errorf("Send of an answer that the broker refuses: err = nil")
	}
	if by, ok := transport.As[transport.Confirmer](h.server); ok {
		told := make(chan error, 1)
		err := by.SendConfirmed(r.soon(), &transport.Message{To: to}, func(err error) { told <- err })
		if err == nil {
			err = await(r, told, "an answer")
		}
		if err == nil {
			r.Errorf("SendConfirmed of an answer that the broker refuses: err = nil, and so for done")
		}
	}
}

func checkHubHostile(r *rig) {
	for name, opening := range r.allOpenings() {
		h := r.newHub()
		o := r.h.options(shortLinger).Listen
		o.Heartbeat, o.FrameTimeout, o.Broker = -1, time.Second, h
		a, b := mem.Pipe()
		over := r.serve(b, o, time.Second)
		r.Go(func() { _, _ = io.Copy(io.Discard, a) })
		r.Go(func() { _, _ = a.Write(opening) })
		r.quiet()
		_ = a.Close()
		select {
		case err := <-over:
			if err == nil {
				r.Errorf("%s: Recv: err = nil after the end", name)
			}
		case <-r.soon().Done():
			r.Errorf("%s: Recv has not returned", name)
			continue
		}
		select {
		case s := <-h.joined:
			await(r, s.left, name+": the end")
		default:
		}
	}
}
