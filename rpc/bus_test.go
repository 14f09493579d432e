package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// A testBus is the smallest there can be: it calls those who hear one after the other.
type testBus struct {
	mu      sync.Mutex // protects the fields below, and the order
	last    int
	hearers map[int]func(*transport.Message)
	refuse  error
}

func (b *testBus) Publish(_ context.Context, m *transport.Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refuse != nil {
		return b.refuse
	}
	m.To = "/topic/" + m.To
	for _, hear := range b.hearers {
		hear(m)
	}
	return nil
}

func (b *testBus) Hear(hear func(*transport.Message)) (stop func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refuse != nil {
		return nil, b.refuse
	}
	if b.hearers == nil {
		b.hearers = make(map[int]func(*transport.Message))
	}
	b.last++
	id := b.last
	b.hearers[id] = hear
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.hearers, id)
	}, nil
}

// brings has a message come from elsewhere.
func (b *testBus) brings(tb testing.TB, m transport.Message) {
	tb.Helper()
	if err := b.Publish(tb.Context(), &m); err != nil {
		tb.Fatal(err)
	}
}

func headers(pairs ...string) (all []transport.Header) {
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, transport.Header{Name: pairs[i], Value: pairs[i+1]})
	}
	return all
}

// TestBusMessages: what becomes of any message that comes to the topic "t".
func TestBusMessages(t *testing.T) {
	const head = `{"jsonrpc":"2.0","method":"t"`
	for _, tt := range []struct {
		name, body, contentType string
		headers                 []transport.Header
		want, beside            string // the rest of the notification, and the members of its metadata
	}{
		{"a notification of the topic is one", head + `,"params":[1]}`, "application/json", nil, `,"params":[1]`, ""},
		{"without params", head + `}`, "application/json", nil, ``, ""},
		{"with white space around it", " " + head + `,"params":[1]}` + "\r\n", "", nil, `,"params":[1]`, ""},
		{"with headers", head + `,"params":[1]}`, "application/json", headers("a", "1"), `,"params":[1]`, `"headers":{"a":"1"}`},
		{"with metadata of its own", head + `,"metadata":{"x":[1],"subscription":"forged"}}`, "", headers("a", "1"), ``, `"headers":{"a":"1"},"x":[1]`},
		{"with no more metadata than another's subscription", head + `,"metadata":{"subscription":"forged"}}`, "", nil, ``, ""},
		{"a notification of another topic is an object", `{"jsonrpc":"2.0","method":"u"}`, "", nil, `,"params":{"jsonrpc":"2.0","method":"u"}`, ""},
		{"a request is an object", `{"jsonrpc":"2.0","method":"t","id":1}`, "", nil, `,"params":{"jsonrpc":"2.0","method":"t","id":1}`, ""},
		{"a batch is an array", "[" + head + "}]", "", nil, `,"params":[` + head + `}]`, ""},
		{"an object", ` {"a": 1} `, "application/json", nil, `,"params":{"a": 1}`, `"content_type":"application/json"`},
		{"an array", `[1, 2]`, "", headers("a", "1", "b", "ü\"", "a", "2"), `,"params":[1, 2]`, `"headers":{"a":"1","b":"ü\""}`},
		{"a scalar is a text", `17`, "application/json", nil, `,"params":{"text":"17"}`, `"content_type":"application/json"`},
		{"a text", "a\n\"b\" ü ", "text/plain", headers("a", ""), `,"params":{"text":"a\n\"b\" ü "}`, `"headers":{"a":""},"content_type":"text/plain"`},
		{"nothing", "", "", nil, `,"params":{"text":""}`, ""},
		{"bytes", "\xff\x00\x01", "", nil, `,"params":{"base64":"/wAB"}`, ""},
		{"JSON that is cut off", `{"a":`, "", nil, `,"params":{"text":"{\"a\":"}`, ""},
		{"JSON that goes on", `[1],"method":"rpc.events.end"`, "", nil, `,"params":{"text":"[1],\"method\":\"rpc.events.end\""}`, ""},
		{"JSON that is not UTF-8", "[\"\xff\"]", "", nil, `,"params":{"base64":"WyL/Il0="}`, ""},
		{"JSON that nests too deep", strings.Repeat("[", 1000) + strings.Repeat("]", 1000), "", nil,
			`,"params":{"text":"` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `"}`, ""},
		{"a header that is not UTF-8", "[]", "", headers("a", "\xff"), `,"params":[]`, `"headers":{"a":"` + "\uFFFD" + `"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bus := new(testBus)
				h := eventServer(t, memPipe, &rpc.EventOptions{Bus: bus})
				plain, windowed := h.peer(), h.peer()
				plain.subscribes("t", "")
				windowed.subscribes("#", `,"window":9`)
				bus.brings(t, transport.Message{To: "t", Body: []byte(tt.body), ContentType: tt.contentType, Headers: tt.headers})
				metadata, named := "", `,"metadata":{"subscription":"s"`
				if tt.beside != "" {
					metadata, named = `,"metadata":{`+tt.beside+`}`, named+","+tt.beside
				}
				want := head + tt.want
				if metadata == "" && strings.HasPrefix(strings.TrimSpace(tt.body), head) && !strings.Contains(tt.body, "metadata") && !strings.Contains(tt.body, `"id"`) {
					want = strings.TrimSuffix(strings.TrimSpace(tt.body), "}")
				}
				plain.hears(want + metadata + "}")
				windowed.hears(want + named + "}}")
			})
		})
	}
}

// TestBusServers: what is published on one server reaches the subscribers of all,
// once, and those of its own by the bus alone.
func TestBusServers(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		bus := new(testBus)
		a, b := eventServer(t, w, &rpc.EventOptions{Bus: bus}), eventServer(t, w, &rpc.EventOptions{Bus: bus})
		here, there := a.peer(), b.peer()
		here.subscribes("task.*", "")
		there.subscribes("#", "")
		publish(t, a.Server, "task.7", []int{1}, 1)
		publish(t, b.Server, "task.8", []int{2}, 1)
		publish(t, a.Server, "clock", nil, 0)
		here.hears(event("task.7", 1, false), event("task.8", 2, false))
		there.hears(event("task.7", 1, false), event("task.8", 2, false), `{"jsonrpc":"2.0","method":"clock"}`)
		here.silent()
		there.silent()
		if got := a.EventStats(); got.Published != 2 || got.Dropped != 0 {
			t.Errorf("EventStats() = %+v, want 2 published", got)
		}
	})
}

// TestBusHeaders: a program in Go gets the headers, on a feed, too.
func TestBusHeaders(t *testing.T) {
	for _, w := range []wire{memPipe, stompPipe, feedPipe} {
		t.Run(w.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bus := new(testBus)
				h := eventServer(t, w, &rpc.EventOptions{Bus: bus})
				sub, err := h.client(nil).Subscribe(t.Context(), "news.#", nil)
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				bus.brings(t, transport.Message{To: "news.at", Body: []byte("hello"), ContentType: "text/plain", Headers: headers("n", "1", "m", "ü")})
				bus.brings(t, transport.Message{To: "news", Body: []byte(`{"jsonrpc":"2.0","method":"news"}`)})
				var got []any
				for e, err := range sub.Events() {
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, e.Topic, string(e.Params), e.Headers(), e.ContentType())
					if len(got) == 8 {
						break
					}
				}
				want := []any{"news.at", `{"text":"hello"}`, headers("n", "1", "m", "ü"), "text/plain", "news", "", headers(), ""}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// TestBusCorners: topics that no peer may forge, a bus that refuses, and the end.
func TestBusCorners(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		bus := new(testBus)
		h := eventServer(t, w, &rpc.EventOptions{Bus: bus})
		p := h.peer()
		p.subscribes("#", "")
		for _, topic := range []string{"rpc.events.end", "", "a..b", "a b", "a.*", "\xff", strings.Repeat("a", 256)} {
			bus.brings(t, transport.Message{To: topic, Body: []byte(`{"subscription":"s"}`)})
		}
		p.silent()
		if _, err := h.Publish(t.Context(), "a b", nil); !errors.Is(err, rpc.ErrTopic) {
			t.Errorf("Publish(a b) = %v, want %v", err, rpc.ErrTopic)
		}
		if _, err := h.Publish(t.Context(), "a", 1); !errors.Is(err, rpc.ErrParams) {
			t.Errorf("Publish(a, 1) = %v, want %v", err, rpc.ErrParams)
		}
		bus.refuse = transport.ErrBusy
		if _, err := h.Publish(t.Context(), "a", nil); !errors.Is(err, transport.ErrBusy) {
			t.Errorf("Publish(a) = %v, want %v", err, transport.ErrBusy)
		}
		bus.refuse = nil
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := h.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if len(bus.hearers) != 0 {
			t.Error("after Shutdown the server still hears the bus")
		}
	})
}

// TestBusWaitsForNobody: under Block, too, a subscriber that reads nothing holds up neither the
// bus nor the others, and is told what it misses.
func TestBusWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := new(testBus)
		h := eventServer(t, memPipe, &rpc.EventOptions{Bus: bus, Buffer: 1, Policy: rpc.Block})
		p, other := h.peer(), h.peer()
		p.subscribes("t", `,"window":0`)
		other.subscribes("t", "")
		for i := range 3 {
			publish(t, h.Server, "t", []int{i}, 2)
		}
		other.hears(event("t", 0, false), event("t", 1, false), event("t", 2, false))
		p.say(`{"jsonrpc":"2.0","method":"rpc.events.more","params":{"subscription":"s","n":9}}`)
		p.hears(event("t", 0, true), `{"jsonrpc":"2.0","method":"rpc.events.gap","params":{"subscription":"s","dropped":2}}`)
		if s := h.EventStats(); s.Dropped != 2 {
			t.Errorf("%d dropped, want 2", s.Dropped)
		}
	})
}

// TestBusAnotherServer: a subscriber whose server goes away is told of a gap when another
// one has taken its subscription, and gets what is published anywhere from then on.
func TestBusAnotherServer(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		bus := new(testBus)
		servers := []*host{eventServer(t, w, &rpc.EventOptions{Bus: bus}), eventServer(t, w, &rpc.EventOptions{Bus: bus})}
		far := eventServer(t, w, &rpc.EventOptions{Bus: bus})
		var conns []transport.Conn
		conn, err := transport.Redial(t.Context(), "mem://any", &transport.RedialOptions{Dial: func(ctx context.Context) (transport.Conn, error) {
			c, err := servers[len(conns)%2].dial(ctx, &transport.DialOptions{Options: still()})
			conns = append(conns, c)
			return c, err
		}})
		if err != nil {
			t.Fatal(err)
		}
		c := rpc.NewClient(conn, nil)
		defer func() { _ = c.Close() }()
		sub, err := c.Subscribe(t.Context(), "news.*", nil)
		if err != nil {
			t.Fatal(err)
		}
		publishAt(t, far, 0)
		n := 0
		for e, err := range sub.Events() {
			gap, isGap := errors.AsType[*rpc.GapError](err)
			switch n++; {
			case err != nil && (!isGap || gap.Dropped != 0 || n%2 != 0):
				t.Fatalf("%d: %v, want an event or, when the server has changed, a gap of unknown size", n, err)
			case isGap:
			case e.Topic != "news.at" || string(e.Params) != fmt.Sprintf("[%d]", n/2):
				t.Fatalf("%d: heard %s %s", n, e.Topic, e.Params)
			case n == 7:
				return
			default:
				_ = conns[len(conns)-1].Close() // of three
				continue
			}
			publishAt(t, far, n/2)
		}
	})
}

func publishAt(tb testing.TB, h *host, n int) {
	tb.Helper()
	publish(tb, h.Server, "news.at", []int{n}, 0)
}
