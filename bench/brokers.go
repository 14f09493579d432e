package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-stomp/stomp/v3"
	"github.com/go-stomp/stomp/v3/frame"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// echoed is the text that goes through a broker and back.
var echoed = strings.Repeat("The quick brown fox jumps over! ", 8)

// A brokerURL is a broker with user and password.
type brokerURL struct {
	name string
	url  *url.URL
	bare string // the library to compare with
	echo func(ctx context.Context, b brokerURL, acks bool, inFlight int, d time.Duration) (rate float64, err error)
}

// at is the URL of a queue.
func (b brokerURL) at(queue string) string { return b.url.JoinPath("queue", queue).String() }

// brokerURLs returns the brokers that test/with-brokers has started.
func brokerURLs() (all []brokerURL, err error) {
	for _, b := range []struct{ name, env string }{
		{"RabbitMQ 3.10", "RABBITMQ_STOMP_URL"},
		{"RabbitMQ 4.0", "RABBITMQ4_STOMP_URL"},
		{"ActiveMQ 5.17", "ACTIVEMQ_STOMP_URL"},
		{"RabbitMQ 3.10", "RABBITMQ_AMQP_URL"},
		{"RabbitMQ 4.0", "RABBITMQ4_AMQP_URL"},
	} {
		raw := os.Getenv(b.env)
		if raw == "" {
			continue
		}
		u, err := url.Parse(raw)
		if err != nil {
			return nil, err
		}
		if u.Scheme == "amqp" {
			all = append(all, brokerURL{b.name, u, "go-amqp", echoGoAMQP})
		} else {
			all = append(all, brokerURL{b.name, u, "go-stomp", echoGoStomp})
		}
	}
	if len(all) == 0 {
		return nil, errors.New("there is no broker: run it by make bench-brokers")
	}
	return all, nil
}

// benchBrokers measures the echo through each broker, polyport and the
// wire's library alone in turn, and returns the table.
func (o *options) benchBrokers(ctx context.Context, stderr io.Writer) (string, error) {
	brokers, err := brokerURLs()
	if err != nil {
		return "", err
	}
	r := newResults(o)
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s %s, %s, GOMAXPROCS %d, polyport %s; median of %d pairs of %v each.\n\n",
		r.Date.Format(time.DateOnly), r.Go, r.Platform, r.CPU, r.Procs, r.Revision, o.rounds, o.time)
	b.WriteString("| broker | acknowledged | in flight | library alone | its rate | polyport | polyport ÷ library |\n")
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, broker := range brokers {
		for _, acks := range []bool{false, true} {
			for _, inFlight := range []int{1, callers} {
				var bare, ours, ratios []float64
				for range o.rounds {
					x, err := broker.echo(ctx, broker, acks, inFlight, o.time)
					if err != nil {
						return "", fmt.Errorf("%s through %s: %w", broker.bare, broker.name, err)
					}
					y, err := echoPolyport(ctx, broker, acks, inFlight, o.time)
					if err != nil {
						return "", fmt.Errorf("polyport through %s: %w", broker.name, err)
					}
					bare, ours, ratios = append(bare, x), append(ours, y), append(ratios, y/x)
				}
				mode := map[bool]string{false: "on sending", true: "after the answer"}[acks]
				line := fmt.Sprintf("| %s | %s | %d | %s | %.0f/s | %.0f/s | %.2f |\n",
					broker.name, mode, inFlight, broker.bare, middle(bare), middle(ours), middle(ratios))
				b.WriteString(line)
				fmt.Fprint(stderr, line)
			}
		}
	}
	return b.String(), nil
}

// middle returns the median.
func middle(all []float64) float64 {
	all = slices.Clone(all)
	slices.Sort(all)
	return all[len(all)/2]
}

// A meter counts what comes back.
type meter struct {
	n     atomic.Int64
	first chan struct{} // closed when the first has
}

func newMeter() *meter { return &meter{first: make(chan struct{})} }

func (m *meter) add() {
	if m.n.Add(1) == 1 {
		close(m.first)
	}
}

// over waits for the first to come back, lets traffic run for a while, and then
// returns its rate over d.
func (m *meter) over(ctx context.Context, d time.Duration) (float64, error) {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-m.first:
	case <-late.C:
		return 0, errors.New("nothing came back")
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if err := wait(ctx, d/4); err != nil {
		return 0, err
	}
	before, start := m.n.Load(), time.Now()
	err := wait(ctx, d)
	return float64(m.n.Load()-before) / time.Since(start).Seconds(), err
}

