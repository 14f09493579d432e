package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/polyport/polyport/rpc"
)

type bench struct {
	common

	URL         target `arg:"" help:"SCHEME://[USER:PASSWORD@]HOST:PORT[/DESTINATION]"`
	Calls       int    `default:"10000" help:"How many calls to measure."`
	Concurrency int    `default:"16" help:"How many callers share the connection."`
	Method      string `default:"Echo" help:"The method to call."`
	Params      string `default:"[]" help:"Its params, a JSON array or object."`
	Durable     bool   `help:"Ask a broker to keep the requests across its restart."`
	Check       bool   `help:"Compare every result with the first one."`
}

// Help is shown by bench --help.
func (*bench) Help() string {
	return `Each caller makes its next call when the last one is answered; the latencies are those of the calls that were
answered with a result. A tenth as many calls, at most 1000, come first and are not measured. --timeout is that of each
call. Ctrl-C ends the measurement and prints it.

Example:

    polyport bench stomp://127.0.0.1:7070 --calls 100000 --concurrency 64 --method Math.Sum --params '[1,2,3]' --check`
}

// Validate is called by kong.
func (v *bench) Validate() error {
	switch {
	case v.Calls < 1:
		return fmt.Errorf("--calls must be at least 1, got %d", v.Calls)
	case v.Concurrency < 1 || v.Concurrency > maxConcurrency:
		return fmt.Errorf("--concurrency must be 1 to %d, got %d", maxConcurrency, v.Concurrency)
	}
	return v.common.Validate()
}

// maxConcurrency is how many calls a server takes from one connection, by default.
const maxConcurrency = 1024

func (v *bench) run(ctx context.Context, e *environment) error {
	params, err := requestParams(v.Method, v.Params)
	if err != nil {
		return err
	}
	dialing, cancel := v.bound(ctx)
	defer cancel()
	c, err := v.dial(dialing, v.URL, &rpc.ClientOptions{Durable: v.Durable})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()

	m := newMeasurement(v, c, params)
	m.warmUp(ctx)
	stop := showProgress(e.stderr, m)
	m.run(ctx)
	stop()
	r := m.report()
	if v.JSON {
		writeJSON(e.stdout, r)
	} else {
		r.print(e.stdout)
	}
	switch {
	case r.Errors.NotSent+r.Errors.Unknown > 0 || r.Calls == 0:
		return unansweredError{outcome: m.worst(), to: v.URL, err: m.firstError(ctx)}
	case r.Errors.Answered+r.Errors.Different > 0:
		return errReported
	}
	return nil
}

// firstError is why a call was not answered.
func (m *measurement) firstError(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failed == nil {
		return context.Cause(ctx)
	}
	return m.failed
}

// worst is what is known of the calls without an answer.
func (m *measurement) worst() rpc.Outcome {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.errors.Unknown > 0 {
		return rpc.Unknown
	}
	return rpc.NotSent
}

// showProgress shows on w, if it is a terminal, how far m is, until stop is
// called.
func showProgress(w io.Writer, m *measurement) (stop func()) {
	if !isTerminal(w) {
		return func() {}
	}
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				fmt.Fprintf(w, "\r\x1b[K%s", m.progress())
			case <-done:
				fmt.Fprint(w, "\r\x1b[K")
				return
			}
		}
	}()
	return func() {
		close(done)
		<-gone
	}
}
