package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// What a topic carries while one of its subscribers does not read.
const (
	slowReaders = 20
	slowEvery   = time.Millisecond
	slowSize    = 4096
	// slowBound is what our servers keep for a subscriber, in the hub and in the wire.
	slowBound = 256 << 10
	// slowStamp is how many digits of a message's body say when it was due.
	slowStamp = 20
	// slowReceive is the receive buffer of the one that does not read.
	slowReceive = 4096
)

// slowServers are the servers that are measured with one that does not read.
func slowServers() []string {
	return []string{"polyport-drop-oldest", "polyport-block", "polyport-disconnect", "go-stomp"}
}

// A slowRun is what came of a run.
type slowRun struct {
	alone, beside time.Duration // the 99th percentile of lateness without and with it
	usage         hubUsage      // of the server, after it
	grown         int64         // bytes of heap
	lost          int64         // messages that others did not get
}

// slowTable measures how late messages are, and how much later when one
// subscriber stops reading.
func (o *options) slowTable(ctx context.Context, load hubLoad, _ []hubPeer, stderr io.Writer) (string, error) {
	var t table
	t.header(fmt.Sprintf("%s; %d others, %d B every %v", load.what, slowReaders, slowSize, slowEvery),
		"p99 late", "p99 beside one that stops reading", "÷", "lost by others",
		"dropped for it", "it was ended", "refused to the sender", "heap grew")
	for _, server := range slowServers() {
		var alone, beside, ratios, grown []float64
		var last slowRun
		for range o.rounds {
			r, err := o.runSlow(ctx, server)
			if err != nil {
				return "", fmt.Errorf("slow subscriber, %s: %w", server, err)
			}
			alone, beside = append(alone, float64(r.alone)), append(beside, float64(r.beside))
			ratios, grown = append(ratios, float64(r.beside)/float64(r.alone)), append(grown, float64(r.grown))
			last = r
			fmt.Fprintf(stderr, "%s, %s: %v, %v\n", load.name, server, r.alone, r.beside)
		}
		effect := func(n uint64) string {
			if server == hubYardstick {
				return absent
			}
			return strconv.FormatUint(n, 10)
		}
		late, ratio := brief(time.Duration(median(beside))), fmt.Sprintf("%.2f", median(ratios))
		if median(beside) == 0 {
			late, ratio = "nothing comes", absent
		}
		t.row(server, brief(time.Duration(median(alone))), late, ratio,
			strconv.FormatInt(last.lost, 10), effect(last.usage.dropped), effect(last.usage.ended), effect(last.usage.refused),
			fmt.Sprintf("%.0f KiB", median(grown)/1024))
	}
	return t.String(), nil
}

