package main

import (
	"bytes"
	"context"
	_ "embed" // for the program beside which is measured
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// echoInC is the same exchange by libzmq.
//
//go:embed libzmq/echo.c
var echoInC string

// An exchange sends size bytes there and back for d, with so many under way,
// and tells how it went.
type exchange func(ctx context.Context, size, inFlight int, d time.Duration) (pace, error)

// A pace is how fast messages, or calls, go there and back.
type pace struct {
	rate float64       // a second
	cpu  time.Duration // of each
}

// benchZMQ measures the bare ZeroMQ wire beside libzmq, and calls through
// pools of lock-step connections, and returns the tables.
func (o *options) benchZMQ(ctx context.Context, stderr io.Writer) (string, error) {
	inC, done, err := compileEcho(ctx)
	if err != nil {
		fmt.Fprintf(stderr, "bench: libzmq is NOT MEASURED: %v; install it: apt-get install gcc libzmq3-dev\n", err)
	}
	defer done()
	r := newResults(o)
	echoes, err := o.echoTable(ctx, inC)
	if err != nil {
		return "", err
	}
	pools, err := o.poolTable(ctx)
	return fmt.Sprintf("%s, %s %s, %s, GOMAXPROCS %d, polyport %s; median of %d rounds of %v each.\n%s%s",
		r.Date.Format(time.DateOnly), r.Go, r.Platform, r.CPU, r.Procs, r.Revision, o.rounds, o.time, echoes, pools), err
}

// echoTable measures exchanges by libzmq, unless inC is nil, and by polyport.
func (o *options) echoTable(ctx context.Context, inC exchange) (string, error) {
	var t table
	t.header("echo", "in flight", "libzmq", "polyport", "polyport ÷ libzmq", "libzmq, processor time", "polyport, processor time")
	for _, size := range []int{64, 1024, 16 << 10} {
		for _, inFlight := range []int{1, callers} {
			var theirs, ours, ratios, theirCPU, ourCPU []float64
			for range o.rounds {
				p, err := echoConn(ctx, size, inFlight, o.time)
				if err != nil {
					return "", err
				}
				ours, ourCPU = append(ours, p.rate), append(ourCPU, float64(p.cpu))
				if inC == nil {
					continue
				}
				q, err := inC(ctx, size, inFlight, o.time)
				if err != nil {
					return "", err
				}
				theirs, theirCPU, ratios = append(theirs, q.rate), append(theirCPU, float64(q.cpu)), append(ratios, p.rate/q.rate)
			}
			rate, ratio, cpu := absent, absent, absent
			if inC != nil {
				rate, ratio, cpu = perSecond(theirs), fmt.Sprintf("%.2f", median(ratios)), brief(time.Duration(median(theirCPU)))
			}
			t.row(fmt.Sprintf("%d B", size), strconv.Itoa(inFlight),
				rate, perSecond(ours), ratio, cpu, brief(time.Duration(median(ourCPU))))
		}
	}
	return t.String(), nil
}

func perSecond(rates []float64) string { return fmt.Sprintf("%.0f/s", median(rates)) }

// compileEcho builds the program of libzmq; done removes it.
func compileEcho(ctx context.Context) (run exchange, done func(), err error) {
	dir, err := os.MkdirTemp("", "polyport-bench")
	if err != nil {
		return nil, func() {}, err
	}
	done = func() { _ = os.RemoveAll(dir) }
	program := filepath.Join(dir, "echo")
	gcc := exec.CommandContext(ctx, "gcc", "-O2", "-pthread", "-x", "c", "-o", program, "-", "-lzmq") //nolint:gosec // a file of ours
	gcc.Stdin = strings.NewReader(echoInC)
	if out, err := gcc.CombinedOutput(); err != nil {
		first, _, _ := bytes.Cut(out, []byte("\n"))
		return nil, done, fmt.Errorf("gcc: %w: %s", err, first)
	}
	return func(ctx context.Context, size, inFlight int, d time.Duration) (p pace, err error) {
		var complaint bytes.Buffer
		//nolint:gosec // the program was just built
		cmd := exec.CommandContext(ctx, program, strconv.Itoa(size), strconv.Itoa(inFlight), strconv.FormatInt(d.Milliseconds(), 10))
		cmd.Stderr = &complaint
		out, err := cmd.Output()
		if err == nil {
			_, err = fmt.Sscan(string(out), &p.rate, &p.cpu)
		}
		if err != nil {
			err = fmt.Errorf("echo of libzmq: %w: %s", err, &complaint)
		}
		return p, err
	}, done, nil
}

// echoConn is the exchange between two connections of the zmq wire, without
// rpc: one goroutine sends back, another sends and receives.
func echoConn(ctx context.Context, size, inFlight int, d time.Duration) (p pace, err error) {
	l, err := transport.Listen(ctx, "zmq://127.0.0.1:0", nil)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	client, err := transport.Dial(ctx, "zmq://"+l.Addr().String(), nil)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	server, err := l.Accept(ctx)
	if err != nil {
		return p, err
	}
	var wg sync.WaitGroup
	wg.Go(func() { sendBack(server) })
	defer wg.Wait()
	defer func() { err = errors.Join(err, server.Close()) }()
	gather(client)
	m := &transport.Message{Body: bytes.Repeat([]byte("x"), size)}
	for range inFlight {
		if err := client.Send(context.Background(), m); err != nil {
			return p, err
		}
	}
	if _, err := exchangeFor(client, m, d/4); err != nil {
		return p, err
	}
	cpu, err := processorTime()
	if err != nil {
		return p, err
	}
	start := time.Now()
	n, err := exchangeFor(client, m, d)
	if err != nil {
		return p, err
	}
	took := time.Since(start)
	used, err := processorTime()
	return pace{rate: float64(n) / took.Seconds(), cpu: (used - cpu) / time.Duration(n)}, err
}

// gather has what answers messages that came together leave together, as rpc
// does.
func gather(c transport.Conn) {
	if g, ok := transport.As[transport.Gatherer](c); ok {
		g.Gather()
	}
}

// sendBack sends back what comes until the connection ends.
func sendBack(c transport.Conn) {
	gather(c)
	for {
		m, err := c.Recv(context.Background())
		if err != nil {
			return
		}
		m.To = m.ReplyTo
		if c.Send(context.Background(), m) != nil {
			return
		}
	}
}

// exchangeFor goes on for a time, and returns how many came back.
func exchangeFor(c transport.Conn, m *transport.Message, d time.Duration) (n int, err error) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		for range 64 {
			got, err := c.Recv(context.Background())
			if err != nil {
				return n, err
			}
			if !bytes.Equal(got.Body, m.Body) {
				return n, errors.New("another text came back")
			}
			if err := c.Send(context.Background(), m); err != nil {
				return n, err
			}
			n++
		}
	}
	return n, nil
}

