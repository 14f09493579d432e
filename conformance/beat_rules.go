package conformance

import (
	"context"
	"errors"
	"time"

	"github.com/polyport/polyport/transport"
)

// beatRules are about signs of life. They run in virtual time, in which 1.1
// times an interval is exact.
var beatRules = []Rule{
	{
		Name: "BeatsAgreed",
		Text: "Both ends know the same intervals of signs of life: none if either wants none, else the longer, and " +
			"never less than a second.",
		check: checkBeatsAgreed,
	},
	{
		Name:  "IdleLives",
		Text:  "A connection on which nothing is sent stays alive.",
		needs: needsBubble,
		check: checkIdleLives,
	},
	{
		Name:  "SilentPeer",
		Text:  "A peer that was silent for its interval and a tenth ends the connection with ErrHeartbeat.",
		needs: needsBubble,
		check: checkSilentPeer,
	},
	{
		Name:  "SilentPeerPolled",
		Text:  "A silent peer is found also by a receiver whose contexts are short.",
		needs: needsBubble,
		check: checkSilentPeerPolled,
	},
	{
		Name:  "BusyReceiver",
		Text:  "Time during which nobody receives does not count as the peer's silence.",
		needs: needsBubble,
		check: checkBusyReceiver,
	},
	{
		Name:  "BusySender",
		Text:  "A sender that never pauses sends no signs of life and needs none.",
		needs: needsBubble,
		check: checkBusySender,
	},
	{
		Name:  "NoBeats",
		Text:  "Without heart-beats a silent connection lives for ever.",
		needs: needsBubble,
		check: checkNoBeats,
	},
}

// beating returns options with these intervals at the two ends.
func (r *rig) beating(client, server time.Duration) PairOptions {
	o := r.h.options(nil)
	o.Dial.Heartbeat, o.Listen.Heartbeat = client, server
	return o
}

// needBeats skips the rule on a wire that has none.
func (r *rig) needBeats(c transport.Conn) {
	if c.Info().PeerBeat == 0 {
		r.skipf("the wire has agreed on no signs of life")
	}
}

func checkBeatsAgreed(r *rig) {
	const none = -1
	for _, c := range []struct{ client, server, want time.Duration }{
		{10 * time.Second, 10 * time.Second, 10 * time.Second},
		{2 * time.Second, 20 * time.Second, 20 * time.Second},
		{20 * time.Second, 2 * time.Second, 20 * time.Second},
		{time.Millisecond, time.Millisecond, transport.MinHeartbeat},
		{none, 10 * time.Second, 0},
		{10 * time.Second, none, 0},
		{none, none, 0},
	} {
		client, server := r.pair(r.beating(c.client, c.server))
		if r.h.Broker != nil { // which agrees with each by itself
			r.beatsAtBroker("client", client, c.client)
			r.beatsAtBroker("server", server, c.server)
			r.closeAll(client, server)
			continue
		}
		a, b := client.Info(), server.Info()
		if a.Beat != b.PeerBeat || b.Beat != a.PeerBeat {
			r.Errorf("client %v, server %v: the client sends every %v and expects %v, the server sends every %v and expects %v",
				c.client, c.server, a.Beat, a.PeerBeat, b.Beat, b.PeerBeat)
		}
		if c.client == c.want {
			r.needBeats(client)
		}
		if a.Beat != c.want || a.PeerBeat != c.want {
			r.Errorf("client %v, server %v: agreed on %v and %v, want %v", c.client, c.server, a.Beat, a.PeerBeat, c.want)
		}
		r.closeAll(client, server)
	}
}

// beatsAtBroker checks what one who wants an interval has agreed with a broker.
func (r *rig) beatsAtBroker(end string, c transport.Conn, wanted time.Duration) {
	r.Helper()
	i := c.Info()
	for _, got := range []time.Duration{i.Beat, i.PeerBeat} {
		if got != 0 && (wanted < 0 || got < max(wanted, transport.MinHeartbeat)) {
			r.Errorf("%s, which wants %v: sends every %v and expects every %v", end, wanted, i.Beat, i.PeerBeat)
		}
	}
}

func checkIdleLives(r *rig) {
	for beat, idle := range map[time.Duration]time.Duration{time.Second: 10 * time.Minute, 10 * time.Second: time.Hour} {
		client, server := r.pair(r.beating(beat, beat))
		ways := r.ways(client, server)
		var inboxes []*inbox
		for _, w := range ways {
			inboxes = append(inboxes, r.inbox(w.to))
		}
		if client.Info().Feed {
			r.inbox(server)
		}
		r.sleep(idle)
		for i, w := range ways {
			select {
			case <-inboxes[i].over:
				r.Fatalf("%s: a connection with signs of life every %v ended while it was idle: %v", w.name, beat, inboxes[i].err)
			default:
			}
			if err := w.text(r.soon(), "good morning"); err != nil {
				r.Fatalf("%s: Send after %v of silence: %v", w.name, idle, err)
			}
			r.nextText(inboxes[i], "good morning")
		}
	}
}

