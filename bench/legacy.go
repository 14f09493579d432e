package main

import (
	"bytes"
	"context"
	_ "embed" // for the program in Python
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
	_ "github.com/polyport/polyport/transport/http" // http: URLs
)

// callsInPython measures the same calls by the standard library of Python.
//
//go:embed legacy.py
var callsInPython string

// A legacyCall is a call that is made by JSON-RPC and by XML-RPC.
type legacyCall struct {
	title  string
	Method string `json:"method"`
	Params []any  `json:"params"`
	Result any    `json:"result"`
	once   func(ctx context.Context, c *rpc.Client) error
}

// legacyCalls are a small call, one as of oVirt's host agent, a large text and many
// numbers.
func legacyCalls() []legacyCall {
	stats := make(map[string]any)
	for i := range 60 {
		name := fmt.Sprintf("statistic%02d", i)
		switch i % 6 {
		case 0:
			stats[name] = float64(i * 1000)
		case 1:
			stats[name] = i%4 == 1
		default:
			stats[name] = fmt.Sprintf("%d.%02d", i*37, i)
		}
	}
	numbers := make([]any, 1000)
	for i := range numbers {
		numbers[i] = float64(i) + 0.5
	}
	prose := strings.Repeat("One port for old callers & new ones. ", 16<<10/37)
	return []legacyCall{
		oneOf[float64]("Math.Sum of 3 numbers", "Math.Sum", []any{1.0, 2.0, 3.0}, 6.0),
		oneOf[map[string]any]("Host.getStats, 60 members", "Host.getStats", []any{}, stats),
		oneOf[string]("Echo of 16 KiB of text", "Text", []any{prose}, prose),
		oneOf[[]any]("Echo of 1000 numbers", "Numbers", []any{numbers}, numbers),
	}
}

// oneOf is a call whose result is an R.
func oneOf[R any](title, method string, params []any, result any) legacyCall {
	return legacyCall{title: title, Method: method, Params: params, Result: result, once: func(ctx context.Context, c *rpc.Client) error {
		got, err := rpc.Call[R](ctx, c, method, params)
		if err == nil && !reflect.DeepEqual(any(got), result) {
			err = fmt.Errorf("%s = %v", method, got)
		}
		return err
	}}
}

// legacyMux answers the calls, and Wait, which takes 5 ms.
func legacyMux(calls []legacyCall) *rpc.Mux {
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Math.Sum", func(_ context.Context, terms []float64) (sum float64, _ error) {
		for _, x := range terms {
			sum += x
		}
		return sum, nil
	})
	rpc.Handle(mux, "Host.getStats", func(context.Context, struct{}) (any, error) { return calls[1].Result, nil })
	rpc.Handle(mux, "Text", func(_ context.Context, p [1]string) (string, error) { return p[0], nil })
	rpc.Handle(mux, "Numbers", func(_ context.Context, p [1][]float64) ([]float64, error) { return p[0], nil })
	rpc.Handle(mux, "Wait", func(ctx context.Context, _ struct{}) (int, error) {
		select {
		case <-time.After(legacyWait):
		case <-ctx.Done():
		}
		return 1, ctx.Err()
	})
	return mux
}

// legacyWait is how long a call of Wait takes.
const legacyWait = 5 * time.Millisecond

// openLegacy serves the calls by a URL and dials it.
func openLegacy(ctx context.Context, rawURL string, conns int) (*polyportClient, string, error) {
	ln, err := transport.Listen(ctx, rawURL, nil)
	if err != nil {
		return nil, "", err
	}
	c := &polyportClient{}
	c.serve(ctx, ln, legacyMux(legacyCalls()))
	address := ln.Addr().String()
	c.Client, err = rpc.Dial(ctx, strings.Replace(rawURL, "127.0.0.1:0", address, 1), &rpc.ClientOptions{Conns: conns})
	if err != nil {
		return nil, "", errors.Join(err, c.closing.Close())
	}
	return c, address, nil
}

// The URLs of the wires that are compared.
const (
	legacyXML   = "http://127.0.0.1:0/RPC2?format=xmlrpc"
	legacyJSON  = "http://127.0.0.1:0/rpc"
	legacySTOMP = "stomp://127.0.0.1:0"
)

// benchLegacy measures JSON-RPC beside XML-RPC and returns the tables.
func (o *options) benchLegacy(ctx context.Context, stderr io.Writer) (string, error) {
	r := newResults(o)
	sizes, err := sizeTable(ctx)
	if err != nil {
		return "", err
	}
	inPython, version, err := o.pythonTable(ctx)
	if err != nil {
		fmt.Fprintf(stderr, "bench: Python is NOT MEASURED: %v\n", err)
		inPython = ""
	}
	costs, err := o.costTable(ctx)
	if err != nil {
		return "", err
	}
	rates, err := o.rateTable(ctx)
	return fmt.Sprintf("%s, %s %s, %s, GOMAXPROCS %d, polyport %s%s; median of %d rounds of %v each.\n%s%s%s%s",
		r.Date.Format(time.DateOnly), r.Go, r.Platform, r.CPU, r.Procs, r.Revision, version, o.rounds, o.time, sizes, inPython, costs, rates), err
}

