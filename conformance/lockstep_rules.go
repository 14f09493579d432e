package conformance

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/polyport/polyport/transport"
)

// lockstepRules are about wires whose ends take turns: the client asks, the server
// answers.
var lockstepRules = []Rule{
	{
		Name:  "LockstepTurns",
		Text:  "In lock-step each message of the end that dialed is answered by one of the other end; both arrive whole, turn after turn.",
		check: checkLockstepTurns,
	},
	{
		Name:  "LockstepEmpty",
		Text:  "In lock-step an answer with an empty body is an answer.",
		check: checkLockstepEmpty,
	},
	{
		Name: "LockstepBusy",
		Text: "In lock-step Send of the end that asks fails with ErrBusy, at once and whatever ctx says, until the answer has " +
			"come out of its Recv; nothing is sent.",
		check: checkLockstepBusy,
	},
	{
		Name:  "LockstepOneTurn",
		Text:  "In lock-step, of all who Send at the same time one has the turn.",
		check: checkLockstepOneTurn,
	},
	{
		Name:  "LockstepUnasked",
		Text:  "In lock-step Send of the end that answers fails with ErrUnsupported or ErrNoRoute until it is asked; nothing is sent.",
		check: checkLockstepUnasked,
	},
	{
		Name:  "LockstepOnce",
		Text:  "In lock-step a message can be answered once.",
		check: checkLockstepOnce,
	},
	{
		Name:  "LockstepRecvContext",
		Text:  "In lock-step a Recv whose ctx ends leaves the turn as it is: the answer still comes, and the next message waits for it.",
		check: checkLockstepRecvContext,
	},
}

// inStep are the rules that are tested in lock-step, too: in them the ends take
// turns, or break off.
var inStep = map[string]bool{
	"LockstepTurns": true, "LockstepEmpty": true, "LockstepBusy": true, "LockstepOneTurn": true,
	"LockstepUnasked": true, "LockstepOnce": true, "LockstepRecvContext": true,
	"AfterClose": true, "Authentication": true, "BeatsAgreed": true, "BrokenRules": true, "CloseEndsStream": true,
	"CloseUnblocksRecv": true, "Credentials": true, "DamagedClient": true, "DamagedServer": true,
	"HostileBytes": true, "IdleLives": true, "Info": true, "NoBeats": true, "PlaintextPassword": true, "RecvContextMidFrame": true,
	"RecvEndedContext": true, "Redial": true, "RedialClose": true, "SendTooLarge": true,
	"SilentPeerPolled": true, "SlowHandshake": true, "VirtualHost": true,
}

// keepStep skips a rule that does not keep step on a wire that wants it.
func (r *rig) keepStep(c transport.Conn) {
	r.Helper()
	if c.Info().Lockstep && !inStep[r.rule] {
		r.skipf("the wire is in lock-step, and in this rule an end sends before it is its turn")
	}
}

// inTurn connects two ends, or skips the rule if they are not in lock-step.
func (r *rig) inTurn() (client, server transport.Conn, back string) {
	r.Helper()
	client, server = r.connect(nil)
	if !client.Info().Lockstep {
		r.skipf("the wire is not in lock-step: its ends may send at any time")
	}
	return client, server, r.route(client, server)
}

// turn has the server answer one message of the client.
func (r *rig) turn(client, server transport.Conn, question, answer []byte) {
	r.Helper()
	m := &transport.Message{Body: question, ReplyTo: r.replyAddress(client)}
	r.send(client, m)
	asked := r.recv(server)
	if diff := sameBody(asked.Body, question); diff != "" {
		r.Fatalf("the question: %s", diff)
	}
	r.send(server, &transport.Message{To: asked.ReplyTo, Body: answer})
	if diff := sameBody(r.recv(client).Body, answer); diff != "" {
		r.Fatalf("the answer: %s", diff)
	}
}

func checkLockstepTurns(r *rig) {
	client, server, _ := r.inTurn()
	for n := range 50 {
		r.turn(client, server, pattern(n*n), fmt.Appendf(nil, "answer %d", n))
	}
}

func checkLockstepEmpty(r *rig) {
	client, server, _ := r.inTurn()
	r.turn(client, server, []byte("tell no one"), nil)
	r.turn(client, server, []byte("and?"), []byte("done"))
	r.turn(client, server, []byte("tell no one"), []byte{})
	r.turn(client, server, nil, []byte("what?"))
}

