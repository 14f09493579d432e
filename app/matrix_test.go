package app_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// A sending is a message of the matrix, as a program means it.
type sending struct {
	name, contentType string
	body              []byte
	headers           []transport.Header
}

var sendings = []sending{
	{"JSON", "application/json", []byte(`{"price":1.50,"what":"é"}`), nil},
	{"text", "text/plain", []byte("three\nlines: \u65e5\n"), nil},
	{"bytes", "application/x-test", []byte{0, 1, 0xff, '\n'}, nil},
}

func init() {
	for i := range sendings {
		sendings[i].headers = []transport.Header{{Name: "x-lang", Value: "de: \\ ü"}, {Name: "x-kind", Value: sendings[i].name}}
	}
}

// A publisher sends to a topic over a wire.
type publisher struct {
	wire string
	// dial returns what sends.
	dial func(t *testing.T, host, topic string) func(context.Context, sending) error
}

// A listener subscribes over a wire.
type listener struct {
	wire string
	dial func(t *testing.T, host, topic string) func(context.Context) (sending, error)
}

// byWire publishes as those wires do that have words for it.
func byWire(scheme string) publisher {
	return publisher{scheme, func(t *testing.T, host, topic string) func(context.Context, sending) error {
		c := connect(t, scheme+"://"+host+"/topic/"+topic)
		return func(ctx context.Context, s sending) error {
			return c.Send(ctx, &transport.Message{Body: s.body, ContentType: s.contentType, Headers: s.headers})
		}
	}}
}

// byMethod publishes by broker.send.
func byMethod(scheme string) publisher {
	return publisher{scheme, func(t *testing.T, host, topic string) func(context.Context, sending) error {
		c := dial(t, scheme+"://"+host, nil)
		return func(ctx context.Context, s sending) error {
			headers := map[string]string{}
			for _, h := range s.headers {
				headers[h.Name] = h.Value
			}
			p := map[string]any{"to": "/topic/" + topic, "content_type": s.contentType, "headers": headers}
			switch s.name {
			case "JSON":
				p["body"] = json.RawMessage(s.body)
			case "text":
				p["text"] = string(s.body)
			default:
				p["base64"] = s.body
			}
			return c.Call(ctx, "broker.send", p, nil)
		}
	}}
}

// messages listens as those wires do that have words for it.
func messages(scheme string) listener {
	return listener{scheme, func(t *testing.T, host, topic string) func(context.Context) (sending, error) {
		c := connect(t, scheme+"://"+host+"/topic/"+topic)
		sub, _ := transport.As[transport.Subscriber](c)
		if _, err := sub.Subscribe(t.Context(), transport.Subscription{}); err != nil {
			t.Fatal(err)
		}
		return func(ctx context.Context) (sending, error) {
			m, err := c.Recv(ctx)
			if err != nil {
				return sending{}, err
			}
			return sending{contentType: m.ContentType, body: m.Body, headers: m.Headers}, nil
		}
	}}
}

// events listens by notifications, at a URL with a query.
func events(wire, scheme, query string) listener {
	return listener{wire, func(t *testing.T, host, topic string) func(context.Context) (sending, error) {
		c := dial(t, scheme+"://"+host+query, nil)
		s, err := c.Subscribe(t.Context(), topic, nil)
		if err != nil {
			t.Fatal(err)
		}
		return func(ctx context.Context) (sending, error) {
			defer context.AfterFunc(ctx, func() { _ = s.Close() })()
			for e, err := range s.Events() {
				if err != nil {
					return sending{}, err
				}
				return fromEvent(e)
			}
			return sending{}, context.Cause(ctx)
		}
	}}
}

// fromEvent is the message that an event was: see docs/events.md.
func fromEvent(e rpc.Event) (s sending, err error) {
	s = sending{contentType: e.ContentType(), headers: e.Headers(), body: e.Params}
	var wrapped struct {
		Text   *string `json:"text"`
		Base64 *string `json:"base64"`
	}
	switch err := e.Decode(&wrapped); {
	case err != nil:
		return s, err
	case wrapped.Text != nil:
		s.body = []byte(*wrapped.Text)
	case wrapped.Base64 != nil:
		s.body, err = base64.StdEncoding.DecodeString(*wrapped.Base64)
		return s, err
	}
	return s, nil
}