// A recorder is a server between a client and a server of HTTP, that counts the
// bytes of bodies.
type recorder struct {
	to    string
	bytes atomic.Int64
}

func (c *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	out, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+c.to+r.URL.Path, bytes.NewReader(body))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	out.Header.Set("Content-Type", r.Header.Get("Content-Type"))
	answer, err := http.DefaultClient.Do(out)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer func() { _ = answer.Body.Close() }()
	w.Header().Set("Content-Type", answer.Header.Get("Content-Type"))
	n, _ := io.Copy(w, answer.Body)
	c.bytes.Add(int64(len(body)) + n)
}

// sizeTable counts the bytes of the bodies of requests and answers.
func sizeTable(ctx context.Context) (string, error) {
	var t table
	t.header("request and answer, bytes without the head of HTTP", "JSON-RPC", "XML-RPC", "XML ÷ JSON")
	for _, call := range legacyCalls() {
		var sizes [2]int64
		for i, rawURL := range []string{legacyJSON, legacyXML} {
			var err error
			if sizes[i], err = sizeOf(ctx, call, rawURL); err != nil {
				return "", fmt.Errorf("%s: %w", call.title, err)
			}
		}
		t.row(call.title, strconv.FormatInt(sizes[0], 10), strconv.FormatInt(sizes[1], 10), fmt.Sprintf("%.2f", float64(sizes[1])/float64(sizes[0])))
	}
	return t.String(), nil
}

func sizeOf(ctx context.Context, call legacyCall, rawURL string) (n int64, err error) {
	direct, address, err := openLegacy(ctx, rawURL, 1)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, direct.Close()) }()
	defer http.DefaultClient.CloseIdleConnections()
	ln, err := listen(ctx)
	if err != nil {
		return 0, err
	}
	between := &recorder{to: address}
	server := &http.Server{Handler: between, ReadHeaderTimeout: patience}
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(ln) })
	defer served.Wait()
	defer func() { err = errors.Join(err, server.Close()) }()
	c, err := rpc.Dial(ctx, strings.Replace(rawURL, "127.0.0.1:0", ln.Addr().String(), 1), nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }()
	err = call.once(ctx, c)
	return between.bytes.Load(), err
}

// pythonTable measures the standard library of Python, whose version it returns as
// well.
func (o *options) pythonTable(ctx context.Context) (text, version string, err error) {
	calls := legacyCalls()
	in, err := json.Marshal(map[string]any{"seconds": o.time.Seconds() / 4, "calls": calls})
	if err != nil {
		return "", "", err
	}
	out, err := exec.CommandContext(ctx, "python3", "--version").Output()
	if err != nil {
		return "", "", err
	}
	times := make([][2][]float64, len(calls))
	ratios := make([][]float64, len(calls))
	for range o.rounds {
		cmd := exec.CommandContext(ctx, "python3", "-c", callsInPython)
		cmd.Stdin = bytes.NewReader(in)
		answer, err := cmd.Output()
		if err != nil {
			return "", "", err
		}
		var got [][2]float64
		if err := json.Unmarshal(answer, &got); err != nil {
			return "", "", err
		}
		for i, both := range got {
			times[i][0], times[i][1] = append(times[i][0], both[0]), append(times[i][1], both[1])
			ratios[i] = append(ratios[i], both[1]/both[0])
		}
	}
	var t table
	t.header("to write and read request and answer, in Python", "json", "xmlrpc.client", "XML ÷ JSON")
	for i, call := range calls {
		t.row(call.title, seconds(times[i][0]), seconds(times[i][1]), fmt.Sprintf("%.1f", median(ratios[i])))
	}
	return t.String(), ", " + strings.TrimSpace(string(out)), nil
}

func seconds(times []float64) string {
	return brief(time.Duration(median(times) * float64(time.Second)))
}

// A toll is what calls took.
type toll struct{ rate, cpu, allocs float64 }

// A way is a wire with so many connections and callers.
type way struct {
	title, url     string
	conns, callers int
}