// severed connects two ends by a stream that goes dead, unnoticed, after d.
// The client's end is what is cut off.
func (r *rig) severed(d time.Duration) (client, server transport.Conn) {
	r.Helper()
	o := r.beating(2*time.Second, 2*time.Second)
	o.Dial.Linger, o.Listen.Linger = linger, linger
	o.Client, o.Server = r.faulty("read time " + d.String() + " blackhole")
	return r.pair(o)
}

func checkSilentPeer(r *rig) {
	for i := range 2 {
		client, server := r.severed(5 * time.Second)
		r.needBeats(client)
		w := r.ways(client, server)[1-i]
		limit := w.to.Info().PeerBeat * 11 / 10
		in := r.inbox(w.to)
		r.inbox(w.from)
		// The last bytes come before the line goes dead: at its time exactly.
		r.sleep(5*time.Second - time.Millisecond)
		last := time.Now()
		r.send(w.from, &transport.Message{To: w.dest, Body: []byte("the last")})
		r.nextText(in, "the last")
		select {
		case <-in.over:
		case <-r.within(10 * limit).Done():
			r.Fatalf("%s: a silent peer was not found within %v, its interval is %v", w.name, 10*limit, w.to.Info().PeerBeat)
		}
		if !errors.Is(in.err, transport.ErrHeartbeat) {
			r.Errorf("%s: Recv from a silent peer: err = %v, want ErrHeartbeat", w.name, in.err)
		}
		if took := time.Since(last); took != limit {
			r.Errorf("%s: a silent peer was found after %v, want %v", w.name, took, limit)
		}
		if err := w.to.Send(r.soon(), &transport.Message{}); !transport.NotSent(err) {
			r.Errorf("%s: Send after ErrHeartbeat: err = %v, want one that is NotSent", w.name, err)
		}
	}
}

func checkSilentPeerPolled(r *rig) {
	for i := range 2 {
		client, server := r.severed(5 * time.Second)
		r.needBeats(client)
		w := r.ways(client, server)[1-i]
		r.inbox(w.from)
		limit := w.to.Info().PeerBeat * 11 / 10
		start := time.Now()
		for {
			ctx, cancel := context.WithTimeout(r.Context(), 100*time.Millisecond)
			_, err := w.to.Recv(ctx)
			cancel()
			if errors.Is(err, transport.ErrHeartbeat) {
				break
			}
			if !errors.Is(err, context.DeadlineExceeded) {
				r.Fatalf("%s: Recv from a silent peer: %v", w.name, err)
			}
			if took := time.Since(start); took > 5*time.Second+10*limit {
				r.Fatalf("%s: a silent peer was not found within %v by a receiver with short contexts", w.name, took)
			}
		}
	}
}

func checkBusyReceiver(r *rig) {
	for i := range 2 {
		client, server := r.pair(r.beating(time.Second, time.Second))
		r.needBeats(client)
		w := r.ways(client, server)[i]
		r.inbox(w.from)
		r.send(w.from, &transport.Message{To: w.dest, Body: []byte("this takes a while")})
		r.wantText(w.to, "this takes a while")
		r.sleep(10 * time.Minute)
		if err := w.text(r.soon(), "done?"); err != nil {
			r.Fatalf("%s: Send to a receiver that was busy for ten minutes: %v", w.name, err)
		}
		r.wantText(w.to, "done?")
	}
}

func checkBusySender(r *rig) {
	client, server := r.pair(r.beating(time.Second, time.Second))
	w := r.ways(client, server)[0]
	in, back := r.inbox(w.to), r.inbox(w.from)
	for range 100 {
		r.send(w.from, &transport.Message{To: w.dest, Body: []byte("x")})
		r.nextText(in, "x")
		r.sleep(300 * time.Millisecond)
	}
	select {
	case <-in.over:
		r.Fatalf("%s: Recv: %v", w.name, in.err)
	case <-back.over:
		r.Fatalf("%s: Recv of the sender: %v", w.name, back.err)
	default:
	}
}

func checkNoBeats(r *rig) {
	o := r.beating(-1, -1)
	o.Client, o.Server = r.faulty("read time 1s blackhole")
	client, server := r.pair(o)
	if b := client.Info().PeerBeat; b != 0 {
		r.Errorf("PeerBeat = %v, want none", b)
	}
	inboxes := []*inbox{r.inbox(client), r.inbox(server)}
	r.sleep(time.Hour)
	for _, in := range inboxes {
		select {
		case <-in.over:
			r.Errorf("without heart-beats a silent connection ended: %v", in.err)
		default:
		}
	}
}
