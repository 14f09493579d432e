package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A hubPeer is a server and the wire by which it is measured.
type hubPeer struct {
	name string
	// module is that of the server, or what else is to be said of its version.
	module string
	// server is one of hubStarts; "" is RabbitMQ, which somebody else has started.
	server string
	wire   hubWire
	how    string
}

func (p hubPeer) title() string { return p.name }

// hubYardstick is the peer that the others are compared with.
const hubYardstick = "go-stomp"

const rabbitEnv = "RABBITMQ_STOMP_URL"

func allHubPeers() []hubPeer {
	const stompModule, natsModule = "github.com/go-stomp/stomp/v3", "github.com/nats-io/nats-server/v2"
	const here = "of this repository"
	return []hubPeer{
		{
			name: "polyport-stomp", module: here, server: "polyport-stomp", wire: stompWire{},
			how: "broker.Hub, STOMP",
		},
		{
			name: "polyport-stomp-auto", module: here, server: "polyport-stomp", wire: stompWire{auto: true},
			how: "the same; what is in queues is not acknowledged, as with go-stomp",
		},
		{
			name: "polyport-serve", module: here, server: "polyport-serve", wire: stompWire{auto: true},
			how: "as polyport-stomp-auto, with the 32 MiB of heap that polyport serve --broker keeps free of garbage collection",
		},
		{
			name: "polyport-amqp", module: here, server: "polyport-amqp", wire: amqpWire{},
			how: "the same, AMQP 1.0; one disposition for all that came together",
		},
		{
			name: hubYardstick, module: stompModule, server: "go-stomp", wire: stompWire{auto: true},
			how: "server.Serve; a queue has one message under way to each consumer, and none is acknowledged",
		},
		{
			name: "nats", module: natsModule, server: "nats", wire: natsWire{},
			how: "core NATS by nats.go: a queue is a queue group, at most once, not acknowledged",
		},
		{
			name: "floor", module: here, server: "floor", wire: floorWire{stompWire{auto: true}},
			how: "no broker: bytes passed on as they come, the least that any server could do; nothing is acknowledged",
		},
		{
			name: "floor-acks", module: here, server: "floor", wire: floorWire{},
			how: "the same; consumers acknowledge, and it is thrown away",
		},
		{
			name: "RabbitMQ", module: "3.10", wire: stompWire{user: rabbitUser()},
			how: "its plug-in for STOMP; its own process, in Erlang",
		},
	}
}

// rabbitURL is where RabbitMQ listens, or nil.
func rabbitURL() *url.URL {
	u, err := url.Parse(os.Getenv(rabbitEnv))
	if err != nil || u.Host == "" {
		return nil
	}
	return u
}

func rabbitUser() *url.Userinfo {
	if u := rabbitURL(); u != nil {
		return u.User
	}
	return nil
}

// A hubLoad is one kind of work for a server.
type hubLoad struct {
	name string
	// what is the heading of its table.
	what                 string
	queue                bool
	producers, consumers int
	// slow is slowTable's, which has its own servers.
	slow bool
}

func (l hubLoad) title() string { return l.name }

func allHubLoads() []hubLoad {
	return []hubLoad{
		{name: "FanOut100", what: "one topic, 100 subscribers", producers: 1, consumers: 100},
		{name: "Queue1x1", what: "a queue, 1 producer, 1 consumer", queue: true, producers: 1, consumers: 1},
		{name: "Queue4x8", what: "a queue, 4 producers, 8 consumers", queue: true, producers: 4, consumers: 8},
		{name: "Slow", what: "a topic with a subscriber that stops reading", slow: true},
	}
}

const (
	// hubBatch messages are sent at once, and so many batches may be under way.
	hubBatch   = 32
	hubBatches = 8
	// hubPrefetch is how many messages a consumer of a queue may have that it has not
	// acknowledged.
	hubPrefetch = 128
)

// hubSizes are those of the bodies.
var hubSizes = []int{64, 1024}

// A hubPace is what a server did.
type hubPace struct {
	rate   float64 // messages delivered a second
	server float64 // processor time of the server for each, ns
	client float64 // that of all who use it
}

// benchHub measures servers beside each other and returns the tables.
func (o *options) benchHub(ctx context.Context, stderr io.Writer) (string, error) {
	peers := o.hubPeers
	if rabbitURL() == nil {
		fmt.Fprintf(stderr, "bench: RabbitMQ is NOT MEASURED: %s is not set; make bench-hub sets it\n", rabbitEnv)
		peers = without(peers, "")
	}
	r := newResults(o)
	var text strings.Builder
	fmt.Fprintf(&text, "%s, %s %s, %s, GOMAXPROCS %d, polyport %s; median of %d rounds of %v each.\n",
		r.Date.Format(time.DateOnly), r.Go, r.Platform, r.CPU, r.Procs, r.Revision, o.rounds, o.time)
	for _, load := range o.hubLoads {
		measure := o.hubTable
		if load.slow {
			measure = o.slowTable
		}
		table, err := measure(ctx, load, peers, stderr)
		if err != nil {
			return "", err
		}
		text.WriteString(table)
	}
	return text.String() + hubPeerTable(peers), nil
}

