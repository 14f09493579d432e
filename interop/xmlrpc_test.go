package interop_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/http"
)

// needPython ends the test if there is no Python with its standard library.
func needPython(t *testing.T) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import xmlrpc.client, xmlrpc.server").CombinedOutput(); err != nil {
		why := fmt.Sprintf("Python's xmlrpc is not there (%s -c 'import xmlrpc.client': %v) %s", python, err, lastLine(out))
		missing(t, strings.TrimSpace(why), "apt-get install python3")
	}
}

// counted counts what it accepts.
type counted struct {
	net.Listener
	accepted atomic.Int32
}

func (c *counted) Accept() (net.Conn, error) {
	nc, err := c.Listener.Accept()
	if err == nil {
		c.accepted.Add(1)
	}
	return nc, err
}

// serveHTTP serves mux over HTTP until the test ends.
func serveHTTP(t *testing.T, mux *rpc.Mux) (port int, connections *counted) {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	connections = &counted{Listener: ln}
	l := transport.NewListener(connections, http.Transport{}, nil)
	start(t, rpc.NewServer(mux, nil), l)
	return portOf(l), connections
}

// handleLegacy adds what testdata/xmlrpc_client.py calls besides Enter.
func handleLegacy(mux *rpc.Mux) {
	rpc.Handle(mux, "Math.Sum", func(_ context.Context, terms []float64) (sum float64, _ error) {
		for _, x := range terms {
			sum += x
		}
		return sum, nil
	})
	rpc.Handle(mux, "Echo", func(_ context.Context, p json.RawMessage) (json.RawMessage, error) { return p, nil })
	rpc.Handle(mux, "Fail", func(context.Context, any) (any, error) {
		return nil, &rpc.Error{Code: 42, Message: "no <way>", Data: json.RawMessage(`{"a":1}`)}
	})
	rpc.Handle(mux, "Typed", func(_ context.Context, p struct {
		Bytes []byte
		Time  time.Time
	},
	) (any, error) {
		return map[string]any{
			"bytes": map[string]any{"$base64": p.Bytes}, "time": map[string]any{"$dateTime": p.Time}, "large": 1 << 40,
		}, nil
	})
}

// TestPythonCallsXMLRPC: Python's xmlrpc.client calls our server: values of every
// type, faults, multicall, and thousands of calls on one connection.
func TestPythonCallsXMLRPC(t *testing.T) {
	t.Parallel()
	needPython(t)
	y := make(tally, 2*volume())
	mux := y.mux()
	handleLegacy(mux)
	port, connections := serveHTTP(t, mux)
	for _, path := range []string{"", "/RPC2"} {
		calls := len(y)
		if path == "" {
			calls = 1
		}
		s := startScript(t, "xmlrpc_client.py", options{"url": fmt.Sprintf("http://127.0.0.1:%d%s", port, path), "calls": calls})
		done := s.await("done", 5*patience)
		for _, w := range done.Wrong {
			t.Error(w)
		}
		if done.Answered != calls {
			t.Errorf("%d of %d calls were answered", done.Answered, calls)
		}
		if calls > 1 {
			t.Logf("%d calls, %.0f a second", calls, float64(calls)/done.Seconds)
		}
	}
	y[0].Add(-1) // it was called by both
	y.check(t)
	if n := connections.accepted.Load(); n != 2 {
		t.Errorf("%d connections, want one for each client", n)
	}
}

// TestCallPythonXMLRPC: our client calls Python's xmlrpc.server, which closes a
// connection after each answer, or keeps it.
func TestCallPythonXMLRPC(t *testing.T) {
	t.Parallel()
	needPython(t)
	for _, protocol := range []string{"HTTP/1.0", "HTTP/1.1"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			b, n := newBook(t), lessVolume()
			_, port := listen(t, "xmlrpc_server.py", options{"protocol": protocol, "ledger": b})
			client, err := rpc.Dial(t.Context(), fmt.Sprintf("http://127.0.0.1:%d/RPC2?format=xmlrpc", port), &rpc.ClientOptions{Conns: 8})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = client.Close() }()
			rate := enterAll(t, client, n)
			b.read(t, n).check(t)
			t.Logf("%d calls, %.0f a second", n, rate)
			judgeTypes(t, client)
			judgeFaults(t, client)
			judgeFutures(t, client)
		})
	}
}

