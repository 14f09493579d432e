package cli_test

import (
	"context"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/fx"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/cmd/polyport/internal/cli"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

func TestBench(t *testing.T) {
	url := serve(t, app.Config{})
	got := run(t, "bench", url, "--calls", "500", "--concurrency", "8", "--method", "Math.Sum", "--params", "[1,2]", "--check")
	if got.code != 0 || got.stderr != "" { // stderr is no terminal, so there is no progress
		t.Errorf("bench = %d, %q, want 0", got.code, got.stderr)
	}
	const d = `[\d.]+(µs|ms|s)`
	lines(t, "bench", got.stdout,
		`Math\.Sum at `+regexp.QuoteMeta(url)+`, 8 callers on one connection`,
		`calls +500 in [\d.]+s, [\d,]+/s`,
		`latency +min `+d+`  p50 `+d+`  p99 `+d+`  p99\.9 `+d+`  max `+d,
		`errors +none`)
}

// A report is what bench --json prints.
type report struct {
	Method      string  `json:"method"`
	Concurrency int     `json:"concurrency"`
	Calls       int64   `json:"calls"`
	Seconds     float64 `json:"seconds"`
	Rate        float64 `json:"rate"`
	Min         float64 `json:"min_us"`
	P50         float64 `json:"p50_us"`
	P99         float64 `json:"p99_us"`
	P999        float64 `json:"p99_9_us"`
	Max         float64 `json:"max_us"`
	Errors      struct {
		Answered  int64            `json:"answered"`
		Different int64            `json:"different"`
		Unknown   int64            `json:"unknown"`
		NotSent   int64            `json:"not_sent"`
		Codes     map[string]int64 `json:"codes"`
	} `json:"errors"`
}

func readReport(t *testing.T, o outcome) (r report) {
	t.Helper()
	if err := json.Unmarshal([]byte(o.stdout), &r); err != nil {
		t.Fatalf("bench prints %q and %q: %v", o.stdout, o.stderr, err)
	}
	return r
}

func TestBenchJSON(t *testing.T) {
	url := strings.Replace(serve(t, app.Config{Users: map[string]app.Secret{"ann": "hunter2"}}), "://", "://ann:hunter2@", 1)
	got := run(t, "bench", url, "--calls", "100", "--json")
	r := readReport(t, got)
	ordered := 0 < r.Min && r.Min <= r.P50 && r.P50 <= r.P99 && r.P99 <= r.P999 && r.P999 <= r.Max
	if r.Calls != 100 || r.Concurrency != 16 || r.Method != "Echo" || r.Rate <= 0 || r.Seconds <= 0 || !ordered {
		t.Errorf("bench --json = %s", got.stdout)
	}
	if strings.Contains(got.stdout, "hunter2") {
		t.Errorf("bench shows the password: %s", got.stdout)
	}
}

func TestBenchErrors(t *testing.T) {
	var calls atomic.Int64
	url := serve(t, app.Config{}, fx.Provide(app.AsMethods(func() app.Methods {
		return func(m *rpc.Mux) error {
			rpc.Handle(m, "Count", func(context.Context, json.RawMessage) (int64, error) { return calls.Add(1), nil })
			return nil
		}
	})))
	deaf := wirePeer(t, func(c transport.Conn) {
		for {
			if _, err := c.Recv(context.Background()); err != nil {
				return
			}
		}
	})
	cut := wirePeer(t, func(c transport.Conn) { _, _ = c.Recv(context.Background()) })
	tests := []struct {
		name  string
		args  []string
		code  int
		text  string
		check func(r report) bool
	}{
		{
			"answered with errors",
			[]string{url, "--calls", "20", "--method", "Nope"},
			1, "20 answered with -32601",
			func(r report) bool { return r.Errors.Answered == 20 && r.Errors.Codes["-32601"] == 20 },
		},
		{
			"results unlike the first",
			[]string{url, "--calls", "20", "--method", "Count", "--check"},
			1, "19 results unlike the first",
			func(r report) bool { return r.Errors.Different == 19 && r.Calls == 20 },
		},
		{
			"nobody looks at results",
			[]string{url, "--calls", "20", "--method", "Count"},
			0, "none",
			func(r report) bool { return r.Errors.Different == 0 },
		},
		{
			"never answered",
			[]string{deaf, "--calls", "8", "--concurrency", "8", "--timeout", "500ms"},
			3, "8 without an answer (unknown)",
			func(r report) bool { return r.Errors.Unknown == 8 },
		},
		{
			"the connection is cut",
			[]string{cut, "--calls", "9", "--concurrency", "1"},
			3, "1 without an answer (unknown)",
			func(r report) bool { return r.Errors.Unknown == 1 && r.Calls == 1 },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{"bench"}, tt.args...)
			if got := run(t, args...); got.code != tt.code || !strings.Contains(got.stdout, tt.text) {
				t.Errorf("%q = %d, %q, %q, want %d and %q", args, got.code, got.stdout, got.stderr, tt.code, tt.text)
			}
			got := run(t, append(args, "--json")...)
			if r := readReport(t, got); got.code != tt.code || !tt.check(r) {
				t.Errorf("%q --json = %d, %q, want %d", args, got.code, got.stdout, tt.code)
			}
		})
	}
}

// An interrupted measurement waits for the calls under way and prints what it
// has.
func TestBenchInterrupted(t *testing.T) {
	begun, release := make(chan struct{}, 100), make(chan struct{})
	url := serve(t, app.Config{}, fx.Provide(app.AsMethods(func() app.Methods {
		return func(m *rpc.Mux) error {
			rpc.Handle(m, "Wait", func(ctx context.Context, _ json.RawMessage) (any, error) {
				begun <- struct{}{}
				select {
				case <-release:
				case <-ctx.Done():
				}
				return nil, nil
			})
			return nil
		}
	})))
	c := begin(t, "bench", url, "--calls", "9", "--concurrency", "3", "--method", "Wait", "--json")
	for range 3 {
		<-begun
	}
	c.interrupt()
	close(release)
	got := c.end()
	if r := readReport(t, got); got.code != 0 || r.Calls != 3 || r.Errors.Unknown != 0 {
		t.Errorf("bench = %d, %s, want 0 and 3 calls", got.code, got.stdout)
	}
}

// On a terminal the progress is shown, and wiped away in the end.
func TestBenchProgress(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no pseudo-terminal here: ", err)
	}
	defer terminal.Close()
	t.Setenv("TERM", "xterm")
	url := serve(t, app.Config{})
	echo := make(chan string, 1)
	go func() {
		var seen []byte
		buf := make([]byte, 4096)
		for !strings.Contains(string(seen), "calls,") {
			n, err := terminal.Read(buf)
			if err != nil {
				break
			}
			seen = append(seen, buf[:n]...)
		}
		echo <- string(seen)
	}()
	var stdout buffer
	code := cli.Run(t.Context(), []string{"bench", url, "--calls", "4", "--concurrency", "1", "--method", "Sleep", "--params", "[100]"}, strings.NewReader(""), &stdout, terminal)
	if code != 0 {
		t.Errorf("bench = %d, %s", code, stdout.String())
	}
	if got := <-echo; !regexp.MustCompile(`\d of 4 calls, \d+/s`).MatchString(got) {
		t.Errorf("the terminal shows %q, want how many of 4 calls", got)
	}
}
