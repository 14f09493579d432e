package http_test

import (
	"context"
	"encoding/json"
	"fmt"
	stdhttp "net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// serveMux serves methods, and publishes without losing events, until the test ends.
func serveMux(t *testing.T, mux *rpc.Mux, o *transport.ListenOptions) *site {
	t.Helper()
	l, addr := listenHTTP(t, nil, o)
	s := &site{Listener: l, addr: addr, server: rpc.NewServer(mux, &rpc.ServerOptions{Events: &rpc.EventOptions{Policy: rpc.Block}})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.server.Serve(context.Background(), l)
	}()
	t.Cleanup(func() {
		_ = l.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.server.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		<-done
	})
	return s
}

// echoing has the method Echo.
func echoing() *rpc.Mux {
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Echo", func(_ context.Context, p []any) (any, error) { return p, nil })
	return mux
}

// dialRPC returns a client that is closed with the test.
func dialRPC(t *testing.T, url string, o *rpc.ClientOptions) *rpc.Client {
	t.Helper()
	c, err := rpc.Dial(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestCallsBothWays: by a WebSocket either end calls, notifies and batches, over
// one connection.
func TestCallsBothWays(t *testing.T) {
	mux := echoing()
	rpc.Handle(mux, "Back", func(ctx context.Context, p json.RawMessage) (json.RawMessage, error) {
		r, _ := rpc.FromContext(ctx)
		return rpc.Call[json.RawMessage](ctx, r.Client(), "Mine", p)
	})
	own, told := rpc.NewMux(nil), make(chan string, 1)
	rpc.Handle(own, "Mine", func(_ context.Context, p []any) ([]any, error) { return append(p, "mine"), nil })
	rpc.Handle(own, "Tell", func(_ context.Context, p []string) (any, error) {
		told <- strings.Join(p, "")
		return nil, nil
	})
	rpc.Handle(mux, "TellMe", func(ctx context.Context, p []string) (any, error) {
		r, _ := rpc.FromContext(ctx)
		return nil, r.Client().Notify(ctx, "Tell", p)
	})
	s := serveMux(t, mux, nil)
	c := dialRPC(t, "ws://"+s.addr+"/rpc", &rpc.ClientOptions{Mux: own})
	got, err := rpc.Call[json.RawMessage](t.Context(), c, "Back", []any{1, "x"})
	if err != nil || string(got) != `[1,"x","mine"]` {
		t.Errorf("Back = %s, %v", got, err)
	}
	if err := c.Call(t.Context(), "TellMe", []string{"this"}, nil); err != nil {
		t.Error(err)
	}
	if got := within(t, told, "the notification"); got != "this" {
		t.Errorf("told %q", got)
	}
	var b rpc.Batch
	one, two := rpc.Add[[]int](&b, "Echo", []int{1}), rpc.Add[[]int](&b, "Echo", []int{2})
	if err := c.Do(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	x, _ := one.Get(t.Context())
	y, err := two.Get(t.Context())
	if diff := cmp.Diff([]int{1, 2}, append(x, y...)); diff != "" || err != nil {
		t.Errorf("a batch: %v (-want +got):\n%s", err, diff)
	}
}

// TestManyCalls: ten thousand calls under way at once are answered, none twice.
func TestManyCalls(t *testing.T) {
	s := serveMux(t, echoing(), nil)
	c := dialRPC(t, "ws://"+s.addr, &rpc.ClientOptions{InFlight: 10_000})
	for round := range 10 {
		var all []interface {
			Get(ctx context.Context) ([]int, error)
		}
		for i := range 1000 {
			all = append(all, rpc.Go[[]int](t.Context(), c, "Echo", []int{1000*round + i}))
		}
		for i, f := range all {
			if got, err := f.Get(t.Context()); err != nil || !slices.Equal(got, []int{1000*round + i}) {
				t.Fatalf("call %d: %v, %v", 1000*round+i, got, err)
			}
		}
	}
}

// seen reads events of a subscription.
func seen(t *testing.T, s *rpc.Subscription, n int) (all []string) {
	t.Helper()
	done := make(chan struct{})
	late := time.AfterFunc(patience, func() { _ = s.Close() })
	defer late.Stop()
	go func() {
		defer close(done)
		for e, err := range s.Events() {
			if err != nil {
				all = append(all, err.Error())
			} else {
				all = append(all, e.Topic+string(e.Params))
			}
			if len(all) == n {
				return
			}
		}
	}()
	<-done
	return all
}

// reach publishes probes until so many hear of a topic.
func reach(t *testing.T, s *site, topic string, n int) {
	t.Helper()
	for until := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if got, err := s.server.Publish(t.Context(), topic, nil); got == n {
			return
		} else if err != nil || time.Now().After(until) {
			t.Fatalf("Publish(%q) = %d, %v, want %d", topic, got, err, n)
		}
	}
}

// TestEventsBySocket: rpc's own subscriptions go over a WebSocket.
func TestEventsBySocket(t *testing.T) {
	s := serveMux(t, echoing(), nil)
	c := dialRPC(t, "ws://"+s.addr, nil)
	sub, err := c.Subscribe(t.Context(), "task.*", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if n, err := s.server.Publish(t.Context(), "task.done", []int{i}); n != 1 || err != nil {
			t.Fatalf("Publish = %d, %v", n, err)
		}
	}
	if diff := cmp.Diff([]string{"task.done[0]", "task.done[1]", "task.done[2]"}, seen(t, sub, 3)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// TestEventsByFeed: they go over Server-Sent Events as well, to a client that can do
// nothing else; the URL narrows what the server sends, filters what is heard.
func TestEventsByFeed(t *testing.T) {
	s := serveMux(t, echoing(), nil)
	all := dialRPC(t, "http://"+s.addr+"?format=sse", nil)
	some := dialRPC(t, "http://"+s.addr+"/rpc?format=sse&topic=task.&topic=clock", nil)
	if err := all.Call(t.Context(), "Echo", nil, nil); err == nil || !strings.Contains(err.Error(), "format=sse") {
		t.Errorf("Call = %v, want what to do", err)
	}
	tasks, err := all.Subscribe(t.Context(), "task.*", nil)
	if err != nil {
		t.Fatal(err)
	}
	rest, err := some.Subscribe(t.Context(), "#", nil)
	if err != nil {
		t.Fatal(err)
	}
	reach(t, s, "elsewhere", 1)
	reach(t, s, "clock", 2)
	publish := func(topic string, i int) {
		if _, err := s.server.Publish(t.Context(), topic, []int{i}); err != nil {
			t.Fatal(err)
		}
	}
	publish("task.a", 1)
	publish("other", 2)
	publish("clock.x", 3)
	publish("task.b", 4)
	if diff := cmp.Diff([]string{"task.a[1]", "task.b[4]"}, seen(t, tasks, 2)); diff != "" {
		t.Errorf("task.* (-want +got):\n%s", diff)
	}
	var got []string
	for len(got) < 3 {
		if e := seen(t, rest, 1); !slices.Contains(e, "clock") && !slices.Contains(e, "clocknull") { // no probe
			got = append(got, e...)
		}
	}
	if diff := cmp.Diff([]string{"task.a[1]", "clock.x[3]", "task.b[4]"}, got); diff != "" {
		t.Errorf("# of task. and clock (-want +got):\n%s", diff)
	}
}

// TestEventsAsText: what a plain client of HTTP gets to read.
func TestEventsAsText(t *testing.T) {
	s := serveMux(t, echoing(), &transport.ListenOptions{Options: transport.Options{Heartbeat: time.Second}})
	for _, two := range []bool{false, true} {
		protocols := new(stdhttp.Protocols)
		protocols.SetHTTP1(!two)
		protocols.SetUnencryptedHTTP2(two)
		r, err := stdhttp.NewRequestWithContext(t.Context(), stdhttp.MethodGet, "http://"+s.addr+"/?topic=a", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", "text/event-stream")
		c := browser(t, &stdhttp.Transport{Protocols: protocols})
		answer, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if got := answer.Header.Get("Content-Type"); answer.StatusCode != 200 || got != "text/event-stream" || (answer.ProtoMajor == 2) != two {
			t.Errorf("the answer is %s %s, %q", answer.Proto, answer.Status, got)
		}
		for { // until the server knows of it
			if n, err := s.server.Publish(t.Context(), "a.b", []int{1, 2}); n == 1 {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		want := "event: a.b\ndata: " + `{"jsonrpc":"2.0","method":"a.b","params":[1,2]}` + "\n\n:\n"
		got := make([]byte, len(want))
		for n := 0; n < len(got); {
			k, err := answer.Body.Read(got[n:])
			if n += k; err != nil {
				t.Fatalf("%q, %v", got[:n], err)
			}
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("HTTP/2 %v (-want +got):\n%s", two, diff)
		}
		_ = answer.Body.Close()
		for until := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			if n, _ := s.server.Publish(t.Context(), "a.b", nil); n == 0 {
				break
			} else if time.Now().After(until) {
				t.Fatal("the server has not noticed that the client has gone")
			}
		}
	}
}

// TestFeedIsNoRequest: what a feed is asked in vain.
func TestFeedIsNoRequest(t *testing.T) {
	s := serveMux(t, echoing(), &transport.ListenOptions{Options: transport.Options{Limits: transport.Limits{Subscriptions: 3}}})
	url := "http://" + s.addr + "/?" + strings.Repeat("topic=a&", 4)
	got := ask(t, browser(t, new(stdhttp.Transport)), stdhttp.MethodGet, url, "", "Accept", "text/event-stream")
	if got.status != 400 || !strings.Contains(got.body, "3 topics") {
		t.Errorf("too many topics: %d %s", got.status, got.body)
	}
	_, err := transport.Dial(t.Context(), fmt.Sprintf("http://%s/nowhere?format=sse", s.addr), nil)
	if err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("Dial of another path = %v", err)
	}
}
