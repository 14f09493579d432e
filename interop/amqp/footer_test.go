package amqp_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	goamqp "github.com/Azure/go-amqp"

	"github.com/polyport/polyport/interop/broker"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp"
)

// A message may have a footer whose map has a list for a key, which ends the
// process of a go-amqp that receives it (go-amqp#369). go-amqp cannot say it, so
// keyAsSaid becomes keyAsSent on its way.
var (
	keyAsSaid = []byte("\xa3\x04KKKK")
	keyAsSent = []byte("\xc0\x04\x03\x40\x40\x40")
)

// forger is a net.Conn that changes what is written.
type forger struct{ net.Conn }

func (f forger) Write(p []byte) (int, error) {
	_, err := f.Conn.Write(bytes.ReplaceAll(p, keyAsSaid, keyAsSent))
	return len(p), err
}

// witness is a net.Conn that remembers what was read.
type witness struct {
	net.Conn

	mu   sync.Mutex
	read []byte
}

func (w *witness) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.read = append(w.read, p[:n]...)
	return n, err
}

// forge sends a message with such a footer, by go-amqp. It returns the outcome.
func forge(t *testing.T, b *broker.Broker, queue string) string {
	t.Helper()
	u, _ := url.Parse(b.AMQPURL)
	nc, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(t.Context(), "tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	o := &goamqp.ConnOptions{SASLType: goamqp.SASLTypeAnonymous(), HostName: "localhost"}
	if password, ok := u.User.Password(); ok {
		o.SASLType = goamqp.SASLTypePlain(u.User.Username(), password)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := goamqp.NewConn(ctx, forger{nc}, o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	s, err := c.NewSession(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	sender, err := s.NewSender(ctx, queue, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = sender.Send(ctx, &goamqp.Message{Data: [][]byte{[]byte("forged")}, Footer: goamqp.Annotations{"KKKK": "x"}}, nil)
	if err != nil {
		return err.Error()
	}
	return "accepted"
}

// TestFooterThatEndsTheProcess shows which brokers forward such a message, and
// that whoever receives it lives, and gets the next one.
func TestFooterThatEndsTheProcess(t *testing.T) {
	t.Parallel()
	forwards := map[broker.Kind]bool{broker.RabbitMQ3: true, broker.RabbitMQ4: true, broker.Proton: false}
	broker.EachAMQP(t, func(t *testing.T, b *broker.Broker) {
		queue := "footer." + rand.Text()
		u, _ := url.Parse(b.AMQPURL + "/" + queue)
		nc, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(t.Context(), "tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		w := &witness{Conn: nc}
		c, err := amqp.Transport{}.Client(t.Context(), w, u, &transport.DialOptions{VirtualHost: "localhost"})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		by, _ := transport.As[transport.Subscriber](c)
		existing := "/amq/queue/" // whatever its durability
		if b.Kind == broker.Proton {
			existing = ""
		}
		if _, err := by.Subscribe(t.Context(), transport.Subscription{Ack: transport.AckEach}); err != nil {
			t.Fatal(err)
		}
		t.Logf("sent to the broker: %s", forge(t, b, existing+queue))
		if err := c.Send(t.Context(), &transport.Message{Body: []byte("next")}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		want := []string{"next"}
		if !forwards[b.Kind] { // but makes a message of its own
			want = []string{"forged", "next"}
		}
		for _, body := range want {
			m, err := c.Recv(ctx)
			if err != nil {
				t.Fatal(err)
			}
			_ = m.Settle(transport.Accepted)
			if string(m.Body) != body {
				t.Errorf("received %q, want %q", m.Body, body)
			}
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if got := bytes.Contains(w.read, keyAsSent); got != forwards[b.Kind] {
			t.Errorf("the broker forwards the footer: %v, want %v", got, forwards[b.Kind])
		}
	})
}