// judgeTypes calls with, and for, values of every type.
func judgeTypes(t *testing.T, c *rpc.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	type types struct {
		Int    int            `json:"int"`
		Double float64        `json:"double"`
		Large  float64        `json:"large"`
		String string         `json:"string"`
		Bool   bool           `json:"bool"`
		Nil    *int           `json:"nil"`
		Bytes  []byte         `json:"bytes"`
		Time   time.Time      `json:"time"`
		Array  []any          `json:"array"`
		Struct map[string]any `json:"struct"`
	}
	want := types{
		Int: -42, Double: 6, Large: 1e300, String: " é <&> \n", Bool: true, Bytes: []byte(strings.Repeat("\x00\xff", 100)),
		Time: time.Date(1998, 7, 17, 14, 8, 55, 0, time.UTC), Array: []any{1.0, []any{}, "a"}, Struct: map[string]any{"a": map[string]any{}},
	}
	if got, err := rpc.Call[types](ctx, c, "Types", nil); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Types = %+v, %v, want %+v", got, err, want)
	}
	params := []any{
		1, 1.5, json.RawMessage("6.0"), true, nil, " a\r\n\"<&>", []int{}, map[string]any{},
		map[string]any{"$base64": []byte("a")}, map[string]any{"$dateTime": want.Time}, 1 << 40,
	}
	kinds := []string{"int", "float", "float", "bool", "NoneType", "str", "list", "dict", "bytes", "datetime", "int"}
	if got, err := rpc.Call[[]string](ctx, c, "Kinds", params); err != nil || !reflect.DeepEqual(got, kinds) {
		t.Errorf("Kinds = %v, %v, want %v", got, err, kinds)
	}
	if got, err := rpc.Call[[]any](ctx, c, "Echo", []any{" a\n\"<&>]]>", -0.5}); err != nil || !reflect.DeepEqual(got, []any{" a\n\"<&>]]>", -0.5}) {
		t.Errorf("Echo = %q, %v", got, err)
	}
}

// judgeFaults makes calls that fail.
func judgeFaults(t *testing.T, c *rpc.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for method, want := range map[string]rpc.Error{
		"Fail":    {Code: 42, Message: "no <way>"},
		"Explode": {Code: 1, Message: "<class 'ValueError'>:bang"},
		"Nothing": {Code: 1, Message: `<class 'Exception'>:method "Nothing" is not supported`},
	} {
		_, err := rpc.Call[any](ctx, c, method, []int{})
		if e, ok := errors.AsType[*rpc.Error](err); !ok || e.Code != want.Code || e.Message != want.Message {
			t.Errorf("%s: %v, want %v", method, err, &want)
		}
	}
}

// judgeFutures makes calls at once, in batches as well, and notifications.
func judgeFutures(t *testing.T, c *rpc.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	if err := c.Notify(ctx, "Echo", []string{"for nobody"}); err != nil {
		t.Errorf("Notify = %v", err)
	}
	type future interface {
		Get(ctx context.Context) ([]int, error)
	}
	var all [64]future
	for i := range all {
		all[i] = rpc.Go[[]int](ctx, c, "Echo", []int{i})
	}
	var b rpc.Batch
	first := rpc.Add[[]int](&b, "Echo", []int{0})
	b.Notify("Echo", []int{-1})
	fails := rpc.Add[[]int](&b, "Fail", []int{})
	if err := c.Do(ctx, &b); err != nil {
		t.Errorf("Do = %v", err)
	}
	if _, err := fails.Get(ctx); err == nil || rpc.OutcomeOf(err) != rpc.Answered {
		t.Errorf("Fail in a batch = %v, want the fault", err)
	}
	for i, f := range append(all[:], first) {
		if got, err := f.Get(ctx); err != nil || len(got) != 1 || got[0] != i%len(all) {
			t.Errorf("future %d = %v, %v", i, got, err)
		}
	}
}

// TestXMLRPCInDocs runs the examples of docs/xmlrpc.md, which say what they print,
// with a server that has the method Math.Sum.
func TestXMLRPCInDocs(t *testing.T) {
	t.Parallel()
	needPython(t)
	text, err := os.ReadFile("../docs/xmlrpc.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := pythonBlock.FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 2 {
		t.Fatalf("docs/xmlrpc.md has %d examples in Python, want 2", len(blocks))
	}
	mux := make(tally, 1).mux()
	handleLegacy(mux)
	port, _ := serveHTTP(t, mux)
	for _, b := range blocks {
		const there = "127.0.0.1:7070"
		var want []string
		for _, line := range printed.FindAllStringSubmatch(b[1], -1) {
			want = append(want, strings.TrimSpace(line[1]))
		}
		if len(want) == 0 || !strings.Contains(b[1], there) {
			t.Errorf("an example does not say what it prints, or does not call %s:\n%s", there, b[1])
			continue
		}
		cmd := exec.CommandContext(t.Context(), python, "-c", strings.ReplaceAll(b[1], there, fmt.Sprintf("127.0.0.1:%d", port)))
		cmd.WaitDelay = time.Second
		out, err := cmd.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != strings.Join(want, "\n") {
			t.Errorf("%v: it printed %s, want %s:\n%s", err, out, strings.Join(want, "\n"), b[1])
		}
	}
}