// without returns the peers but those of one server.
func without(peers []hubPeer, server string) (rest []hubPeer) {
	for _, p := range peers {
		if p.server != server {
			rest = append(rest, p)
		}
	}
	return rest
}

// hubTable has peers take turns at a load.
func (o *options) hubTable(ctx context.Context, load hubLoad, peers []hubPeer, stderr io.Writer) (string, error) {
	paces := make([][][]hubPace, len(peers)) // by peer, size and round
	for i := range paces {
		paces[i] = make([][]hubPace, len(hubSizes))
	}
	for round := range o.rounds {
		for size, bytes := range hubSizes {
			for turn := range peers {
				i := (turn + round) % len(peers)
				pace, err := o.runHub(ctx, peers[i], load, bytes)
				if err != nil {
					return "", fmt.Errorf("%s, %s, %d B: %w", peers[i].name, load.name, bytes, err)
				}
				fmt.Fprintf(stderr, "%s, %d B, %s: %.0f/s\n", load.name, bytes, peers[i].name, pace.rate)
				paces[i][size] = append(paces[i][size], pace)
			}
		}
	}
	base := -1
	for i, p := range peers {
		if p.name == hubYardstick {
			base = i
		}
	}
	var t table
	header := []string{load.what}
	for _, bytes := range hubSizes {
		size := fmt.Sprintf("%d B", bytes)
		header = append(header, size, "× "+hubYardstick, "server's processor time", "× less than "+hubYardstick+"'s", "clients'")
	}
	t.header(header...)
	for i, p := range peers {
		row := []string{p.name}
		for size := range hubSizes {
			var yardstick []hubPace
			if base >= 0 {
				yardstick = paces[base][size]
			}
			row = append(row, hubCells(paces[i][size], yardstick)...)
		}
		t.row(row...)
	}
	return t.String(), nil
}

// hubCells are those of one peer and size.
func hubCells(paces, yardstick []hubPace) []string {
	var rates, ratios, thrifts, servers, clients []float64
	for i, p := range paces {
		rates, servers, clients = append(rates, p.rate), append(servers, p.server), append(clients, p.client)
		if yardstick != nil {
			ratios, thrifts = append(ratios, p.rate/yardstick[i].rate), append(thrifts, yardstick[i].server/p.server)
		}
	}
	ratio, server, thrift := absent, absent, absent
	if ratios != nil {
		ratio = times(median(ratios))
	}
	if m := median(servers); m > 0 {
		server = brief(time.Duration(m))
		if thrifts != nil {
			thrift = times(median(thrifts))
		}
	}
	return []string{perSecond(rates), ratio, server, thrift, brief(time.Duration(median(clients)))}
}

// times is a ratio to two digits.
func times(ratio float64) string {
	if ratio >= 10 {
		return fmt.Sprintf("%.0f", ratio)
	}
	return fmt.Sprintf("%.2g", ratio)
}

func hubPeerTable(peers []hubPeer) string {
	var t table
	t.header("server", "version", "used as")
	versions := moduleVersions()
	for _, p := range peers {
		version := p.module
		if v := versions[p.module]; v != "" {
			version += " " + v
		}
		t.row(p.name, version, p.how)
	}
	return t.String()
}

// runHub measures one server at one load.
func (o *options) runHub(ctx context.Context, p hubPeer, load hubLoad, size int) (pace hubPace, err error) {
	at := hubPlace{queue: load.queue, name: "bench-" + rand.Text()}
	var used func() (time.Duration, error)
	if p.server == "" {
		at.address = rabbitURL().Host
		server, err := listener(rabbitURL().Port())
		if err != nil {
			return pace, err
		}
		used = server.cpu
	} else {
		server, err := startHub(ctx, p.server, o.cpuProfile)
		if err != nil {
			return pace, err
		}
		defer func() { err = errors.Join(err, server.Close()) }()
		at.address, used = server.address, server.cpu
	}
	body := bytes.Repeat([]byte("x"), size)
	ctx, stop := context.WithCancelCause(ctx)
	r := &hubRig{load: load, stop: stop, room: make(chan struct{}, hubBatches), each: make([]atomic.Int64, load.consumers)}
	for range hubBatches {
		r.room <- struct{}{}
	}
	defer r.all.Wait()
	defer stop(nil)
	if err := r.attach(ctx, p.wire, at, body); err != nil {
		return pace, err
	}
	sending, halt := context.WithCancel(ctx)
	defer halt()
	if err := r.produce(ctx, sending, p.wire, at, body); err != nil {
		return pace, err
	}
	if err := wait(ctx, o.time/4); err != nil {
		return pace, context.Cause(ctx)
	}
	if pace, err = r.measure(ctx, used, o.time); err != nil {
		return pace, err
	}
	halt()
	return pace, r.drain(ctx)
}

// A hubRig is a load at work. Producers send by the batch, and take room from a
// channel for each; it comes back when a batch has arrived at all who should have
// it. So no server is flooded, and all have the same under way.
type hubRig struct {
	load hubLoad
	all  sync.WaitGroup
	stop context.CancelCauseFunc
	room chan struct{}

	probes atomic.Int64 // subscribers that have seen one
	each   []atomic.Int64
	total  atomic.Int64
	late   [2 * hubBatches]atomic.Int64 // by batch, how many subscribers of a topic have it
	sent   atomic.Int64
	busy   sync.WaitGroup // producers
}

