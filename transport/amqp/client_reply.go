package amqp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goamqp "github.com/Azure/go-amqp"

	"github.com/polyport/polyport/transport"
)

// replies is the address for answers to a connection, once somebody has asked.
type replies struct {
	sync.Mutex // held while the address is being got

	address atomic.Pointer[string]
}

// answersTo is the address for answers, or "".
func (c *clientConn) answersTo() string {
	if a := c.replies.address.Load(); a != nil {
		return *a
	}
	return ""
}

// ReplyAddress gets this connection an address for answers in the best way that
// the peer has: a queue that goes with the connection, one that it names itself,
// or else one named by us.
func (c *clientConn) ReplyAddress(ctx context.Context) (string, error) {
	if err := c.over(); err != nil {
		return "", c.opError("subscribe", err)
	}
	if address := c.answersTo(); address != "" {
		return address, nil
	}
	c.replies.Lock()
	defer c.replies.Unlock()
	if address := c.answersTo(); address != "" {
		return address, nil
	}
	in := c.newInlet(transport.Subscription{})
	in.credit = windowForAnswers
	in.answers = true
	var address string
	in.open = func(ctx context.Context, in *inlet) (err error) {
		address, err = c.openReplies(ctx, in)
		return err
	}
	if err := in.attach(ctx); err != nil {
		in.stop()
		return "", c.opError("subscribe", err)
	}
	c.replies.address.Store(&address)
	c.start(in)
	return address, nil
}

// openReplies tries the ways one after the other.
func (c *clientConn) openReplies(ctx context.Context, in *inlet) (string, error) {
	name := "polyport.reply." + rand.Text()
	if c.peer.managed {
		if address, err := c.declare(ctx, name); err == nil {
			return address, in.receive(ctx, address, goamqp.ReceiverOptions{})
		}
	}
	if c.peer.rabbit > 0 {
		address := directPrefix + name
		return address, in.receive(ctx, address, goamqp.ReceiverOptions{})
	}
	err := in.receive(ctx, "", goamqp.ReceiverOptions{DynamicAddress: true})
	if err == nil && in.link.Address() != "" {
		return in.link.Address(), nil
	}
	if c.ctx.Err() != nil || ctx.Err() != nil {
		return "", err
	}
	if err == nil {
		in.detach(ctx)
	}
	return name, in.receive(ctx, name, goamqp.ReceiverOptions{})
}

// declare makes a queue that goes with the connection, by a pair of links to
// RabbitMQ's management node, and returns its address.
func (c *clientConn) declare(ctx context.Context, name string) (string, error) {
	var err error
	for try := range 3 {
		if err = c.request(ctx, "PUT", "/queues/"+name, map[string]any{
			"durable": false, "exclusive": true, "auto_delete": false, "arguments": map[string]any{},
		}); err == nil {
			return "/queues/" + name, nil
		}
		if _, ended := errors.AsType[*goamqp.SessionError](err); !ended {
			break
		}
		pause(ctx, time.Duration(try+1)*10*time.Millisecond) // the credit for the answer came too late
	}
	return "", err
}

// request makes a management request.
func (c *clientConn) request(ctx context.Context, method, to string, body any) error {
	s, err := c.ownSeat(ctx)
	if err != nil {
		return err
	}
	defer c.leaveSoon(s)
	const node = "/management"
	name := rand.Text()
	paired := map[string]any{"paired": true}
	send, err := s.NewSender(ctx, node, &goamqp.SenderOptions{
		Name: name, SourceAddress: node, Properties: paired,
		SettlementMode: goamqp.SenderSettleModeSettled.Ptr(), RequestedReceiverSettleMode: goamqp.ReceiverSettleModeFirst.Ptr(),
	})
	if err != nil {
		return err
	}
	flows := c.guard.flows.Load()
	c.guard.granted.Add(1)
	receive, err := s.NewReceiver(ctx, node, &goamqp.ReceiverOptions{
		Name: name, TargetAddress: node, Properties: paired, Credit: 1,
		RequestedSenderSettleMode: goamqp.SenderSettleModeSettled.Ptr(), SettlementMode: goamqp.ReceiverSettleModeFirst.Ptr(),
	})
	if err != nil {
		return err
	}
	for range 100 { // go-amqp does not tell when the credit has left
		if c.guard.flows.Load() > flows {
			break
		}
		pause(ctx, time.Millisecond)
	}
	id, me := "1", "$me"
	err = send.Send(ctx, &goamqp.Message{
		Properties: &goamqp.MessageProperties{MessageID: id, To: &to, Subject: &method, ReplyTo: &me}, Value: body,
	}, nil)
	if err != nil {
		return err
	}
	raw, err := receive.Receive(ctx, nil)
	if err != nil {
		return err
	}
	c.guard.taken.Add(1)
	m, err := c.decodeStatus(raw)
	if err != nil || !strings.HasPrefix(m, "2") {
		return transport.WithReason(transport.ErrRefused, fmt.Sprintf("%s %s: status %.10q", method, to, m))
	}
	return nil
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// decodeStatus returns the status of a management response, its subject. The
// body is of no interest.
func (c *clientConn) decodeStatus(raw *goamqp.Message) (string, error) {
	for _, b := range raw.Data {
		for len(b) > 0 {
			code, value, rest, err := section(b)
			if err != nil {
				return "", err
			}
			if code == sectionProperties {
				d := new(decoded)
				err := d.properties(value)
				return d.Subject, err
			}
			b = rest
		}
	}
	return "", damaged("a response without properties")
}
