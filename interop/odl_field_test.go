package interop_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
	_ "github.com/polyport/polyport/transport/http"
	_ "github.com/polyport/polyport/transport/zmq"
)

// An odlField is where polyport and the programs of testdata/odl meet. What a test
// needs of it is started when it is first asked for, and serves all its rows.
type odlField struct {
	t       *testing.T
	above   *testing.T // which all rows belong to
	ports   map[string]int
	servers map[string]*rpc.Server
	all     map[string]*odl

	mu  sync.Mutex
	ran map[string]int // how often our server executed a method
}

func newODLField(t *testing.T) *odlField {
	return &odlField{t: t, above: t, ports: map[string]int{}, servers: map[string]*rpc.Server{}, all: map[string]*odl{}, ran: map[string]int{}}
}

// in has a row use the field.
func (f *odlField) in(t *testing.T, run func(*testing.T, *odlField)) {
	f.use(t)
	defer f.use(f.above)
	f.took()
	run(t, f)
}

func (f *odlField) use(t *testing.T) {
	f.t = t
	for _, o := range f.all {
		o.t = t
	}
}

// took returns what our server has executed since the last time.
func (f *odlField) took() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	ran := f.ran
	f.ran = map[string]int{}
	return ran
}

func (f *odlField) note(method string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ran[method]++
}

// ours is the port of a server of polyport with the profile, or none.
func (f *odlField) ours(scheme string, profile transport.Profile) int {
	f.t.Helper()
	key := scheme + " " + string(profile)
	if port, ok := f.ports[key]; ok {
		return port
	}
	o := &transport.ListenOptions{}
	o.Profile = profile
	if profile != "" {
		o.Heartbeat = 100 * time.Millisecond // which an OpenDaylight must not notice
	}
	listenOn := scheme
	if scheme == "ws" {
		listenOn = "http" // whose port it is
	}
	l, err := transport.Listen(f.above.Context(), listenOn+"://127.0.0.1:0", o)
	if err != nil {
		f.t.Fatal(err)
	}
	server := rpc.NewServer(f.mux(), &rpc.ServerOptions{Events: &rpc.EventOptions{}})
	start(f.above, server, l)
	f.ports[key], f.servers[key] = portOf(l), server
	return portOf(l)
}

// server is that of ours in the profile.
func (f *odlField) server(scheme string) *rpc.Server {
	f.ours(scheme, transport.OpenDaylight)
	return f.servers[scheme+" "+string(transport.OpenDaylight)]
}

// theirs is a server or publisher among the programs.
func (f *odlField) theirs(program, role string, args ...any) *odl {
	f.t.Helper()
	key := fmt.Sprint(program, role, args)
	if f.all[key] == nil {
		f.all[key] = startODL(f.above, program, role, args...)
		f.all[key].t = f.t
	}
	return f.all[key]
}

// odlPrograms are those that stand for OpenDaylight, and their roles.
var odlPrograms = map[string]struct{ program, server, client string }{
	"zmq":  {"odl_zmq.py", "rep", "req"},
	"http": {"odl_http.py", "server", "client"},
	"ws":   {"odl_ws.py", "rep", "req"},
}

var odlSchemes = []string{"zmq", "http", "ws"}

// responder is OpenDaylight as a server.
func (f *odlField) responder(scheme string) *odl {
	f.t.Helper()
	p := odlPrograms[scheme]
	return f.theirs(p.program, p.server)
}

// requester is OpenDaylight as a client of our server in the profile.
func (f *odlField) requester(scheme string) *odl {
	f.t.Helper()
	p := odlPrograms[scheme]
	return f.theirs(p.program, p.client, f.ours(scheme, transport.OpenDaylight))
}

// strange is OpenDaylight as a client of our server without the profile.
func (f *odlField) strange(scheme string) *odl {
	f.t.Helper()
	p := odlPrograms[scheme]
	return f.theirs(p.program, p.client, f.ours(scheme, ""))
}

// each runs a row over some schemes.
func each(schemes []string, run func(t *testing.T, f *odlField, scheme string)) func(*testing.T, *odlField) {
	return func(t *testing.T, f *odlField) {
		for _, s := range schemes {
			t.Run(s, func(t *testing.T) { f.in(t, func(t *testing.T, f *odlField) { run(t, f, s) }) })
			f.use(t)
		}
	}
}

// dial is a client of ours in the profile at one of the programs.
func (f *odlField) dial(scheme string, port int) *rpc.Client {
	f.t.Helper()
	return f.dialURL(fmt.Sprintf("%s://127.0.0.1:%d?profile=odl", scheme, port))
}

func (f *odlField) dialURL(url string) *rpc.Client {
	f.t.Helper()
	o := &rpc.ClientOptions{}
	o.Transport = &transport.DialOptions{}
	o.Transport.Heartbeat = 100 * time.Millisecond
	c, err := rpc.Dial(f.t.Context(), url, o)
	if err != nil {
		f.t.Fatalf("Dial(%s) = %v", url, err)
	}
	f.t.Cleanup(func() { _ = c.Close() })
	return c
}

// mux has the methods of the specification's examples, and some that take time.
func (f *odlField) mux() *rpc.Mux {
	m := rpc.NewMux(nil)
	type none struct{}
	rpc.Handle(m, "sum", func(_ context.Context, terms []int) (sum int, _ error) {
		f.note("sum")
		for _, n := range terms {
			sum += n
		}
		return sum, nil
	})
	rpc.Handle(m, "add", func(_ context.Context, p struct {
		A int `json:"a"`
		B int `json:"b"`
	},
	) (int, error) {
		f.note("add")
		return p.A + p.B, nil
	})
	rpc.Handle(m, "subtract", func(_ context.Context, p struct {
		Minuend    int `json:"minuend"`
		Subtrahend int `json:"subtrahend"`
	},
	) (int, error) {
		f.note("subtract")
		return p.Minuend - p.Subtrahend, nil
	})
	rpc.Handle(m, "get_data", func(context.Context, none) ([]any, error) {
		f.note("get_data")
		return []any{"hello", 5}, nil
	})
	for _, name := range []string{"update", "notify_hello", "notify_sum"} {
		rpc.Handle(m, name, func(context.Context, []int) (any, error) {
			f.note(name)
			return nil, nil
		})
	}
	rpc.Handle(m, "echo", func(_ context.Context, p json.RawMessage) (json.RawMessage, error) {
		f.note("echo")
		return p, nil
	})
	rpc.Handle(m, "fail", func(context.Context, json.RawMessage) (any, error) {
		f.note("fail")
		return nil, rpc.Errorf(-32000, "oh")
	})
	rpc.Handle(m, "panic", func(context.Context, none) (any, error) {
		f.note("panic")
		panic("as expected")
	})
	type span struct {
		Ms int `json:"ms"`
	}
	wait := func(ctx context.Context, ms int) error {
		select {
		case <-time.After(time.Duration(ms) * time.Millisecond):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	rpc.Handle(m, "slow", func(ctx context.Context, s span) (string, error) {
		f.note("slow")
		return fmt.Sprintf("slept %d", s.Ms), wait(ctx, s.Ms)
	})
	rpc.Handle(m, "void", func(ctx context.Context, s span) (any, error) {
		f.note("void")
		return nil, wait(ctx, s.Ms)
	})
	m.Configure("slow", rpc.MethodOptions{Async: true})
	m.Configure("void", rpc.MethodOptions{Async: true})
	return m
}