// refusedAtOnce checks that nothing can be sent, for a reason that is one of kinds.
func (r *rig) refusedAtOnce(when string, c transport.Conn, to string, kinds ...error) {
	r.Helper()
	for name, ctx := range map[string]context.Context{"": r.soon(), ", with a ctx that has ended": ended()} {
		start := time.Now()
		err := c.Send(ctx, &transport.Message{To: to, Body: []byte("out of turn")})
		if took := time.Since(start); took > r.patience()/2 {
			r.Errorf("Send %s%s took %v, want no waiting", when, name, took)
		}
		kind := kinds[0]
		for _, k := range kinds {
			if errors.Is(err, k) {
				kind = k
			}
		}
		r.wantErr("Send "+when+name, err, kind)
	}
}

func checkLockstepBusy(r *rig) {
	client, server, _ := r.inTurn()
	r.send(client, &transport.Message{Body: []byte("first"), ReplyTo: r.replyAddress(client)})
	r.refusedAtOnce("before the message was received", client, "", transport.ErrBusy)
	asked := r.wantText(server, "first")
	r.refusedAtOnce("before the message was answered", client, "", transport.ErrBusy)
	r.send(server, &transport.Message{To: asked.ReplyTo, Body: []byte("answer")})
	r.quiet()
	r.refusedAtOnce("before the answer was received", client, "", transport.ErrBusy)
	r.wantText(client, "answer")
	r.turn(client, server, []byte("second"), []byte("another")) // nothing came in between
}

func checkLockstepOneTurn(r *rig) {
	client, server, _ := r.inTurn()
	for range 20 {
		const senders = 8
		var sent atomic.Int32
		results := make(chan error, senders)
		for range senders {
			r.Go(func() {
				err := client.Send(r.soon(), &transport.Message{Body: []byte("me")})
				if err == nil {
					sent.Add(1)
				}
				results <- err
			})
		}
		for range senders {
			if err := <-results; err != nil {
				r.wantErr("Send of one who has not got the turn", err, transport.ErrBusy)
			}
		}
		if n := sent.Load(); n != 1 {
			r.Fatalf("%d of %d messages were sent at the same time, want 1", n, senders)
		}
		to := r.wantText(server, "me").ReplyTo
		r.send(server, &transport.Message{To: to, Body: []byte("you")})
		r.wantText(client, "you")
	}
}

func checkLockstepUnasked(r *rig) {
	client, server, back := r.inTurn()
	fresh, freshServer := r.connect(nil)
	r.refusedAtOnce("before anything was asked", freshServer, "", transport.ErrUnsupported, transport.ErrNoRoute)
	r.turn(fresh, freshServer, []byte("first"), []byte("answer"))
	r.refusedAtOnce("after all was answered", server, back, transport.ErrUnsupported, transport.ErrNoRoute)
	r.turn(client, server, []byte("second"), []byte("another"))
}

func checkLockstepOnce(r *rig) {
	client, server, back := r.inTurn()
	for range 3 {
		r.send(client, &transport.Message{Body: []byte("question"), ReplyTo: r.replyAddress(client)})
		r.recv(server)
		r.send(server, &transport.Message{To: back, Body: []byte("answer")})
		r.refusedAtOnce("of a second answer", server, back, transport.ErrUnsupported, transport.ErrNoRoute)
		r.wantText(client, "answer")
	}
	r.turn(client, server, []byte("last"), []byte("words"))
}

func checkLockstepRecvContext(r *rig) {
	client, server, _ := r.inTurn()
	r.send(client, &transport.Message{Body: []byte("question"), ReplyTo: r.replyAddress(client)})
	for _, ctx := range []context.Context{r.within(full), ended()} {
		if m, err := client.Recv(ctx); err == nil || !errors.Is(err, context.Cause(ctx)) {
			r.Fatalf("Recv whose ctx ended = %v, %v, want ctx's error", m, err)
		}
		r.refusedAtOnce("after a Recv whose ctx ended", client, "", transport.ErrBusy)
	}
	asked := r.wantText(server, "question")
	if m, err := server.Recv(r.within(full)); err == nil {
		r.Fatalf("Recv = %s, want nothing", brief(m.Body))
	}
	r.send(server, &transport.Message{To: asked.ReplyTo, Body: []byte("answer")})
	r.wantText(client, "answer")
	r.turn(client, server, []byte("next"), []byte("one"))
}
