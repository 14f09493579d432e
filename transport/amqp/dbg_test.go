package amqp_test

import (
	"context"
	"crypto/rand"
	"fmt"
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
	url := os.Getenv("DBG_URL") + "/dbg" + rand.Text()
	c, err := transport.Dial(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	t.Logf("%+v", c.Info())
	s, _ := transport.As[transport.Subscriber](c)
	if _, err := s.Subscribe(t.Context(), transport.Subscription{}); err != nil {
		t.Fatal(err)
	}
	d, err := transport.Dial(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		if err := d.Send(t.Context(), &transport.Message{Body: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	d.Close()
	t.Log(time.Since(start))
	for i := range 500 {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		m, err := c.Recv(ctx)
		cancel()
		if err != nil {
			t.Fatal(i, err)
		}
		_ = m.Settle(transport.Accepted)
		if i%50 == 0 {
			t.Log(i, time.Since(start))
		}
	}
}
