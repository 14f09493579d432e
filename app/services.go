package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/broker/brokerrpc"
	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
)

// ServiceConfig gives a service a queue of its own: the methods of Task are those
// called Task.something. It can then be started and drained alone.
type ServiceConfig struct {
	// Depth is how many of its requests may wait, Workers how many may run at once.
	// Zero means those of [queue.Options].
	Depth   int `json:"depth,omitzero"`
	Workers int `json:"workers,omitzero"`
	// Elsewhere says that it does not run here from the start: its calls go to
	// whoever consumes the queue of its name at the server's broker.
	Elsewhere bool `json:"elsewhere,omitzero"`
}

func validateServices(all map[string]ServiceConfig) error {
	for name, s := range all {
		if name == "" || s.Depth < 0 || s.Workers < 0 {
			return &ConfigError{Key: "services", Err: fmt.Errorf("%q: a service needs a name, and depth and workers must not be negative", name)}
		}
	}
	return nil
}

// services are those of c as a server wants them.
func (c Config) services() map[string]rpc.ServiceOptions {
	all := make(map[string]rpc.ServiceOptions, len(c.Services))
	for name, s := range c.Services {
		all[name] = rpc.ServiceOptions{Queue: &queue.Options{Depth: s.Depth, Workers: s.Workers}, Stopped: s.Elsewhere}
	}
	return all
}

// errOperators is what those are told who are none.
var errOperators = rpc.Errorf(brokerrpc.CodeDenied, "this is for the operators of the server; see the setting broker.operators")

// operations are the methods by which a server is run.
type operations struct {
	c      BrokerConfig
	hub    *broker.Hub // nil if there is none
	server *rpc.Server // set before the first call
}

// register adds broker.send and broker.stats if there is a broker, and service.*
// if there are operators.
func (o *operations) register(m *rpc.Mux) {
	if o.hub != nil {
		brokerrpc.Register(m, o.hub)
		rpc.Handle(m, "broker.stats", o.stats)
	}
	if len(o.c.Operators) > 0 {
		rpc.Handle(m, "service.list", o.list)
		rpc.Handle(m, "service.start", o.start)
		rpc.Handle(m, "service.drain", o.drain)
	}
}

// permit refuses callers who are no operators. Of who came through a broker
// nobody knows who that is.
func (o *operations) permit(ctx context.Context) error {
	if r, ok := rpc.FromContext(ctx); ok && !r.Brokered && r.Info.User != "" && slices.Contains(o.c.Operators, r.Info.User) {
		return nil
	}
	return errOperators
}

func (o *operations) stats(ctx context.Context, _ struct{}) (broker.Stats, error) {
	if len(o.c.Operators) > 0 || len(o.c.Access) > 0 {
		if err := o.permit(ctx); err != nil {
			return broker.Stats{}, err
		}
	}
	return o.hub.Stats(), nil
}

type serviceParams struct {
	Name string `json:"name"`
}

// A serviceReport is one line of service.list.
type serviceReport struct {
	State      string `json:"state"`
	Accepted   uint64 `json:"accepted"`
	Unanswered int    `json:"unanswered"`
	Forwarded  uint64 `json:"forwarded"`
	Events     uint64 `json:"events"`
}

func (o *operations) list(ctx context.Context, _ struct{}) (map[string]serviceReport, error) {
	if err := o.permit(ctx); err != nil {
		return nil, err
	}
	all := map[string]serviceReport{}
	for name, s := range o.server.ServiceStats() {
		all[name] = serviceReport{s.State.String(), s.Accepted, s.Unanswered, s.Forwarded, s.Events}
	}
	return all, nil
}

func (o *operations) start(ctx context.Context, p serviceParams) (any, error) {
	if err := o.permit(ctx); err != nil {
		return nil, err
	}
	return nil, unknownService(p.Name, o.server.StartService(p.Name))
}

func (o *operations) drain(ctx context.Context, p serviceParams) (any, error) {
	if err := o.permit(ctx); err != nil {
		return nil, err
	}
	return nil, unknownService(p.Name, o.server.DrainService(ctx, p.Name))
}

func unknownService(name string, err error) error {
	if errors.Is(err, rpc.ErrNoService) {
		return rpc.Errorf(rpc.CodeInvalidParams, "%.100q is no service; see the setting services", name)
	}
	return err
}

// fromJSON reads what a file says as values, or the environment as JSON text, into
// a T. Unknown members are refused.
func fromJSON[T any](v any, what string) (T, error) {
	var to T
	text, ok := v.(string)
	if !ok {
		b, err := json.Marshal(v)
		if err != nil {
			return to, expected(what, v)
		}
		text = string(b)
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&to); err != nil {
		return to, fmt.Errorf("expected %s: %w", what, err)
	}
	return to, nil
}