// poolTable measures calls by REQ and REP, as many at once as there are
// connections.
func (o *options) poolTable(ctx context.Context) (string, error) {
	var t table
	t.header("REQ/REP connections, callers", "calls", "a call, processor time", "a call, elapsed time")
	for _, conns := range []int{1, 8, callers, 1000} {
		var rates, cpus []float64
		for range o.rounds {
			p, err := callPool(ctx, conns, o.time)
			if err != nil {
				return "", err
			}
			rates, cpus = append(rates, p.rate), append(cpus, float64(p.cpu))
		}
		each := time.Duration(float64(conns) / median(rates) * float64(time.Second))
		t.row(strconv.Itoa(conns), perSecond(rates), brief(time.Duration(median(cpus))), brief(each))
	}
	return t.String(), nil
}

// callPool calls Math.Sum for d by as many callers as there are connections.
func callPool(ctx context.Context, conns int, d time.Duration) (p pace, err error) {
	c, err := openPolyport("zmq://127.0.0.1:0?socket=req", &rpc.ClientOptions{Conns: conns})(ctx, &service{noted: newCounter()})
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	r := &rig{client: c}
	if _, err := r.callFor(ctx, conns, d/2); err != nil { // makes the connections
		return p, err
	}
	cpu, err := processorTime()
	if err != nil {
		return p, err
	}
	start := time.Now()
	n, err := r.callFor(ctx, conns, d)
	if err != nil {
		return p, err
	}
	took := time.Since(start)
	used, err := processorTime()
	return pace{rate: float64(n) / took.Seconds(), cpu: (used - cpu) / time.Duration(n)}, err
}

// callFor has callers call for a time, each once at least, and returns how many calls they made.
func (r *rig) callFor(ctx context.Context, callers int, d time.Duration) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		made atomic.Int64
		all  sync.WaitGroup
	)
	end := time.Now().Add(d)
	for range callers {
		all.Go(func() {
			terms := make([]float64, 3)
			for i := 0; i == 0 || time.Now().Before(end) && ctx.Err() == nil; i++ {
				if err := r.sum(ctx, terms, i); err != nil {
					cancel(err)
					return
				}
				made.Add(1)
			}
		})
	}
	all.Wait()
	return made.Load(), context.Cause(ctx)
}
