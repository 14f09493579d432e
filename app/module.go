package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.uber.org/fx"
	"go.uber.org/fx/fxevent"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/rpc/intercept"
	"github.com/polyport/polyport/rpc/openrpc"
)

// Module is the whole server. It needs a [Config] and an [Output] in the
// application, and provides a [*Server], started and stopped with it.
var Module = fx.Module("app", LogModule, RPCModule, SampleModule, OVirtModule, ServerModule)

// LogModule provides the logger, and sends fx's own events there at the level
// debug.
var LogModule = fx.Module("log", fx.Provide(newLogger))

// RPCModule provides the queue, the mux with the methods of the group
// "methods", the [*broker.Hub], nil if there is none, and the [*rpc.Server].
var RPCModule = fx.Module("rpc", fx.Provide(NewMux, NewHub, NewRPC))

// SampleModule adds the sample services to the group "methods".
var SampleModule = fx.Module("sample", fx.Provide(AsMethods(SampleMethods)))

// ServerModule provides the [*Server] and ties it to the lifecycle of the
// application.
var ServerModule = fx.Module("server",
	fx.Provide(NewListenOptions, NewRedialOptions, NewServer),
	fx.Invoke(func(lc fx.Lifecycle, s *Server) { lc.Append(fx.StartStopHook(s.Start, s.Stop)) }),
)

// AsMethods adds the [Methods] that ctor makes to the group "methods".
func AsMethods(ctor any) any { return fx.Annotate(ctor, fx.ResultTags(`group:"methods"`)) }

// New returns the application with [Module], c, out and what else is given.
// Its Stop takes as long as c allows. The logger of fx is that of c.
func New(c Config, out Output, more ...fx.Option) *fx.App {
	c = c.WithDefaults()
	return fx.New(
		Module,
		fx.Supply(c, out),
		fx.StopTimeout(c.StopTimeout),
		fx.RecoverFromPanics(),
		fx.WithLogger(newEventLogger),
		fx.Options(more...),
	)
}

func newLogger(c Config, out Output) *slog.Logger { return NewLogger(c.Log, out.Log) }

// newEventLogger logs errors at the level debug, too: Start and Stop return
// them.
func newEventLogger(l *slog.Logger) fxevent.Logger {
	events := &fxevent.SlogLogger{Logger: l}
	events.UseLogLevel(slog.LevelDebug)
	events.UseErrorLevel(slog.LevelDebug)
	return events
}

// MuxParams are what [NewMux] needs.
type MuxParams struct {
	fx.In

	Methods []Methods `group:"methods"`
}

// NewMux returns a mux with all methods of p, which validates params.
func NewMux(p MuxParams) (*rpc.Mux, error) {
	m := rpc.NewMux(&rpc.MuxOptions{
		Validate: true,
		Info:     openrpc.Info{Title: "polyport", Version: "1.0.0", Description: "The methods of a polyport server."},
	})
	var errs []error
	for _, add := range p.Methods {
		errs = append(errs, add(m))
	}
	return m, errors.Join(errs...)
}

// RPCParams are what [NewRPC] needs.
type RPCParams struct {
	fx.In

	Config Config
	Log    *slog.Logger
	Mux    *rpc.Mux
	// Hub is the server's own broker, if there is one.
	Hub *broker.Hub `optional:"true"`
}

// RPCResult is what [NewRPC] makes.
type RPCResult struct {
	fx.Out

	Queue  *queue.Queue
	Server *rpc.Server
	// Forwarder finds services in other processes; nil if there is no broker.
	Forwarder *Forwarder
}

// NewRPC returns a server and the queue that runs its handlers. Both start no
// goroutine before there is work; [Server.Stop] ends them. With a broker, it adds
// the methods broker.send and broker.stats to the mux, publishes events on the
// broker's topics and finds services there; with operators, it adds service.list,
// service.start and service.drain.
func NewRPC(p RPCParams) RPCResult {
	c := p.Config.WithDefaults()
	q := queue.New(&queue.Options{Depth: c.Queue.Depth, Workers: c.Queue.Workers, Logger: p.Log})
	o := &rpc.ServerOptions{
		Queue: q, Limits: c.Limits.RPC(), Logger: p.Log, Interceptors: interceptors(p.Log), Services: c.services(),
	}
	result := RPCResult{Queue: q}
	if p.Hub != nil {
		o.Events = &rpc.EventOptions{Bus: bus{p.Hub}, May: c.Broker.maySubscribe()}
		if !c.Broker.NoForward {
			result.Forwarder = NewForwarder(p.Hub, c.Broker.access())
			o.Forward = result.Forwarder.Find
		}
	}
	run := &operations{c: c.Broker, hub: p.Hub}
	run.register(p.Mux)
	result.Server = rpc.NewServer(p.Mux, o)
	run.server = result.Server
	return result
}

// interceptors log each call where the level is debug, and cost nothing where it is
// not. Panics are logged and answered without them.
func interceptors(log *slog.Logger) []rpc.Interceptor {
	if !log.Enabled(context.Background(), slog.LevelDebug) {
		return nil
	}
	return []rpc.Interceptor{intercept.Logging(&intercept.LoggingOptions{Logger: log, Slow: time.Second})}
}
