package conformance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

// redialRules are about a Redial connection over the wire.
var redialRules = []Rule{
	{
		Name: "Redial",
		Text: "Each loss makes Recv return one error that wraps ErrReconnecting; the next Recv dials, and all works " +
			"again.",
		needs: needsStream,
		check: checkRedial,
	},
	{
		Name:  "RedialSend",
		Text:  "A Send waits for the new connection, within its ctx; nothing is ever sent twice.",
		needs: needsStream,
		check: checkRedialSend,
	},
	{
		Name:  "RedialSubscriptions",
		Text:  "Redial renews its subscriptions, and new ones can be made.",
		needs: needsStream,
		check: checkRedialSubscriptions,
	},
	{
		Name:  "RedialClose",
		Text:  "Close ends a Redial connection also during an outage.",
		needs: needsStream,
		check: checkRedialClose,
	},
}

// A redialing is a Redial connection with the servers that it finds.
type redialing struct {
	conn    transport.Conn
	servers chan transport.Conn
	outage  atomic.Bool // dialing fails

	mu     sync.Mutex // protects the fields below
	stream net.Conn   // of the last server
	made   []transport.Conn
}

func (r *rig) redial() *redialing {
	r.Helper()
	d := &redialing{servers: make(chan transport.Conn, 100)}
	o := &transport.RedialOptions{First: 10 * time.Millisecond, Most: 50 * time.Millisecond}
	o.DialOptions = *r.h.options(shortLinger).Dial
	o.Dial = func(context.Context) (transport.Conn, error) {
		if d.outage.Load() {
			return nil, errors.New("nobody listens")
		}
		return d.dial(r)
	}
	var err error
	d.conn, err = transport.Redial(r.Context(), r.h.URL, o)
	if err != nil {
		r.Fatalf("Redial: %v", err)
	}
	r.Cleanup(func() {
		r.closeAll(d.conn) // or it would dial again
		r.closeAll(d.made...)
	})
	r.keepStep(d.conn)
	r.keepFeed(d.conn)
	return d
}

// dial makes a connection to a fresh server.
func (d *redialing) dial(r *rig) (transport.Conn, error) {
	p := r.h.options(shortLinger)
	p.Client, p.Server = mem.Pipe()
	d.mu.Lock()
	d.stream = p.Server
	d.mu.Unlock()
	client, server, err := r.h.pair(r, p)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.made = append(d.made, client, server)
	d.mu.Unlock()
	d.servers <- server
	return client, nil
}

// server returns the next server that was dialed.
func (d *redialing) server(r *rig) transport.Conn {
	r.Helper()
	select {
	case s := <-d.servers:
		return s
	case <-r.soon().Done():
		r.Fatalf("Redial has not dialed again")
		return nil
	}
}

// cut loses the connection.
func (d *redialing) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	reset(d.stream)
}

func checkRedial(r *rig) {
	d := r.redial()
	in := r.inbox(d.conn)
	for i := range 4 {
		server := d.server(r)
		if n := int(in.lost.Load()); n != i {
			r.Errorf("after %d losses Recv has returned ErrReconnecting %d times", i, n)
		}
		asked := r.inbox(server)
		r.send(d.conn, &transport.Message{ReplyTo: r.replyAddress(d.conn), Body: []byte("ask")})
		ask := r.nextText(asked, "ask")
		r.send(server, &transport.Message{To: ask.ReplyTo, Body: []byte("answer")})
		r.nextText(in, "answer")
		if d.conn.Info().Scheme != server.Info().Scheme {
			r.Errorf("Info().Scheme = %q, want %q", d.conn.Info().Scheme, server.Info().Scheme)
		}
		d.cut()
		_ = r.wantOver(asked)
	}
	d.server(r)
}

