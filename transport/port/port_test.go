package port_test

import (
	"context"
	"testing"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
	_ "github.com/polyport/polyport/transport/amqp"
	_ "github.com/polyport/polyport/transport/http"
	"github.com/polyport/polyport/transport/port"
	_ "github.com/polyport/polyport/transport/stomp"
	_ "github.com/polyport/polyport/transport/zmq"
)

// serve answers calls at a port until the test is over.
func serve(tb testing.TB, o *port.Options) (addr string) {
	tb.Helper()
	l, err := port.Listen(tb.Context(), "127.0.0.1:0", o)
	if err != nil {
		tb.Fatal(err)
	}
	methods := rpc.NewMux(nil)
	rpc.Handle(methods, "Echo", func(_ context.Context, s []string) (string, error) { return s[0], nil })
	rpc.Handle(methods, "Whoami", func(ctx context.Context, _ []string) (string, error) {
		r, _ := rpc.FromContext(ctx)
		if r.Info.TLS == nil || len(r.Info.TLS.VerifiedChains) == 0 {
			return "nobody", nil
		}
		return r.Info.TLS.PeerCertificates[0].Subject.CommonName, nil
	})
	s := rpc.NewServer(methods, nil)
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(context.Background(), l) }()
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = l.Close()
		_ = s.Shutdown(ctx)
		<-done
	})
	return l.Addr().String()
}

func TestEveryWireAtOnePort(t *testing.T) {
	o := &port.Options{}
	o.TLS = serverTLS(t)
	addr := serve(t, o)
	for _, scheme := range []string{"stomp", "amqp", "zmq", "stomps", "amqps", "zmqs"} {
		d := &transport.DialOptions{}
		d.TLS = clientTLS(t, "")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		conn, err := transport.Dial(ctx, scheme+"://"+addr, d)
		if err != nil {
			t.Errorf("%s: %v", scheme, err)
			cancel()
			continue
		}
		c := rpc.NewClient(conn, nil)
		got, err := rpc.Call[string](ctx, c, "Echo", []string{scheme})
		if err != nil || got != scheme {
			t.Errorf("%s: Echo = %q, %v", scheme, got, err)
		}
		c.Close()
		cancel()
	}
}