// runSlow measures one server.
func (o *options) runSlow(ctx context.Context, name string) (run slowRun, err error) {
	server, err := startHub(ctx, name, "")
	if err != nil {
		return run, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	at := hubPlace{address: server.address, name: "bench.slow"}
	ctx, stop := context.WithCancelCause(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer stop(nil)
	lags := &lags{epoch: time.Now()}
	for range slowReaders {
		all.Go(func() {
			if err := lags.read(ctx, at); err != nil && ctx.Err() == nil {
				stop(fmt.Errorf("subscriber: %w", err))
			}
		})
	}
	if err := lags.connect(ctx, at); err != nil {
		return run, err
	}
	defer func() { _ = lags.nc.Close() }()
	if err := wait(ctx, 100*time.Millisecond); err != nil { // until all have subscribed
		return run, context.Cause(ctx)
	}
	if err := lags.publish(ctx, at, o.time/4); err != nil {
		return run, err
	}
	lags.take()
	before, err := server.usage(true)
	if err != nil {
		return run, err
	}
	if err := lags.publish(ctx, at, o.time); err != nil {
		return run, err
	}
	run.alone, _ = lags.take()
	still, err := stopReading(ctx, at)
	if err != nil {
		return run, err
	}
	defer func() { _ = still.Close() }()
	// It fills what the system has between the two, before time is taken.
	if err := lags.publish(ctx, at, 2*o.time); err != nil {
		return run, err
	}
	lags.take()
	if err := lags.publish(ctx, at, o.time); err != nil {
		return run, err
	}
	run.beside, run.lost = lags.take()
	if run.usage, err = server.usage(true); err != nil {
		return run, err
	}
	run.grown = int64(run.usage.heap) - int64(before.heap)
	return run, context.Cause(ctx)
}

// stopReading subscribes and never reads.
func stopReading(ctx context.Context, at hubPlace) (net.Conn, error) {
	nc, err := stompWire{}.connect(ctx, at.address)
	if err != nil {
		return nil, err
	}
	if tcp, ok := nc.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(slowReceive)
	}
	if _, err := fmt.Fprintf(nc, "SUBSCRIBE\nid:0\ndestination:%s\n\n\x00", at.stomp()); err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	return nc, nil
}

// lags are how late messages were when they came.
type lags struct {
	epoch time.Time
	nc    net.Conn // the publisher's
	sent  atomic.Int64

	mu  sync.Mutex
	all []time.Duration
}

// read subscribes, and notes of each message how late it is.
func (l *lags) read(ctx context.Context, at hubPlace) error {
	nc, err := stompWire{}.connect(ctx, at.address)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = nc.Close() })()
	defer func() { _ = nc.Close() }()
	if _, err := fmt.Fprintf(nc, "SUBSCRIBE\nid:0\ndestination:%s\n\n\x00", at.stomp()); err != nil {
		return err
	}
	r := bufio.NewReaderSize(nc, hubReadSize)
	for {
		f, err := r.ReadSlice(0)
		if err != nil {
			return err
		}
		_, body, _ := bytes.Cut(f, []byte("\n\n"))
		if len(body) < slowStamp {
			return fmt.Errorf("there came %q", f)
		}
		due, err := strconv.ParseInt(strings.TrimLeft(string(body[:slowStamp]), "0"), 10, 64)
		if err != nil {
			return err
		}
		late := time.Since(l.epoch) - time.Duration(due)
		l.mu.Lock()
		l.all = append(l.all, late)
		l.mu.Unlock()
	}
}

// connect makes a connection for the publisher, in the place of the one it had.
func (l *lags) connect(ctx context.Context, at hubPlace) (err error) {
	if l.nc != nil {
		_ = l.nc.Close()
	}
	l.nc, err = stompWire{}.connect(ctx, at.address)
	return err
}

// publish sends for d, and waits a little for what is under way. A message that is
// sent late counts from when it was due.
// STOMP refuses by ending the connection: then it makes another.
func (l *lags) publish(ctx context.Context, at hubPlace, d time.Duration) error {
	pad := strings.Repeat("x", slowSize-slowStamp)
	start := time.Since(l.epoch)
	for i := range int(d / slowEvery) {
		due := start + time.Duration(i)*slowEvery
		if due > time.Since(l.epoch) {
			if err := wait(ctx, due-time.Since(l.epoch)); err != nil {
				return context.Cause(ctx)
			}
		}
		_ = l.nc.SetWriteDeadline(time.Now().Add(patience))
		f := fmt.Appendf(nil, "SEND\ndestination:%s\ncontent-length:%d\n\n%0*d%s\x00", at.stomp(), slowSize, slowStamp, int64(due), pad)
		if _, err := l.nc.Write(f); err != nil {
			if err := l.connect(ctx, at); err != nil {
				return fmt.Errorf("publisher: %w", err)
			}
		}
		l.sent.Add(1)
	}
	return wait(ctx, 100*time.Millisecond)
}

// take returns the 99th percentile of what was noted, and how many messages are
// missing, and begins anew.
func (l *lags) take() (p99 time.Duration, missing int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	missing = slowReaders*l.sent.Swap(0) - int64(len(l.all))
	slices.Sort(l.all)
	if n := len(l.all); n > 0 {
		p99 = l.all[n*99/100]
	}
	l.all = l.all[:0]
	return p99, missing
}
