package interop_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/polyport/polyport/internal/issuer"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/port"
)

// An agent is a polyport server in the place of oVirt's host agent: one port, plain
// and TLS, where a certificate of a client's is looked at.
type agent struct {
	onePort
	server *rpc.Server
	stop   func()

	mu    sync.Mutex // protects the fields below
	flows []string
	count map[string]int // of the requests, by what they say they are
}

// startAgent starts one. Its beats are a second apart.
func startAgent(t *testing.T, change func(*port.Options)) *agent {
	t.Helper()
	return startServing(t, change, nil)
}

func startServing(t *testing.T, change func(*port.Options), so *rpc.ServerOptions) *agent {
	t.Helper()
	a := &agent{count: make(map[string]int)}
	authority, err := issuer.New("interop")
	if err != nil {
		t.Fatal(err)
	}
	server, err := authority.Issue("host", "127.0.0.1", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	o := new(port.Options)
	o.TLS = &tls.Config{Certificates: []tls.Certificate{server}, ClientCAs: authority.Pool(), ClientAuth: tls.VerifyClientCertIfGiven}
	o.Profile, o.Heartbeat = transport.OVirt, time.Second
	if change != nil {
		change(o)
	}
	l, err := port.Listen(t.Context(), "127.0.0.1:0", o)
	if err != nil {
		t.Fatal(err)
	}
	a.server = rpc.NewServer(a.methods(), so)
	a.stop = serving(t, a.server, l)
	a.number = portOf(l)
	a.write(t, authority)
	return a
}

// again starts another server at the port of one that was stopped.
func (a *agent) again(t *testing.T) {
	t.Helper()
	o := new(port.Options)
	o.Profile, o.Heartbeat = transport.OVirt, time.Second
	l, err := port.Listen(t.Context(), fmt.Sprintf("127.0.0.1:%d", a.number), o)
	if err != nil {
		t.Fatal(err)
	}
	a.server = rpc.NewServer(a.methods(), nil)
	a.stop = serving(t, a.server, l)
}

// serving serves what comes by l until the test ends or stop is called.
func serving(t *testing.T, s *rpc.Server, l *transport.Listener) (stop func()) {
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(context.Background(), l)
	}()
	stop = sync.OnceFunc(func() {
		_ = l.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.Shutdown(ctx)
		<-served
	})
	t.Cleanup(stop)
	return stop
}

// methods are those of vdsm.py.
func (a *agent) methods() *rpc.Mux {
	m := rpc.NewMux(nil)
	rpc.Handle(m, "Host.ping", func(ctx context.Context, _ struct{}) (any, error) {
		if r, ok := rpc.FromContext(ctx); ok {
			a.mu.Lock()
			defer a.mu.Unlock()
			for _, h := range r.Headers {
				if h.Name == "ovirtCorrelationId" {
					a.flows = append(a.flows, h.Value)
				}
			}
		}
		return nil, nil
	})
	rpc.Handle(m, "Test.echo", func(_ context.Context, p struct {
		Msg json.RawMessage `json:"msg"`
	},
	) (json.RawMessage, error) {
		return p.Msg, nil
	})
	rpc.Handle(m, "Test.count", func(_ context.Context, p struct {
		Name string `json:"name"`
		MS   int    `json:"ms"`
	},
	) (int, error) {
		a.mu.Lock()
		a.count[p.Name]++
		n := a.count[p.Name]
		a.mu.Unlock()
		time.Sleep(time.Duration(p.MS) * time.Millisecond)
		return n, nil
	})
	rpc.Handle(m, "Test.sleep", func(ctx context.Context, p struct {
		MS int `json:"ms"`
	},
	) (int, error) {
		select {
		case <-time.After(time.Duration(p.MS) * time.Millisecond):
			return p.MS, nil
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	})
	rpc.Handle(m, "Test.fail", func(_ context.Context, e *rpc.Error) (any, error) { return nil, e })
	return m
}

// forEach runs f plain and with TLS, with the options that a program needs to come
// by.
func (a *agent) forEach(t *testing.T, f func(t *testing.T, o options)) {
	t.Helper()
	t.Run("plain", func(t *testing.T) { f(t, a.options(false)) })
	t.Run("TLS", func(t *testing.T) { f(t, a.options(true)) })
}

func (a *agent) options(secure bool) options {
	o := options{"port": a.number}
	if secure {
		o["tls"] = options{"ca": a.ca, "cert": a.cert, "key": a.key}
	}
	return o
}

// with is o with more.
func with(o options, more options) options {
	both := maps.Clone(o)
	maps.Copy(both, more)
	return both
}

// publish publishes an event until somebody hears it.
func (a *agent) publish(t *testing.T, topic string, params any) {
	t.Helper()
	if _, err := a.server.Publish(t.Context(), topic, params); err != nil {
		t.Errorf("Publish = %v", err)
	}
}

// startVdsm starts vdsm.py, and returns its port.
func startVdsm(t *testing.T, o options) (*program, int) {
	t.Helper()
	v := startOVirt(t, "vdsm.py", o)
	return v, v.hear().Port
}

// dialVdsm calls it by our client.
func dialVdsm(t *testing.T, number int, o *rpc.ClientOptions) *rpc.Client {
	t.Helper()
	c, err := rpc.Dial(t.Context(), fmt.Sprintf("stomp://127.0.0.1:%d?profile=ovirt", number), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// check makes a call by our client, and checks what it comes to.
func check(t *testing.T, c *rpc.Client, want, method string, params any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got, err := rpc.Call[json.RawMessage](ctx, c, method, params)
	text := string(got)
	if e, ok := errors.AsType[*rpc.Error](err); ok {
		text = fmt.Sprintf("error %d", e.Code)
	} else if err != nil {
		text = err.Error()
	}
	if text != want {
		t.Errorf("%s came to %s, want %s", method, text, want)
	}
}
