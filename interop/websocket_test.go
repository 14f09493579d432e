package interop_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
	_ "github.com/polyport/polyport/transport/http"
)

// needWebsockets ends the test if Python's websockets are not there.
func needWebsockets(t *testing.T) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import websockets").CombinedOutput(); err != nil {
		why := fmt.Sprintf("websockets is not installed (%s -c 'import websockets': %v) %s", python, err, lastLine(out))
		missing(t, strings.TrimSpace(why), "apt-get install python3-websockets")
	}
}

// socketCalls is how many calls each way the tests by WebSocket make.
func socketCalls() int { return 2 * volume() }

// twice calls back whoever makes the hundredth call, the two hundredth and so on.
func twice(t *testing.T, mux *rpc.Mux, back *atomic.Int32) {
	t.Helper()
	enter := func(ctx context.Context, p nonce) (int, error) {
		if p.N%100 != 0 {
			return 7 * p.N, nil
		}
		r, _ := rpc.FromContext(ctx)
		got, err := rpc.Call[int](ctx, r.Client(), "Twice", p)
		if err == nil && got != 2*p.N {
			err = errors.New("the caller cannot double")
		}
		back.Add(1)
		return 7 * p.N, err
	}
	rpc.Handle(mux, "Enter", enter)
}

// judgeSocket checks that every call of a client was answered once and rightly, and
// that each that was to be called back was.
func judgeSocket(t *testing.T, s *script, calls int, back *atomic.Int32) {
	t.Helper()
	e := s.await("done", time.Duration(calls)*10*time.Millisecond+patience)
	if e.Answered != calls || len(e.Lost)+len(e.Doubled)+len(e.Wrong) > 0 {
		t.Errorf("%d answers to %d calls; the first that were lost: %v; doubled: %v; wrong: %q", e.Answered, calls, e.Lost, e.Doubled, e.Wrong)
	}
	if got, want := int(back.Load()), (calls+99)/100; got != want {
		t.Errorf("%d calls back, want %d", got, want)
	}
	t.Logf("%d calls, %.0f a second", calls, float64(calls)/e.Seconds)
}

// TestWebsocketsCall: clients of Python's websockets call our server, which calls
// them back.
func TestWebsocketsCall(t *testing.T) {
	t.Parallel()
	needWebsockets(t)
	for _, protocols := range [][]string{nil, {"jsonrpc"}, {"other", "jsonrpc"}} {
		t.Run(fmt.Sprint(protocols), func(t *testing.T) {
			t.Parallel()
			mux, back := rpc.NewMux(nil), new(atomic.Int32)
			twice(t, mux, back)
			o := options{"url": fmt.Sprintf("ws://127.0.0.1:%d/", serve(t, "ws://127.0.0.1:0", nil, mux)), "calls": socketCalls(), "window": 64}
			if protocols != nil {
				o["protocols"] = protocols
			}
			judgeSocket(t, startScript(t, "ws_client.py", o), socketCalls(), back)
		})
	}
}

// TestNodeCalls: Node's WebSocket, which is that of browsers, does the same.
func TestNodeCalls(t *testing.T) {
	t.Parallel()
	flags := needNode(t)
	mux, back := rpc.NewMux(nil), new(atomic.Int32)
	twice(t, mux, back)
	o := options{"url": fmt.Sprintf("ws://127.0.0.1:%d/rpc", serve(t, "ws://127.0.0.1:0", nil, mux)), "calls": socketCalls(), "window": 64}
	judgeSocket(t, startProgram(t, append(append([]string{"node"}, flags...), "testdata/ws_client.js"), o), socketCalls(), back)
}

// needNode ends the test if there is no Node with a WebSocket, and returns the flags
// that it takes.
func needNode(t *testing.T) (flags []string) {
	t.Helper()
	for _, flags := range [][]string{nil, {"--experimental-websocket"}} {
		cmd := exec.CommandContext(t.Context(), "node", append(flags, "-e", "WebSocket.name")...)
		if cmd.Run() == nil {
			return flags
		}
	}
	missing(t, "there is no node with a WebSocket, which is in 20.10 and later", "https://nodejs.org/en/download")
	return nil
}

