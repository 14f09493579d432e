package interop_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// topicOf is where event n is published: two of three topics begin with "even.".
func topicOf(n int) string {
	return [...]string{"even.a", "odd.b", "even.c"}[n%3]
}

// numbersOf are the events of n whose topics begin with one of the prefixes, by
// their topics.
func numbersOf(n int, prefixes ...string) map[string][]int {
	all := map[string][]int{}
	for i := range n {
		topic := topicOf(i)
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(topic, p) }) {
			all[topic] = append(all[topic], i)
		}
	}
	return all
}

// judgeNumbers compares what came with what should have, in order.
func judgeNumbers(t *testing.T, got, want map[string][]int) {
	t.Helper()
	if maps.EqualFunc(got, want, slices.Equal) {
		return
	}
	for topic := range want {
		if !slices.Equal(got[topic], want[topic]) {
			t.Errorf("%d events of %q, want %d: %s", len(got[topic]), topic, len(want[topic]), firstDifference(got[topic], want[topic]))
		}
	}
	for topic := range got {
		if want[topic] == nil {
			t.Errorf("%d events of %q, want none", len(got[topic]), topic)
		}
	}
}

func firstDifference(got, want []int) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("the %dth is %d, want %d", i, got[i], want[i])
		}
	}
	return "one begins as the other"
}

// until waits until cond holds, of what a foreign program does.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for begin := time.Now(); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > patience {
			t.Fatalf("after %v still not: %s", patience, what)
		}
	}
}

// TestPyzmqListens: SUB and XSUB of libzmq hear what our server publishes, each
// event of the topics that they asked for once and in order.
func TestPyzmqListens(t *testing.T) {
	t.Parallel()
	needPyzmq(t)
	for _, socket := range []string{"SUB", "XSUB"} {
		t.Run(socket, func(t *testing.T) {
			t.Parallel()
			n := volume()
			server, port := startPublisher(t)
			s := startScript(t, "zmq_feed.py", options{"socket": socket, "endpoint": tcp(port), "topics": []string{"even.a", "even."}})
			published := func(topic string, v any) int {
				subscribers, err := server.Publish(t.Context(), topic, v)
				if err != nil {
					t.Errorf("Publish = %v", err)
				}
				return subscribers
			}
			s.await("listening", patience)
			until(t, "the subscription", func() bool { return published("even.probe", nonce{-1}) == 1 })
			s.say("unsubscribe") // from even.a, of which even. remains
			s.await("unsubscribed", patience)
			start := time.Now()
			for i := range n {
				if got, want := published(topicOf(i), nonce{i}), 1-i%3%2; got != want {
					t.Fatalf("Publish to %q reached %d subscribers, want %d", topicOf(i), got, want)
				}
			}
			published("end", nonce{n})
			e := s.await("done", patience+time.Duration(n)*10*time.Millisecond)
			delete(e.Numbers, "even.probe")
			judgeNumbers(t, e.Numbers, numbersOf(n, "even."))
			t.Logf("%d events published, %.0f a second", n, float64(n)/time.Since(start).Seconds())
		})
	}
}

// startPublisher starts a server that drops no event, and returns its port.
func startPublisher(t *testing.T) (*rpc.Server, int) {
	t.Helper()
	l, err := transport.Listen(t.Context(), "zmq://127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	server := rpc.NewServer(sampleMux(), &rpc.ServerOptions{Events: &rpc.EventOptions{Policy: rpc.Block}})
	start(t, server, l)
	return server, portOf(l)
}

// TestListenToPyzmq: our Conn hears what PUB and XPUB of libzmq publish, by
// frames of topic and body or in one frame that the topic begins, as PUB leaves
// it to the program.
func TestListenToPyzmq(t *testing.T) {
	t.Parallel()
	needPyzmq(t)
	for _, socket := range []string{"PUB", "XPUB"} {
		for _, single := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, one frame: %t", socket, single), func(t *testing.T) {
				t.Parallel()
				testListen(t, socket, single)
			})
		}
	}
}

