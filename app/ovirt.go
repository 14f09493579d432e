package app

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"go.uber.org/fx"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// OVirtModule adds the sample service of oVirt, if an address has the profile
// [transport.OVirt]: [OVirtMethods], and an event of its machine every 10 s.
var OVirtModule = fx.Module("ovirt",
	fx.Provide(newOVirtHost, AsMethods(sampleOVirt)),
	fx.Invoke(runOVirt),
)

// vmInterval is how often the sample tells of its machine.
const vmInterval = 10 * time.Second

// oVirt's own codes of errors are positive.
const codeNoSuchVM rpc.Code = 1

// An oVirtHost is a host as oVirt sees it, with one machine, which is up.
type oVirtHost struct {
	id, vm  string // UUIDs, fresh at each start
	started time.Time
	load    load
}

func newOVirtHost() *oVirtHost {
	return &oVirtHost{id: rpc.NewHandle(), vm: rpc.NewHandle(), started: time.Now()}
}

// OVirtMethods returns the sample service of oVirt, under the names that its engine
// knows:
//
//	Host.ping             {}                           → null, which becomes true for oVirt's programs
//	Host.getCapabilities  {}                           → what the host is
//	Host.getStats         {}                           → how it is
//	Test.echo             {"msg": m} or [m]            → m
//	Test.sleep            {"ms": n} or [n]             → n, after n milliseconds; at most an hour
//	Test.fail             {"code": c, "message": m}    → that error; without params code 1, "Virtual machine does not exist"
//
// Of what the host is and how it is, name, system, cores and memory are real, where
// they can be had without effort; it has one machine, which does not exist.
func OVirtMethods() Methods { return newOVirtHost().methods }

func sampleOVirt(c Config, h *oVirtHost) Methods {
	if !c.has(transport.OVirt) {
		return func(*rpc.Mux) error { return nil }
	}
	return h.methods
}

func (h *oVirtHost) methods(m *rpc.Mux) error {
	rpc.Handle(m, "Host.ping", func(context.Context, struct{}) (any, error) { return nil, nil })
	rpc.Handle(m, "Host.getCapabilities", func(context.Context, struct{}) (hostCapabilities, error) { return h.capabilities(), nil })
	rpc.Handle(m, "Host.getStats", func(context.Context, struct{}) (hostStats, error) { return h.stats(), nil })
	rpc.Handle(m, "Test.echo", func(_ context.Context, p testEchoParams) (json.RawMessage, error) { return p.Msg, nil })
	rpc.Handle(m, "Test.sleep", sleep)
	rpc.Handle(m, "Test.fail", testFail)
	describeOVirt(m)
	return nil
}

type testEchoParams struct {
	Msg json.RawMessage `json:"msg"`
}

type testFailParams struct {
	Code    rpc.Code `json:"code,omitempty"    jsonschema:"The code of the error."`
	Message string   `json:"message,omitempty" jsonschema:"Its message."`
}

func testFail(_ context.Context, p testFailParams) (any, error) {
	if p == (testFailParams{}) {
		return nil, &rpc.Error{Code: codeNoSuchVM, Message: "Virtual machine does not exist"}
	}
	return nil, &rpc.Error{Code: p.Code, Message: p.Message}
}

// runOVirt tells of the machine from the start of the application to its stop.
func runOVirt(lc fx.Lifecycle, c Config, h *oVirtHost, s *rpc.Server, log *slog.Logger) {
	if !c.has(transport.OVirt) {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	lc.Append(fx.StartStopHook(
		func() {
			go func() {
				defer close(done)
				h.tell(ctx, s, log)
			}()
		},
		func() { stop(); <-done },
	))
}

// A vmStatus is what an event says of a machine.
type vmStatus struct {
	Status      string `json:"status"`
	TimeOffset  string `json:"timeOffset"`
	Hash        string `json:"hash"`
	ElapsedTime string `json:"elapsedTime"`
}

// tell publishes that the machine is up, on the topic |virt|VM_status|UUID, until
// ctx ends: {"UUID":{"status":"Up",…},"notify_time":MS}. The time is that of a clock
// that starts with the host.
func (h *oVirtHost) tell(ctx context.Context, s *rpc.Server, log *slog.Logger) {
	ticker := time.NewTicker(vmInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		up := time.Since(h.started)
		status := vmStatus{Status: "Up", TimeOffset: "0", Hash: "0", ElapsedTime: seconds(up)}
		event := map[string]any{h.vm: status, "notify_time": up.Milliseconds()}
		if _, err := s.Publish(ctx, "|virt|VM_status|"+h.vm, event); err != nil && !errors.Is(err, context.Canceled) {
			log.Warn("the event of a machine cannot be published", "err", err)
		}
	}
}
