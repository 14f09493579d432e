package amqp_test

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/polyport/polyport/transport"
	_ "github.com/polyport/polyport/transport/amqp"
)

func TestDbg(t *testing.T) {
	o := &transport.DialOptions{}
	o.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	c, err := transport.Dial(t.Context(), os.Getenv("DBG_URL")+"/dbg", o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	t.Logf("%+v", c.Info())
	s, _ := transport.As[transport.Subscriber](c)
	if _, err := s.Subscribe(t.Context(), transport.Subscription{}); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 1000, 100000, 300000, 1 << 20, 4 << 20} {
		if err := c.Send(t.Context(), &transport.Message{Body: make([]byte, n)}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		m, err := c.Recv(ctx)
		cancel()
		if err != nil {
			t.Fatal(n, err)
		}
		t.Log(n, len(m.Body))
	}
}