func testListen(t *testing.T, socket string, single bool) {
	n := lessVolume()
	s, port := listen(t, "zmq_feed.py", options{"socket": socket, "topics": []string{topicOf(0), topicOf(1), topicOf(2)}, "events": n, "single": single})
	conn, err := transport.Dial(t.Context(), atOurs(port, "sub"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	by, _ := transport.As[transport.Subscriber](conn)
	ctx, cancel := context.WithTimeout(t.Context(), patience+time.Duration(n)*10*time.Millisecond)
	defer cancel()
	for _, prefix := range []string{"even.", "odd.nothing", "probe", "end"} {
		id, err := by.Subscribe(ctx, transport.Subscription{Destination: prefix, ID: "id of " + prefix})
		if err != nil || id != "id of "+prefix {
			t.Fatalf("Subscribe(%q) = %q, %v", prefix, id, err)
		}
	}
	judgeSubscribed(t, s, socket, "subscribed", "even.", "odd.nothing", "probe", "end")
	got, probed := map[string][]int{}, false
	start := time.Now()
	for {
		m, err := conn.Recv(ctx)
		if err != nil {
			t.Fatalf("after %d events of even.a: %v", len(got["even.a"]), err)
		}
		topic, number, err := eventOf(m, single)
		if err != nil {
			t.Fatal(err)
		}
		if topic == "end" {
			break
		}
		if topic == "probe" {
			if !probed {
				probed = true
				s.say("go")
				start = time.Now()
			}
			continue
		}
		if !single && m.Subscription != "id of even." {
			t.Fatalf("an event of %q has the subscription %q", topic, m.Subscription)
		}
		got[topic] = append(got[topic], number)
	}
	judgeNumbers(t, got, numbersOf(n, "even."))
	t.Logf("%d events, %.0f a second", len(got["even.a"])+len(got["even.c"]), float64(len(got["even.a"])+len(got["even.c"]))/time.Since(start).Seconds())
	if err := by.Unsubscribe(ctx, "id of even."); err != nil {
		t.Errorf("Unsubscribe = %v", err)
	}
	s.await("done", patience)
	judgeSubscribed(t, s, socket, "unsubscribed", "even.")
}

// judgeSubscribed checks that an XPUB has told changes of subscriptions.
func judgeSubscribed(t *testing.T, s *script, socket, change string, topics ...string) {
	t.Helper()
	if socket != "XPUB" {
		return
	}
	for _, want := range topics {
		if e := s.await(change, patience); e.Topic != want {
			t.Errorf("%s from %q, want %q", change, e.Topic, want)
		}
	}
}

// eventOf takes an event of zmq_feed.py apart.
func eventOf(m *transport.Message, single bool) (topic string, n int, err error) {
	body := string(m.Body)
	topic = m.To
	if single {
		if m.To != "" {
			return "", 0, fmt.Errorf("a message of one frame has the destination %q", m.To)
		}
		at := strings.IndexByte(body, '{')
		if at < 0 {
			return "", 0, fmt.Errorf("a message of one frame is %q", body)
		}
		topic, body = body[:at], body[at:]
	}
	var v nonce
	err = json.Unmarshal([]byte(body), &v)
	return topic, v.N, err
}

// TestSubscribeToPyzmq: rpc.Client.Subscribe hears what a PUB of libzmq says in
// JSON-RPC, and calls nobody.
func TestSubscribeToPyzmq(t *testing.T) {
	t.Parallel()
	needPyzmq(t)
	const n = 300
	s, port := listen(t, "zmq_feed.py", options{"socket": "PUB", "topics": []string{topicOf(0), topicOf(1), topicOf(2)}, "events": n, "rpc": true})
	client, err := rpc.Dial(t.Context(), atOurs(port, "sub"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	if _, err := rpc.Call[int](t.Context(), client, "Enter", nonce{1}); !errors.Is(err, transport.ErrUnsupported) {
		t.Errorf("Call = %v, want %v", err, transport.ErrUnsupported)
	}
	all, err := client.Subscribe(t.Context(), "#", &rpc.SubscribeOptions{Window: 2 * n})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = all.Close() }()
	got, probed := map[string][]int{}, false
	for e, err := range all.Events() {
		var v nonce
		if err == nil {
			err = e.Decode(&v)
		}
		if err != nil {
			t.Fatal(err)
		}
		if e.Topic == "end" {
			break
		}
		switch {
		case e.Topic != "probe":
			got[e.Topic] = append(got[e.Topic], v.N)
		case !probed:
			probed = true
			s.say("go")
		}
	}
	judgeNumbers(t, got, numbersOf(n, ""))
}