func connect(t *testing.T, url string) transport.Conn {
	t.Helper()
	c, err := transport.Dial(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// kept says in the words of the table what of s has arrived.
func (s sending) kept(got sending) string {
	var lost []string
	if !bytes.Equal(s.body, got.body) {
		lost = append(lost, fmt.Sprintf("the body is %q", got.body))
	}
	for _, h := range s.headers {
		if !slices.Contains(got.headers, h) {
			lost = append(lost, fmt.Sprintf("without %s", h.Name))
		}
	}
	if s.contentType != got.contentType {
		lost = append(lost, fmt.Sprintf("the content type is %q", got.contentType))
	}
	if lost == nil {
		return s.name
	}
	return s.name + " (" + strings.Join(lost, ", ") + ")"
}

// TestMatrix: what is sent to a topic over any wire arrives over every other with its
// body, its headers and its content type. The table is in docs/broker.md, and
// written anew with POLYPORT_UPDATE=1.
func TestMatrix(t *testing.T) {
	publishers := []publisher{byWire("stomp"), byWire("amqp"), byMethod("zmq"), byMethod("ws"), byMethod("http")}
	listeners := []listener{
		messages("stomp"), messages("amqp"), events("zmq", "zmq", "?socket=sub"), events("ws", "ws", ""), events("sse", "http", "?format=sse"),
	}
	r := start(t, app.Config{Broker: app.BrokerConfig{Enabled: true}})
	host := r.Endpoints()[0].Addr
	var table strings.Builder
	table.WriteString("| from \\ to |")
	for _, l := range listeners {
		table.WriteString(" " + l.wire + " |")
	}
	table.WriteString("\n|" + strings.Repeat(" --- |", 1+len(listeners)) + "\n")
	for _, p := range publishers {
		table.WriteString("| " + p.wire + " |")
		for _, l := range listeners {
			cell := cross(t, host, p, l)
			if cell != "JSON, text, bytes" {
				t.Errorf("from %s to %s: %s", p.wire, l.wire, cell)
			}
			table.WriteString(" " + cell + " |")
		}
		table.WriteString("\n")
	}
	inDocs(t, "matrix", table.String())
}

// cross sends each message until it arrives: who listens on a feed is not told when
// the server knows.
func cross(t *testing.T, host string, p publisher, l listener) string {
	t.Helper()
	var kept []string
	for _, s := range sendings {
		topic := fmt.Sprintf("matrix.%s.%s.%s", p.wire, l.wire, s.name)
		next := l.dial(t, host, topic)
		send := p.dial(t, host, topic)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		sent := make(chan struct{})
		arrived, stop := context.WithCancel(ctx)
		go func() {
			defer close(sent)
			for arrived.Err() == nil {
				if err := send(ctx, s); err != nil {
					t.Errorf("%s cannot publish %s: %v", p.wire, s.name, err)
					return
				}
				select {
				case <-time.After(20 * time.Millisecond):
				case <-arrived.Done():
				}
			}
		}()
		got, err := next(ctx)
		stop()
		<-sent
		cancel()
		if err != nil {
			t.Errorf("from %s to %s: %s does not arrive: %v", p.wire, l.wire, s.name, err)
			continue
		}
		kept = append(kept, s.kept(got))
	}
	return strings.Join(kept, ", ")
}

// inDocs holds a table of docs/broker.md to text.
func inDocs(t *testing.T, name, text string) {
	t.Helper()
	const file = "../docs/broker.md"
	all, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- table: "+name+" -->\n", "<!-- end -->"
	before, rest, ok := strings.Cut(string(all), begin)
	inside, after, closed := strings.Cut(rest, end)
	switch {
	case !ok || !closed:
		t.Fatalf("%s has nothing between %q and %q", file, begin, end)
	case inside == text:
	case os.Getenv("POLYPORT_UPDATE") == "1":
		if err := os.WriteFile(file, []byte(before+begin+text+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s has, for %s,\n%s\nand it is\n%s\nWrite it anew with POLYPORT_UPDATE=1.", file, name, inside, text)
	}
}
