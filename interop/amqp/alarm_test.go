package amqp_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/polyport/polyport/interop/broker"
	"github.com/polyport/polyport/transport"
)

// TestAlarm: a broker that is short of memory takes nothing in. Send waits,
// within its ctx, and when the broker goes on so does the connection. RabbitMQ 4
// shuts the window of the session; RabbitMQ 3 lets AMQP 1.0 go on.
func TestAlarm(t *testing.T) {
	t.Parallel()
	b := broker.Own(t, broker.RabbitMQ4)
	o := &transport.DialOptions{Options: transport.Options{SendBuffer: 16 << 10, Heartbeat: time.Second}}
	c, err := transport.Dial(t.Context(), b.AMQPURL+"/alarm", o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	in, err := transport.Dial(t.Context(), b.AMQPURL+"/alarm", o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	by, _ := transport.As[transport.Subscriber](in)
	if _, err := by.Subscribe(t.Context(), transport.Subscription{}); err != nil {
		t.Fatal(err)
	}
	sent := fill(t, c, time.Second, 1) // the link is there before the alarm
	b.Ctl("set_vm_memory_high_watermark", "absolute", "1")
	time.Sleep(time.Second) // the alarm is told to connections on its own time
	sent += fill(t, c, 3*time.Second, 100_000)
	t.Logf("%d messages were taken until Send was told to wait", sent)
	b.Ctl("set_vm_memory_high_watermark", "0.6")
	if err := c.Send(t.Context(), &transport.Message{Body: []byte(strconv.Itoa(sent))}); err != nil {
		t.Fatalf("Send after the alarm: %v", err)
	}
	for i := range sent + 1 {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		m, err := in.Recv(ctx)
		cancel()
		if err != nil {
			t.Fatalf("message %d of %d: %v", i, sent+1, err)
		}
		if got, _, _ := cut(m.Body); got != strconv.Itoa(i) {
			t.Fatalf("message %d is %.20q", i, m.Body)
		}
		_ = m.Settle(transport.Accepted)
	}
}

// fill sends at most n numbered messages, until one has to wait for longer than
// patience.
func fill(t *testing.T, c transport.Conn, patience time.Duration, n int) int {
	t.Helper()
	first := 0
	if n > 1 {
		first = 1
	}
	for i := range n {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		body := append([]byte(strconv.Itoa(first+i)+" "), make([]byte, 32<<10)...)
		err := c.Send(ctx, &transport.Message{Body: body})
		cancel()
		if errors.Is(err, transport.ErrBusy) {
			return i
		}
		if err != nil {
			t.Fatalf("Send of message %d during the alarm: %v", first+i, err)
		}
	}
	if n > 1 {
		t.Fatalf("the broker has taken %d messages in spite of the alarm", n)
	}
	return n
}

// cut is the number that a body begins with.
func cut(body []byte) (number string, rest []byte, ok bool) {
	for i, c := range body {
		if c == ' ' {
			return string(body[:i]), body[i:], true
		}
	}
	return string(body), nil, false
}
