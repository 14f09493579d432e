package conformance

import (
	"fmt"
	"strconv"

	"github.com/polyport/polyport/transport"
)

// infoRules are about what a connection says of itself.
var infoRules = []Rule{
	{
		Name:  "Info",
		Text:  "Info returns what was negotiated; it is the same for the connection's life.",
		check: checkInfo,
	},
	{
		Name:  "InfoTLS",
		Text:  "Info().TLS is the state of the TLS session, nil without TLS, and the wire works over TLS.",
		needs: needsStream,
		check: checkInfoTLS,
	},
}

func checkInfo(r *rig) {
	limits := transport.Limits{Message: 123_456, HeaderBytes: 12_345, Headers: 99, Subscriptions: 17, Unsettled: 55}
	client, server := r.connect(func(o *transport.Options) { o.Limits = limits })
	conns := []struct {
		name string
		c    transport.Conn
		was  transport.Info
	}{{"client", client, *client.Info()}, {"server", server, *server.Info()}}
	r.works(r.ways(client, server)...)
	for _, c := range conns {
		i := c.c.Info()
		if r.h.URL != "" && i.Scheme != r.h.name() {
			r.Errorf("%s: Scheme = %q, want the URL's, %q", c.name, i.Scheme, r.h.name())
		}
		if i.Local == nil || i.Remote == nil {
			r.Errorf("%s: Local = %v, Remote = %v, want the ends of the byte stream", c.name, i.Local, i.Remote)
		}
		if (r.h.Transport != nil || r.h.Broker != nil) && i.Limits != limits {
			r.Errorf("%s: Limits = %+v, want those of the options, %+v", c.name, i.Limits, limits)
		}
		if i.User != "" && r.h.Broker == nil { // a broker may want to know who it is
			r.Errorf("%s: User = %q, want nobody", c.name, i.User)
		}
		if i.TLS != nil {
			r.Errorf("%s: TLS = %v, want nil without TLS", c.name, i.TLS)
		}
		if fmt.Sprint(*i) != fmt.Sprint(c.was) {
			r.Errorf("%s: Info = %+v, before it was %+v", c.name, *i, c.was)
		}
	}
	a, b := client.Info(), server.Info()
	if a.Version != b.Version || a.Addressed != b.Addressed || a.Lockstep != b.Lockstep || a.Feed != b.Feed {
		r.Errorf("the ends do not agree on Version, Addressed, Lockstep and Feed: %+v and %+v", *a, *b)
	}
	zero, _ := r.connect(func(o *transport.Options) { o.Limits = transport.Limits{} })
	if got, want := zero.Info().Limits, new(transport.Limits).WithDefaults(); (r.h.Transport != nil || r.h.Broker != nil) && got != want {
		r.Errorf("Limits = %+v, want the defaults, %+v", got, want)
	}
}

func checkInfoTLS(r *rig) {
	o := r.h.options(nil)
	o.Client, o.Server = r.h.stream(r)
	r.secure(&o)
	client, server := r.pair(o)
	for _, c := range []struct {
		name string
		c    transport.Conn
	}{{"client", client}, {"server", server}} {
		if s := c.c.Info().TLS; s == nil || !s.HandshakeComplete {
			r.Errorf("%s: TLS = %v, want the state of the session", c.name, s)
		}
	}
	ways := r.ways(client, server)
	var inboxes []*inbox
	for _, w := range ways {
		inboxes = append(inboxes, r.inbox(w.to))
	}
	for i, w := range ways {
		for n := range 100 {
			r.send(w.from, &transport.Message{To: w.dest, Subject: strconv.Itoa(n), Body: pattern(chunk)})
		}
		r.drain(w, inboxes[i], 100)
	}
	r.send(client, &transport.Message{Body: []byte("the last words")})
	r.close(client)
	r.nextText(inboxes[0], "the last words")
	r.wantClosed("Recv", r.wantOver(inboxes[0]))
}
