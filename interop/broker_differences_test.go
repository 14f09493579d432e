package interop_test

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/polyport/polyport/interop/broker"
	"github.com/polyport/polyport/transport"
)

// at connects to a broker, with the URL's path as the destination.
func at(t *testing.T, url string) transport.Conn {
	t.Helper()
	c, err := transport.Dial(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// subscribe asks for the messages of c's destination.
func subscribe(t *testing.T, c transport.Conn) {
	t.Helper()
	by, _ := transport.As[transport.Subscriber](c)
	if _, err := by.Subscribe(t.Context(), transport.Subscription{}); err != nil {
		t.Fatal(err)
	}
}

// outcome is what c receives: the body of a message, "nothing", or "ended" when
// the broker has ended the connection.
func outcome(t *testing.T, c transport.Conn, patience time.Duration) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	m, err := c.Recv(ctx)
	switch {
	case err == nil:
		return string(m.Body)
	case errors.Is(err, context.DeadlineExceeded):
		return "nothing"
	}
	t.Logf("Recv: %v", err)
	return "ended"
}

// TestBrokersDiffer shows what docs/brokers.md says of brokers, as far as no
// rule does.
func TestBrokersDiffer(t *testing.T) {
	const little, patience = 500 * time.Millisecond, 10 * time.Second
	broker.Each(t, func(t *testing.T, b *broker.Broker) {
		url, name := b.URL, b.Kind
		t.Run("Expires", func(t *testing.T) {
			t.Parallel()
			want := map[broker.Kind]string{broker.RabbitMQ3: "old", broker.RabbitMQ4: "old", broker.ActiveMQ: "nothing"}
			c := at(t, url+"/queue/differences."+rand.Text())
			old := time.Now().Add(-time.Minute)
			if err := c.Send(t.Context(), &transport.Message{Expires: old, Body: []byte("old")}); err != nil {
				t.Fatal(err)
			}
			subscribe(t, c)
			if got := outcome(t, c, little); got != want[name] {
				t.Errorf("a consumer of what has expired gets %s, want %s", got, want[name])
			}
		})
		for header, want := range map[string]map[broker.Kind]string{
			"priority":            {broker.RabbitMQ3: "ended", broker.RabbitMQ4: "ended", broker.ActiveMQ: "ended"},
			"user-id":             {broker.RabbitMQ3: "ended", broker.RabbitMQ4: "ended", broker.ActiveMQ: "x"},
			"expiration":          {broker.RabbitMQ3: "ended", broker.RabbitMQ4: "ended", broker.ActiveMQ: "x"},
			"timestamp":           {broker.RabbitMQ3: "ended", broker.RabbitMQ4: "ended", broker.ActiveMQ: "ended"},
			"x-message-ttl":       {broker.RabbitMQ3: "ended", broker.RabbitMQ4: "ended", broker.ActiveMQ: "x"},
			"AMQ_SCHEDULED_DELAY": {broker.RabbitMQ3: "x", broker.RabbitMQ4: "x", broker.ActiveMQ: "ended"},
			"priorities":          {broker.RabbitMQ3: "x", broker.RabbitMQ4: "x", broker.ActiveMQ: "x"},
		} {
			t.Run("header "+header, func(t *testing.T) {
				t.Parallel()
				c := at(t, url+"/queue/differences."+rand.Text())
				subscribe(t, c)
				m := &transport.Message{Body: []byte("x"), Headers: []transport.Header{{Name: header, Value: "high"}}}
				if err := c.Send(t.Context(), m); err != nil {
					t.Fatal(err)
				}
				if got := outcome(t, c, patience); got != want[name] {
					t.Errorf("the header %s: high has the outcome %s, want %s", header, got, want[name])
				}
			})
		}
		t.Run("unknown destination", func(t *testing.T) {
			t.Parallel()
			want := map[broker.Kind]string{broker.RabbitMQ3: "ended", broker.RabbitMQ4: "ended", broker.ActiveMQ: "x"}
			c := at(t, url+"/nowhere/differences."+rand.Text())
			subscribe(t, c)
			_ = c.Send(t.Context(), &transport.Message{Body: []byte("x")}) // the connection may have ended
			if got := outcome(t, c, patience); got != want[name] {
				t.Errorf("a destination of an unknown kind has the outcome %s, want %s", got, want[name])
			}
		})
		t.Run("unknown virtual host", func(t *testing.T) {
			t.Parallel()
			c, err := transport.Dial(t.Context(), url+"/queue/differences", &transport.DialOptions{VirtualHost: "nowhere"})
			if err == nil {
				_ = c.Close()
			}
			if refused := errors.Is(err, transport.ErrRefused); refused != (name != broker.ActiveMQ) {
				t.Errorf("Dial = %v, want ErrRefused: %v", err, name != broker.ActiveMQ)
			}
		})
	})
}