// attach starts the consumers, and returns when what is sent will reach them all.
func (r *hubRig) attach(ctx context.Context, w hubWire, at hubPlace, body []byte) error {
	var ready sync.WaitGroup
	ready.Add(r.load.consumers)
	for i := range r.load.consumers {
		r.all.Go(func() {
			once := sync.OnceFunc(ready.Done)
			defer once()
			probed := false
			err := w.consume(ctx, at, body, once, func(right, wrong int) {
				if wrong > 0 && !probed {
					probed = true
					r.probes.Add(1)
				}
				r.got(i, right)
			})
			if err != nil && ctx.Err() == nil {
				r.stop(fmt.Errorf("consumer: %w", err))
			}
		})
	}
	ready.Wait()
	if r.load.queue {
		return context.Cause(ctx)
	}
	// Not every server confirms a subscription, but all deliver when they have it.
	probe, err := w.produce(ctx, at, []byte("is anybody there?"))
	if err != nil {
		return err
	}
	defer func() { _ = probe.Close() }()
	for start := time.Now(); r.probes.Load() < int64(r.load.consumers); {
		if err := probe.send(1); err != nil {
			return err
		}
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return context.Cause(ctx)
		}
		if time.Since(start) > patience {
			return fmt.Errorf("%d of %d subscribers hear nothing", int64(r.load.consumers)-r.probes.Load(), r.load.consumers)
		}
	}
	return wait(ctx, 50*time.Millisecond)
}

// got counts what came to consumer i.
func (r *hubRig) got(i, n int) {
	after := r.total.Add(int64(n))
	if r.load.queue {
		for range after/hubBatch - (after-int64(n))/hubBatch {
			r.room <- struct{}{}
		}
		return
	}
	mine := r.each[i].Add(int64(n))
	for b := (mine - int64(n)) / hubBatch; b < mine/hubBatch; b++ {
		late := &r.late[b%int64(len(r.late))]
		if late.Add(1) == int64(r.load.consumers) {
			late.Store(0)
			r.room <- struct{}{}
		}
	}
}

// produce starts the producers, which send until sending ends.
func (r *hubRig) produce(ctx, sending context.Context, w hubWire, at hubPlace, body []byte) error {
	for range r.load.producers {
		p, err := w.produce(ctx, at, body)
		if err != nil {
			return err
		}
		r.busy.Add(1)
		r.all.Go(func() {
			defer func() { _ = p.Close() }()
			err := r.sendAll(sending, p)
			r.busy.Done()
			if err != nil {
				r.stop(fmt.Errorf("producer: %w", err))
			}
			<-ctx.Done() // what was sent may be buffered
		})
	}
	return nil
}

func (r *hubRig) sendAll(sending context.Context, p hubProducer) error {
	for {
		select {
		case <-r.room:
		case <-sending.Done():
			return nil
		}
		r.sent.Add(hubBatch)
		if err := p.send(hubBatch); err != nil {
			return err
		}
	}
}

// measure lets the load run for d; used is the server's processor time.
func (r *hubRig) measure(ctx context.Context, used func() (time.Duration, error), d time.Duration) (pace hubPace, err error) {
	usage := func() (theirs, ours time.Duration, err error) {
		if theirs, err = used(); err != nil {
			return 0, 0, err
		}
		ours, err = processorTime()
		return theirs, ours, err
	}
	theirs, ours, err := usage()
	if err != nil {
		return pace, err
	}
	before, start := r.total.Load(), time.Now()
	for { // a round in which nothing could be counted goes on
		if err := wait(ctx, d); err != nil {
			return pace, context.Cause(ctx)
		}
		if r.total.Load() > before || time.Since(start) > patience {
			break
		}
	}
	n, took := float64(r.total.Load()-before), time.Since(start)
	theirs2, ours2, err := usage()
	if err != nil {
		return pace, err
	}
	if n == 0 {
		return pace, errors.New("nothing was delivered")
	}
	return hubPace{rate: n / took.Seconds(), server: float64(theirs2-theirs) / n, client: float64(ours2-ours) / n}, nil
}

// drain waits until all that was sent has arrived, once.
func (r *hubRig) drain(ctx context.Context) error {
	r.busy.Wait()
	want := r.sent.Load()
	if !r.load.queue {
		want *= int64(r.load.consumers)
	}
	for last, since := r.total.Load(), time.Now(); last < want && time.Since(since) < patience; {
		if err := wait(ctx, 5*time.Millisecond); err != nil {
			return context.Cause(ctx)
		}
		if now := r.total.Load(); now > last {
			last, since = now, time.Now()
		}
	}
	if err := wait(ctx, 5*time.Millisecond); err != nil {
		return context.Cause(ctx)
	}
	if got := r.total.Load(); got != want {
		return fmt.Errorf("of %d messages %d were delivered", want, got)
	}
	return nil
}