// wait waits for d, or until ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// echoPolyport calls Echo.
func echoPolyport(ctx context.Context, b brokerURL, acks bool, inFlight int, d time.Duration) (rate float64, failed error) {
	at := b.at("bench." + rand.Text())
	conn, err := transport.Dial(ctx, at, nil)
	if err != nil {
		return 0, err
	}
	server := rpc.NewServer(polyportMux(&service{}, nil), nil)
	served := make(chan error, 1)
	go func() { served <- server.ServeConn(conn) }()
	defer func() {
		if err := <-served; err != nil && ctx.Err() == nil {
			rate, failed = 0, err
		}
	}()
	defer func() { _ = server.Shutdown(context.WithoutCancel(ctx)) }()
	var wish transport.Subscription
	if acks {
		wish.Ack, wish.Credit = transport.AckEach, 2*callers
	}
	by, _ := transport.As[transport.Subscriber](conn)
	if _, err := by.Subscribe(ctx, wish); err != nil {
		return 0, err
	}
	client, err := rpc.Dial(ctx, at, nil)
	if err != nil {
		return 0, err
	}
	m := newMeter()
	var wg sync.WaitGroup
	calling, stop := context.WithCancel(ctx)
	for range inFlight {
		wg.Go(func() {
			for calling.Err() == nil {
				got, err := rpc.Call[text](calling, client, "Echo", text{echoed})
				if err == nil && got.Text == echoed {
					m.add()
				}
			}
		})
	}
	rate, err = m.over(ctx, d)
	stop()
	wg.Wait()
	return rate, errors.Join(err, client.Close())
}

// silent is a logger for go-stomp, which by default writes to stderr.
type silent struct{}

func (silent) Debugf(string, ...any)   {}
func (silent) Infof(string, ...any)    {}
func (silent) Warningf(string, ...any) {}
func (silent) Errorf(string, ...any)   {}
func (silent) Debug(string)            {}
func (silent) Info(string)             {}
func (silent) Warning(string)          {}
func (silent) Error(string)            {}

func dialGoStomp(b brokerURL) (*stomp.Conn, error) {
	password, _ := b.url.User.Password()
	return stomp.Dial("tcp", b.url.Host, stomp.ConnOpt.Login(b.url.User.Username(), password),
		stomp.ConnOpt.Host("/"), stomp.ConnOpt.Logger(silent{}))
}

// serveGoStomp sends back what comes by queue, until the connection ends.
func serveGoStomp(server *stomp.Conn, queue string, acks bool) error {
	mode := stomp.AckAuto
	var options []func(*frame.Frame) error
	if acks {
		mode = stomp.AckClientIndividual
		credit := strconv.Itoa(2 * callers)
		options = append(options, stomp.SubscribeOpt.Header("prefetch-count", credit),
			stomp.SubscribeOpt.Header("activemq.prefetchSize", credit))
	}
	requests, err := server.Subscribe(queue, mode, options...)
	if err != nil {
		return err
	}
	// Who drains a subscription must not send by the same connection.
	todo := make(chan *stomp.Message, 1024)
	go func() {
		defer close(todo)
		for m := range requests.C {
			if m.Err != nil {
				return
			}
			todo <- m
		}
	}()
	go func() {
		for m := range todo {
			if server.Send(m.Header.Get("reply-to"), "text/plain", m.Body) != nil {
				continue // to the end of todo
			}
			if acks {
				_ = server.Ack(m)
			}
		}
	}()
	return nil
}

// echoGoStomp sends the text back and forth with the library alone: no
// envelope, no ids, no JSON. What comes back is counted, not matched.
func echoGoStomp(ctx context.Context, b brokerURL, acks bool, inFlight int, d time.Duration) (float64, error) {
	// What is left of one run in a queue would end the next: ActiveMQ answers an
	// answer to a client that has gone with ERROR, and go-stomp closes.
	queue, replies := "/queue/bench."+rand.Text(), "/temp-queue/bench"
	server, err := dialGoStomp(b)
	if err != nil {
		return 0, err
	}
	defer func() { _ = server.MustDisconnect() }()
	if err := serveGoStomp(server, queue, acks); err != nil {
		return 0, err
	}
	client, err := dialGoStomp(b)
	if err != nil {
		return 0, err
	}
	defer func() { _ = client.MustDisconnect() }()
	var asking []func(*frame.Frame) error
	if strings.HasPrefix(b.name, "RabbitMQ") { // it listens without being asked
		asking = append(asking, stomp.SubscribeOpt.Header("reply-to", replies))
	}
	answers, err := client.Subscribe(replies, stomp.AckAuto, asking...)
	if err != nil {
		return 0, err
	}
	m := newMeter()
	places := make(chan struct{}, inFlight)
	var wg sync.WaitGroup
	wg.Go(func() {
		for a := range answers.C {
			if a.Err != nil {
				return
			}
			if string(a.Body) == echoed {
				m.add()
			}
			<-places
		}
	})
	sending, stop := context.WithCancel(ctx)
	wg.Go(func() {
		for {
			select {
			case places <- struct{}{}:
			case <-sending.Done():
				return
			}
			if client.Send(queue, "text/plain", []byte(echoed), stomp.SendOpt.Header("reply-to", replies)) != nil {
				return
			}
		}
	})
	rate, err := m.over(ctx, d)
	stop()
	_ = client.MustDisconnect()
	wg.Wait()
	return rate, err
}
