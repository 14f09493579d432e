package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// natsPeers are github.com/nats-io/nats.go with a broker in this process, so
// that every message crosses TCP twice.
func natsPeers() []peer {
	return []peer{{
		name: "nats", module: "github.com/nats-io/nats.go", open: openNATS,
		how: "Request and Respond with encoding/json, through an embedded nats-server: each message crosses TCP twice; no batches",
	}}
}

func openNATS(_ context.Context, s *service) (client, error) {
	const room = 8 << 20 // for Echo1MiB, which the default refuses
	broker, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, MaxPayload: room,
	})
	if err != nil {
		return nil, err
	}
	c := &natsClient{}
	broker.Start()
	c.add(func() error { broker.Shutdown(); broker.WaitForShutdown(); return nil })
	if !broker.ReadyForConnections(10 * time.Second) {
		return nil, errors.Join(errors.New("nats-server does not start"), c.Close())
	}
	far, err := nats.Connect(broker.ClientURL())
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	c.add(func() error { far.Close(); return nil })
	if err := serveNATS(far, s); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	c.nc, err = nats.Connect(broker.ClientURL())
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	c.add(func() error { c.nc.Close(); return nil })
	return c, nil
}

// serveNATS subscribes the methods.
func serveNATS(nc *nats.Conn, s *service) error {
	respond := func(m *nats.Msg, result any, err error) {
		if err == nil {
			var body []byte
			if body, err = json.Marshal(result); err == nil {
				err = m.Respond(body)
			}
		}
		if err != nil {
			_ = m.Respond(fmt.Appendf(nil, "%q", err)) // no number and no object: the caller will fail
		}
	}
	_, err1 := nc.Subscribe("sum", func(m *nats.Msg) {
		var terms []float64
		err := json.Unmarshal(m.Data, &terms)
		respond(m, s.Sum(terms), err)
	})
	_, err2 := nc.Subscribe("echo", func(m *nats.Msg) {
		var t text
		err := json.Unmarshal(m.Data, &t)
		respond(m, s.Echo(t), err)
	})
	_, err3 := nc.Subscribe("note", func(m *nats.Msg) {
		var terms []float64
		if json.Unmarshal(m.Data, &terms) == nil {
			s.Note(terms)
		}
	})
	return errors.Join(err1, err2, err3, nc.Flush())
}

type natsClient struct {
	closers
	nc *nats.Conn
}

func (c *natsClient) call(ctx context.Context, subject string, params, result any) error {
	body, err := json.Marshal(params)
	if err != nil {
		return err
	}
	answer, err := c.nc.RequestWithContext(ctx, subject, body)
	if err != nil {
		return err
	}
	return json.Unmarshal(answer.Data, result)
}

// Sum is a request.
func (c *natsClient) Sum(ctx context.Context, terms []float64) (sum float64, err error) {
	err = c.call(ctx, "sum", terms, &sum)
	return sum, err
}

// Echo is a request.
func (c *natsClient) Echo(ctx context.Context, t text) (result text, err error) {
	err = c.call(ctx, "echo", t, &result)
	return result, err
}

// Note publishes.
func (c *natsClient) Note(_ context.Context, terms []float64) error {
	body, err := json.Marshal(terms)
	if err != nil {
		return err
	}
	return c.nc.Publish("note", body)
}