// TestCallWebsockets: our client calls a server of Python's websockets, and is called
// back.
func TestCallWebsockets(t *testing.T) {
	t.Parallel()
	needWebsockets(t)
	_, port := listen(t, "ws_server.py", options{})
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Twice", func(_ context.Context, p nonce) (int, error) { return 2 * p.N, nil })
	c, err := rpc.Dial(t.Context(), fmt.Sprintf("ws://127.0.0.1:%d", port), &rpc.ClientOptions{Mux: mux, Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	t.Logf("%d calls, %.0f a second", socketCalls(), enterAll(t, c, socketCalls()))
}

// TestCurlHearsEvents: curl reads what a server publishes, and Python does.
func TestCurlHearsEvents(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"curl": {"curl", "-sN", "-H", "Accept: text/event-stream", "URL"},
		"python": {
			python, "-c", "import sys, urllib.request as u\nfor line in u.urlopen(u.Request('URL', headers={'Accept': 'text/event-stream'})):\n" +
				" sys.stdout.write(line.decode()); sys.stdout.flush()",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(args[0]); err != nil {
				missing(t, "there is no "+args[0], "apt-get install "+args[0])
			}
			l, err := transport.Listen(t.Context(), "http://127.0.0.1:0", nil)
			if err != nil {
				t.Fatal(err)
			}
			server := rpc.NewServer(sampleMux(), &rpc.ServerOptions{Events: &rpc.EventOptions{Policy: rpc.Block}})
			start(t, server, l)
			var own []string
			for _, a := range args {
				own = append(own, strings.ReplaceAll(a, "URL", fmt.Sprintf("http://127.0.0.1:%d/?topic=even.", portOf(l))))
			}
			ctx, stop := context.WithCancel(t.Context())
			cmd := exec.CommandContext(ctx, own[0], own[1:]...)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { stop(); _ = cmd.Wait() }()
			until(t, "the request", func() bool {
				n, err := server.Publish(t.Context(), "even.begin", nil)
				return n == 1 && err == nil
			})
			n := lessVolume()
			go func() {
				for i := range n {
					_, _ = server.Publish(t.Context(), topicOf(i), nonce{i})
				}
			}()
			var want []string
			for i := range n {
				if topic := topicOf(i); strings.HasPrefix(topic, "even.") {
					want = append(want, fmt.Sprintf("event: %s|data: {\"jsonrpc\":\"2.0\",\"method\":%q,\"params\":{\"n\":%d}}||", topic, topic, i))
				}
			}
			lines := bufio.NewScanner(out)
			event := ""
			for i := 0; i < len(want) && lines.Scan(); {
				event += lines.Text() + "|"
				if lines.Text() != "" {
					continue
				}
				if !strings.HasPrefix(event, "event: even.begin|") {
					if event != want[i] {
						t.Fatalf("event %d is %s, want %s", i, event, want[i])
					}
					i++
				}
				event = ""
			}
		})
	}
}

// TestWebsocketsInDocs runs the example of docs/websocket.md in Python, and that in
// JavaScript, which say what they print.
func TestWebsocketsInDocs(t *testing.T) {
	t.Parallel()
	needWebsockets(t)
	flags := needNode(t)
	text, err := os.ReadFile("../docs/websocket.md")
	if err != nil {
		t.Fatal(err)
	}
	port := startServer(t, "ws://127.0.0.1:0", nil)
	for kind, command := range map[string][]string{
		"python": {python, "-c"}, "js": append(append([]string{"node"}, flags...), "-e"),
	} {
		_, example, found := strings.Cut(string(text), "```"+kind+"\n")
		example, _, _ = strings.Cut(example, "```")
		if !found || !strings.Contains(example, "prints 6") {
			t.Errorf("there is no example in %s that prints 6", kind)
			continue
		}
		example = strings.ReplaceAll(example, "127.0.0.1:7070", fmt.Sprintf("127.0.0.1:%d", port))
		if kind == "js" {
			example += `ws.addEventListener("message", () => ws.close())`
		}
		out, err := exec.CommandContext(t.Context(), command[0], append(command[1:], example)...).Output()
		if err != nil || strings.TrimSpace(string(out)) != "6" {
			t.Errorf("%s: %v: it printed %s, want 6", kind, err, out)
		}
	}
}
