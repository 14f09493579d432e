package main

import (
	"bytes"
	"context"
	"time"

	"github.com/nats-io/nats.go"
)

// natsWire is NATS by its own client, which costs more than stompWire. A queue is
// a queue group: without acknowledgement, at most once.
type natsWire struct{}

func (natsWire) consume(ctx context.Context, at hubPlace, body []byte, ready func(), got func(right, wrong int)) error {
	nc, err := nats.Connect("nats://" + at.address)
	if err != nil {
		return err
	}
	defer nc.Close()
	count := func(m *nats.Msg) {
		if bytes.Equal(m.Data, body) {
			got(1, 0)
		} else {
			got(0, 1)
		}
	}
	if at.queue {
		_, err = nc.QueueSubscribe(at.name, "bench", count)
	} else {
		_, err = nc.Subscribe(at.name, count)
	}
	if err == nil {
		err = nc.FlushTimeout(patience)
	}
	if err != nil {
		return err
	}
	ready()
	<-ctx.Done()
	return nil
}

type natsProducer struct {
	nc   *nats.Conn
	name string
	body []byte
}

func (natsWire) produce(_ context.Context, at hubPlace, body []byte) (hubProducer, error) {
	nc, err := nats.Connect("nats://"+at.address, nats.Timeout(10*time.Second))
	if err != nil {
		return nil, err
	}
	return &natsProducer{nc, at.name, body}, nil
}

func (p *natsProducer) send(n int) error {
	for range n {
		if err := p.nc.Publish(p.name, p.body); err != nil {
			return err
		}
	}
	return nil
}

func (p *natsProducer) Close() error { p.nc.Close(); return nil }