// costTable measures whole calls over HTTP, both ends.
func (o *options) costTable(ctx context.Context) (string, error) {
	var t table
	t.header("a call over HTTP, both ends in Go", "JSON-RPC, processor time", "XML-RPC, processor time", "XML ÷ JSON", "JSON-RPC, allocs", "XML-RPC, allocs")
	for _, call := range legacyCalls() {
		all, err := o.compare(ctx, call.once, []way{{url: legacyJSON, conns: 1, callers: 1}, {url: legacyXML, conns: 1, callers: 1}})
		if err != nil {
			return "", fmt.Errorf("%s: %w", call.title, err)
		}
		t.row(call.title, all[0].time(), all[1].time(), all[1].against(all[0], toll.processor), all[0].allocations(), all[1].allocations())
	}
	return t.String(), nil
}

// rateTable measures how many calls are done, one after the other and at once.
func (o *options) rateTable(ctx context.Context) (string, error) {
	ways := []way{
		{"XML-RPC over HTTP", legacyXML, 1, 1},
		{"JSON-RPC over HTTP", legacyJSON, 1, 1},
		{"JSON-RPC over STOMP", legacySTOMP, 1, 1},
		{"XML-RPC over HTTP", legacyXML, callers, callers},
		{"JSON-RPC over HTTP", legacyJSON, callers, callers},
		{"JSON-RPC over STOMP", legacySTOMP, 1, callers},
	}
	sums, err := o.compare(ctx, legacyCalls()[0].once, ways)
	if err != nil {
		return "", err
	}
	waits, err := o.compare(ctx, func(ctx context.Context, c *rpc.Client) error {
		_, err := rpc.Call[int](ctx, c, "Wait", nil)
		return err
	}, ways)
	if err != nil {
		return "", err
	}
	var t table
	t.header("calls", "connections", "in flight", "Math.Sum", "÷ the first", "processor time", "allocs", "calls of 5 ms", "÷ the first")
	for i, w := range ways {
		t.row(w.title, strconv.Itoa(w.conns), strconv.Itoa(w.callers),
			perSecond(sums[i].values(toll.perSecond)), sums[i].against(sums[0], toll.perSecond), sums[i].time(), sums[i].allocations(),
			perSecond(waits[i].values(toll.perSecond)), waits[i].against(waits[0], toll.perSecond))
	}
	return t.String(), nil
}

func (t toll) perSecond() float64 { return t.rate }
func (t toll) processor() float64 { return t.cpu }
func (t toll) memory() float64    { return t.allocs }

// tolls are those of one way, round by round.
type tolls []toll

func (all tolls) values(of func(toll) float64) []float64 {
	values := make([]float64, len(all))
	for i, t := range all {
		values[i] = of(t)
	}
	return values
}

// against is the median of the ratios of the rounds.
func (all tolls) against(others tolls, of func(toll) float64) string {
	ratios := all.values(of)
	for i := range ratios {
		ratios[i] /= of(others[i])
	}
	return fmt.Sprintf("%.2f", median(ratios))
}

func (all tolls) time() string        { return brief(time.Duration(median(all.values(toll.processor)))) }
func (all tolls) allocations() string { return fmt.Sprintf("%.0f", median(all.values(toll.memory))) }

// compare has ways take turns at a call, and returns what each took in each round.
func (o *options) compare(ctx context.Context, once func(context.Context, *rpc.Client) error, ways []way) ([]tolls, error) {
	all := make([]tolls, len(ways))
	for range o.rounds {
		for i, w := range ways {
			took, err := o.take(ctx, w.callers, once, w)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", w.url, err)
			}
			all[i] = append(all[i], took)
		}
	}
	return all, nil
}

// take measures one way for a while.
func (o *options) take(ctx context.Context, callers int, once func(context.Context, *rpc.Client) error, w way) (took toll, err error) {
	c, _, err := openLegacy(ctx, w.url, w.conns)
	if err != nil {
		return took, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if _, err := callOnce(ctx, c.Client, callers, once, o.time/4); err != nil {
		return took, err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, err := processorTime()
	if err != nil {
		return took, err
	}
	start := time.Now()
	n, err := callOnce(ctx, c.Client, callers, once, o.time)
	if err != nil {
		return took, err
	}
	elapsed := time.Since(start)
	used, err := processorTime()
	runtime.ReadMemStats(&after)
	calls := float64(n)
	return toll{calls / elapsed.Seconds(), float64(used-cpu) / calls, float64(after.Mallocs-before.Mallocs) / calls}, err
}

// callOnce has callers call for a time, and returns how many calls they made.
func callOnce(ctx context.Context, c *rpc.Client, callers int, once func(context.Context, *rpc.Client) error, d time.Duration) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var made atomic.Int64
	var all sync.WaitGroup
	end := time.Now().Add(d)
	for range callers {
		all.Go(func() {
			for first := true; first || time.Now().Before(end) && ctx.Err() == nil; first = false {
				if err := once(ctx, c); err != nil {
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
