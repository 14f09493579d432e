package app

import (
	"context"
	"sync"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// maxForwards is how many services may be reached in other processes at once.
const maxForwards = 1024

// A Forwarder finds the services that run in other processes: that of the methods
// Task.something is whoever consumes the queue /queue/Task of the broker. It is
// safe for concurrent use.
type Forwarder struct {
	hub    *broker.Hub
	access broker.Access // nil if everybody may send

	mu      sync.Mutex // protects the fields below
	clients map[string]*rpc.Client
	closed  bool
}

// NewForwarder returns what finds services by the queues of hub. A caller needs
// the right to send to the queue, by access; nil lets everybody.
func NewForwarder(hub *broker.Hub, access broker.Access) *Forwarder {
	return &Forwarder{hub: hub, access: access, clients: make(map[string]*rpc.Client)}
}

// Find returns a client of a service, as [rpc.Forwarder] has it. A service whose
// queue nobody consumes is not there, and none is there for a caller who may not
// send to it, or who came through a broker, so that nobody knows who that is.
func (f *Forwarder) Find(ctx context.Context, service string) (*rpc.Client, error) {
	d := broker.Destination{Kind: broker.Queue, Name: service}
	if !f.hub.Consumed(service) || !f.may(ctx, d) {
		return nil, transport.ErrNoRoute
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.clients[service]; c != nil {
		return c, nil
	}
	if len(f.clients) >= maxForwards {
		f.forget()
	}
	if f.closed || len(f.clients) >= maxForwards {
		return nil, transport.ErrBusy
	}
	conn, err := f.hub.Dial(ctx, d.String())
	if err != nil {
		return nil, err
	}
	c := rpc.NewClient(conn, nil)
	f.clients[service] = c
	return c, nil
}

func (f *Forwarder) may(ctx context.Context, d broker.Destination) bool {
	r, ok := rpc.FromContext(ctx)
	switch {
	case !ok:
		return false
	case f.access == nil:
		return true
	}
	return !r.Brokered && f.access.May(r.Info, broker.Send, d) == nil
}

// forget closes the clients of services that are gone. It needs mu.
func (f *Forwarder) forget() {
	for name, c := range f.clients {
		if !f.hub.Consumed(name) {
			_ = c.Close()
			delete(f.clients, name)
		}
	}
}

// Close ends all calls under way.
func (f *Forwarder) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for _, c := range f.clients {
		_ = c.Close()
	}
	clear(f.clients)
}