func checkRedialSend(r *rig) {
	const losses, each = 6, 20
	d := r.redial()
	r.inbox(d.conn)
	seen := map[string]bool{}
	note := func(m *transport.Message) {
		if seen[string(m.Body)] {
			r.Errorf("message %q has come twice", m.Body)
		}
		seen[string(m.Body)] = true
	}
	send := func(name string) {
		if err := d.conn.Send(r.soon(), &transport.Message{Body: []byte(name)}); transport.NotSent(err) {
			r.Errorf("Send with a new connection to come: %v", err)
		}
	}
	until := func(in *inbox, name string) {
		send(name)
		for !seen[name] {
			note(r.next(in))
		}
	}
	var inboxes []*inbox
	for i := range losses {
		in := r.inbox(d.server(r))
		inboxes = append(inboxes, in)
		until(in, fmt.Sprint("the start of connection ", i))
		for n := range each {
			send(fmt.Sprintf("%d of connection %d", n, i))
		}
		if i%2 == 0 { // else in the midst of sending
			until(in, fmt.Sprint("the end of connection ", i))
		}
		d.cut()
		if i%2 == 0 {
			r.quiet()
		}
		for n := range each {
			send(fmt.Sprintf("%d after connection %d", n, i))
		}
	}
	until(r.inbox(d.server(r)), "the end")
	for _, in := range inboxes {
		_ = r.wantOver(in)
		for len(in.msgs) > 0 {
			note(<-in.msgs)
		}
	}
}

func checkRedialSubscriptions(r *rig) {
	d := r.redial()
	in := r.inbox(d.conn)
	server := d.server(r)
	if _, ok := transport.As[transport.Subscriber](server); !ok {
		client, _ := r.connect(nil)
		ability[transport.Subscriber](r, client, "client", "Subscriber")
	}
	sub := ability[transport.Subscriber](r, d.conn, "client", "Subscriber")
	first, err := sub.Subscribe(r.soon(), transport.Subscription{Destination: r.topic(1)})
	if err != nil {
		r.Fatalf("Subscribe: %v", err)
	}
	gone, err := sub.Subscribe(r.soon(), transport.Subscription{Destination: r.topic(2)})
	if err != nil {
		r.Fatalf("Subscribe: %v", err)
	}
	if err := sub.Unsubscribe(r.soon(), gone); err != nil {
		r.Fatalf("Unsubscribe: %v", err)
	}
	d.cut()
	server = d.server(r)
	second, err := sub.Subscribe(r.soon(), transport.Subscription{Destination: r.topic(3)})
	if err != nil || second == first {
		r.Fatalf("Subscribe after a loss = %q, %v, want another ID than %q", second, err, first)
	}
	asked := r.inbox(server)
	r.send(d.conn, &transport.Message{Body: []byte("marker")})
	r.nextText(asked, "marker")
	for dest, id := range map[string]string{r.topic(1): first, r.topic(3): second} {
		r.send(server, &transport.Message{To: dest, Body: []byte("news")})
		if got := r.nextText(in, "news").Subscription; got != id {
			r.Errorf("after a loss a message to %s has Subscription = %q, want %q", dest, got, id)
		}
	}
	if p, ok := transport.As[transport.Publisher](server); ok {
		err := p.Publish(r.soon(), &transport.Message{To: r.topic(2)})
		r.wantErr("Publish to what was unsubscribed before the loss", err, transport.ErrNoRoute)
	}
}

func checkRedialClose(r *rig) {
	d := r.redial()
	in := r.inbox(d.conn)
	server := d.server(r)
	d.outage.Store(true)
	d.cut()
	_ = r.wantOver(r.inbox(server))
	for until := r.soon(); in.lost.Load() == 0; r.sleep(time.Millisecond) {
		if until.Err() != nil {
			r.Fatalf("Recv has not said that the connection is lost within %v", r.patience())
		}
	}
	sent := make(chan error, 1)
	r.Go(func() { sent <- d.conn.Send(context.Background(), &transport.Message{}) })
	err := d.conn.Send(r.within(200*time.Millisecond), &transport.Message{})
	r.wantErr("Send during an outage whose ctx ends", err, context.DeadlineExceeded)
	r.close(d.conn)
	r.wantClosed("Recv during an outage when Close was called", r.wantOver(in))
	select {
	case err := <-sent:
		r.wantErr("Send during an outage when Close was called", err, transport.ErrClosed)
	case <-r.soon().Done():
		r.Fatalf("Send during an outage does not return when Close is called")
	}
}
