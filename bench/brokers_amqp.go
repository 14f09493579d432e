package main

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	goamqp "github.com/Azure/go-amqp"
)

// goAMQPEnd is one end of the echo by go-amqp alone: where it receives and where
// it sends.
type goAMQPEnd struct {
	conn *goamqp.Conn
	in   *goamqp.Receiver
	out  *goamqp.Sender
}

// dialGoAMQP connects to a broker. What comes from the queue in is settled by the
// broker, or, if acks, by the receiver; what goes to the queue out is settled.
func dialGoAMQP(ctx context.Context, b brokerURL, in, out string, acks bool) (e *goAMQPEnd, err error) {
	password, _ := b.url.User.Password()
	e = &goAMQPEnd{}
	e.conn, err = goamqp.Dial(ctx, "amqp://"+b.url.Host, &goamqp.ConnOptions{
		SASLType: goamqp.SASLTypePlain(b.url.User.Username(), password), MaxFrameSize: 1 << 20,
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = e.conn.Close()
		}
	}()
	// A session each, as polyport has it.
	receiving, err := e.conn.NewSession(ctx, nil)
	if err != nil {
		return nil, err
	}
	o := &goamqp.ReceiverOptions{Credit: 1024, RequestedSenderSettleMode: goamqp.SenderSettleModeSettled.Ptr()}
	if acks {
		o = &goamqp.ReceiverOptions{Credit: 2 * callers, RequestedSenderSettleMode: goamqp.SenderSettleModeUnsettled.Ptr()}
	}
	if e.in, err = receiving.NewReceiver(ctx, in, o); err != nil {
		return nil, err
	}
	sending, err := e.conn.NewSession(ctx, nil)
	if err != nil {
		return nil, err
	}
	e.out, err = sending.NewSender(ctx, out, &goamqp.SenderOptions{SettlementMode: goamqp.SenderSettleModeSettled.Ptr()})
	return e, err
}

// send sends a text that is not to be kept, with what a request or an answer has
// to say of itself.
func (e *goAMQPEnd) send(ctx context.Context, text []byte, says *goamqp.MessageProperties) error {
	m := goamqp.NewMessage(text)
	m.Header, m.Properties = &goamqp.MessageHeader{}, says
	return e.out.Send(ctx, m, nil)
}

// answer sends back what came.
func (e *goAMQPEnd) answer(ctx context.Context, got *goamqp.Message) error {
	return e.send(ctx, got.GetData(), &goamqp.MessageProperties{CorrelationID: got.Properties.MessageID})
}

// echoGoAMQP is echoGoStomp by AMQP 1.0: one queue there and one back. Requests
// name the other and themselves, without which nobody could tell 64 answers apart.
func echoGoAMQP(ctx context.Context, b brokerURL, acks bool, inFlight int, d time.Duration) (float64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	requests, answers := "/queue/bench."+rand.Text(), "/queue/bench."+rand.Text()
	server, err := dialGoAMQP(ctx, b, requests, answers, acks)
	if err != nil {
		return 0, err
	}
	defer func() { _ = server.conn.Close() }()
	client, err := dialGoAMQP(ctx, b, answers, requests, false)
	if err != nil {
		return 0, err
	}
	defer func() { _ = client.conn.Close() }()
	m := newMeter()
	places := make(chan struct{}, inFlight)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			got, err := server.in.Receive(ctx, nil)
			if err != nil || server.answer(ctx, got) != nil || acks && server.in.AcceptMessage(ctx, got) != nil {
				return
			}
		}
	})
	wg.Go(func() {
		for {
			got, err := client.in.Receive(ctx, nil)
			if err != nil {
				return
			}
			if string(got.GetData()) == echoed {
				m.add()
			}
			<-places
		}
	})
	wg.Go(func() {
		for n := uint64(0); ; n++ {
			select {
			case places <- struct{}{}:
			case <-ctx.Done():
				return
			}
			if client.send(ctx, []byte(echoed), &goamqp.MessageProperties{MessageID: n, ReplyTo: &answers}) != nil {
				return
			}
		}
	})
	rate, err := m.over(ctx, d)
	cancel()
	wg.Wait()
	return rate, err
}
