package conformance

import (
	"fmt"

	"github.com/polyport/polyport/transport"
)

// routeRules are about whom a message reaches.
var routeRules = []Rule{
	{
		Name:  "ReplyAddress",
		Text:  "A request whose ReplyTo is the ReplyAddress of its sender is answered to the sender's Recv.",
		check: checkReplyAddress,
	},
	{
		Name:  "AnswersStayApart",
		Text:  "Answers go to the connection that asked, whatever names and IDs others use.",
		check: checkAnswersStayApart,
	},
	{
		Name: "NoRoute",
		Text: "Where answers go by ReplyTo, a message without or to an unknown destination is refused with " +
			"ErrNoRoute and not sent.",
		direct: "what nobody waits for is kept or dropped",
		check:  checkNoRoute,
	},
	{
		Name: "DefaultDestination",
		Text: "An empty To means the destination that the connection was dialed for; every message of a client " +
			"comes with a To that the server knows.",
		check: checkDefaultDestination,
	},
}

func checkReplyAddress(r *rig) {
	client, server := r.connect(nil)
	a := ability[transport.ReplyAddresser](r, client, "client", "ReplyAddresser")
	first, err := a.ReplyAddress(r.soon())
	if err != nil || first == "" {
		r.Fatalf("ReplyAddress = %q, %v, want an address", first, err)
	}
	if again, err := a.ReplyAddress(r.soon()); again != first || err != nil {
		r.Errorf("ReplyAddress, once more = %q, %v, want %q again", again, err, first)
	}
	for i := range 3 {
		id := transport.TextID(fmt.Sprint("request ", i))
		r.send(client, &transport.Message{ReplyTo: first, ID: id, CorrelationID: id})
		ask := r.recv(server)
		if ask.ReplyTo == "" {
			r.Fatalf("the request has come without a ReplyTo")
		}
		r.send(server, &transport.Message{To: ask.ReplyTo, CorrelationID: ask.CorrelationID, Body: []byte("answer")})
		if got := r.wantText(client, "answer"); got.CorrelationID != id {
			r.Errorf("the answer has CorrelationID %v, want the request's, %v", got.CorrelationID, id)
		}
	}
}

func checkAnswersStayApart(r *rig) {
	const peers, each = 3, 20
	type end struct {
		client, server transport.Conn
		ask            *transport.Message
		in             *inbox
	}
	ends := make([]end, peers)
	for i := range ends {
		e := &ends[i]
		e.client, e.server = r.connect(nil)
		e.in = r.inbox(e.client)
		id := transport.TextID("the same everywhere")
		m := &transport.Message{ReplyTo: r.replyAddress(e.client), ID: id, CorrelationID: id}
		if !e.client.Info().Addressed {
			m.ReplyTo = "the same everywhere"
		}
		r.send(e.client, m)
		e.ask = r.recv(e.server)
	}
	for n := range each {
		for i := range ends {
			e := &ends[(i*2+n)%peers]
			body := fmt.Appendf(nil, "%d for %d", n, (i*2+n)%peers)
			r.send(e.server, &transport.Message{To: e.ask.ReplyTo, CorrelationID: e.ask.CorrelationID, Body: body})
		}
	}
	for i := range ends {
		for n := range each {
			if got, want := string(r.next(ends[i].in).Body), fmt.Sprintf("%d for %d", n, i); got != want {
				r.Fatalf("client %d got the answer %q, want %q", i, got, want)
			}
		}
		r.nothingElse(way{from: ends[i].server, to: ends[i].client, dest: ends[i].ask.ReplyTo}, ends[i].in)
	}
}

func checkNoRoute(r *rig) {
	client, server := r.connect(nil)
	if !server.Info().Addressed {
		r.skipf("answers find their way by the connection on this wire: nothing is without a route")
	}
	ways := r.ways(client, server)
	for _, to := range []string{"", "nobody.has.subscribed.this", "/queue/nobody.has.subscribed.this"} {
		err := server.Send(r.soon(), &transport.Message{To: to, Body: []byte("lost")})
		r.wantErr(fmt.Sprintf("Send to %q, which the peer has not subscribed", to), err, transport.ErrNoRoute)
	}
	r.works(ways...)
}

func checkDefaultDestination(r *rig) {
	client, server := r.connect(nil)
	r.send(client, &transport.Message{Body: []byte("1")})
	to := r.wantText(server, "1").To
	if to == "" {
		r.Fatalf("a message without a To has come without one, want the connection's destination")
	}
	r.send(client, &transport.Message{To: to, Body: []byte("2")})
	if got := r.wantText(server, "2").To; got != to {
		r.Errorf("a message to %q has come with To = %q", to, got)
	}
}
