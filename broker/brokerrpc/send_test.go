package brokerrpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/polyport/polyport/broker/brokerrpc"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A taker is a broker that takes, or does not.
type taker struct {
	transport.BrokerSession

	mu       sync.Mutex // protects the fields below
	verdict  error
	never    bool // calls no done
	sessions int
	got      []*transport.Message
}

func (b *taker) Join(*transport.Info) transport.BrokerSession {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sessions++
	return b
}

func (b *taker) Leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sessions--
}

func (b *taker) Send(m *transport.Message, done func(error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, m)
	if !b.never {
		done(b.verdict)
	}
}

func mustURL(raw string) *url.URL {
	u, err := url.Parse(raw)
	if err != nil {
		panic(err)
	}
	return u
}

// client calls a server in a bubble that has the method.
func client(t *testing.T, b transport.Broker) *rpc.Client {
	t.Helper()
	mux := rpc.NewMux(nil)
	brokerrpc.Register(mux, b)
	server := rpc.NewServer(mux, nil)
	network := new(mem.Network)
	ln, err := network.Listen("s")
	if err != nil {
		t.Fatal(err)
	}
	l := transport.NewListener(ln, mem.Transport{}, nil)
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), l) }()
	nc, err := network.Dial(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := mem.Transport{}.Client(t.Context(), nc, mustURL("mem://s"), nil)
	if err != nil {
		t.Fatal(err)
	}
	c := rpc.NewClient(conn, nil)
	t.Cleanup(func() {
		_ = c.Close()
		_ = l.Close()
		<-served
		if err := server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestSend(t *testing.T) {
	for _, tt := range []struct {
		name, params string
		want         transport.Message
	}{
		{"a text", `{"to":"/topic/news","text":"hello ü","headers":{"b":"2","a":"1"}}`, transport.Message{
			To: "/topic/news", Body: []byte("hello ü"), ContentType: "text/plain", Headers: []transport.Header{{Name: "a", Value: "1"}, {Name: "b", Value: "2"}},
		}},
		{"a value", `{"to":"q","body":{"a": [1]},"reply_to":"/queue/back"}`, transport.Message{
			To: "q", Body: []byte(`{"a": [1]}`), ContentType: "application/json", ReplyTo: "/queue/back",
		}},
		{"null", `{"to":"q","body":null}`, transport.Message{To: "q", Body: []byte(`null`), ContentType: "application/json"}},
		{"bytes", `{"to":"q","base64":"/wAB"}`, transport.Message{To: "q", Body: []byte("\xff\x00\x01")}},
		{"another type", `{"to":"q","text":"<a/>","content_type":"text/xml"}`, transport.Message{To: "q", Body: []byte("<a/>"), ContentType: "text/xml"}},
		{"nothing", `{"to":"q"}`, transport.Message{To: "q"}},
		{"for a while", `{"to":"q","expires_ms":1500}`, transport.Message{To: "q", Expires: time.Date(2000, 1, 1, 0, 0, 1, 5e8, time.UTC)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := new(taker)
				c := client(t, b)
				got, err := rpc.Call[json.RawMessage](t.Context(), c, brokerrpc.Method, json.RawMessage(tt.params))
				if string(got) != "null" || err != nil {
					t.Fatalf("broker.send = %s, %v, want null", got, err)
				}
				m := *b.got[0]
				m.Expires = m.Expires.UTC()
				if diff := cmp.Diff(fmt.Sprintf("%+v", tt.want), fmt.Sprintf("%+v", m)); diff != "" {
					t.Error(diff)
				}
				if b.sessions != 0 {
					t.Errorf("%d sessions are left, want none", b.sessions)
				}
			})
		})
	}
}

func TestRefusals(t *testing.T) {
	const good = `{"to":"/queue/a"}`
	for _, tt := range []struct {
		name, params string
		verdict      error
		code         rpc.Code
		text         string
	}{
		{"no destination", `{"to":""}`, nil, rpc.CodeInvalidParams, `"to" is empty`},
		{"no params", `{}`, nil, rpc.CodeInvalidParams, `to`},
		{"two bodies", `{"to":"a","text":"","base64":""}`, nil, rpc.CodeInvalidParams, "want one of"},
		{"not base64", `{"to":"a","base64":"?"}`, nil, rpc.CodeInvalidParams, "base64"},
		{"a header that is no text", `{"to":"a","headers":{"n":1}}`, nil, rpc.CodeInvalidParams, "n"},
		{"a time before now", `{"to":"a","expires_ms":-1}`, nil, rpc.CodeInvalidParams, "expires_ms"},
		{"a time too far", `{"to":"a","expires_ms":9223372036855}`, nil, rpc.CodeInvalidParams, "expires_ms"},
		{"busy", good, transport.ErrBusy, rpc.CodeBusy, `"/queue/a"`},
		{"not allowed", good, fmt.Errorf("%w: not yours", transport.ErrRefused), brokerrpc.CodeDenied, "not yours"},
		{"no route", good, transport.ErrNoRoute, brokerrpc.CodeNoRoute, `"/queue/a"`},
		{"too large", good, transport.ErrTooLarge, rpc.CodeInvalidParams, "large"},
		{"invalid", good, transport.ErrInvalid, rpc.CodeInvalidParams, `"/queue/a"`},
		{"anything else", good, errors.New("on fire"), rpc.CodeHandler, "on fire"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &taker{verdict: tt.verdict}
				err := client(t, b).Call(t.Context(), brokerrpc.Method, json.RawMessage(tt.params), nil)
				e, ok := errors.AsType[*rpc.Error](err)
				if !ok || e.Code != tt.code || !strings.Contains(e.Message+string(e.Data), tt.text) {
					t.Errorf("broker.send = %v, want code %d and %q", err, tt.code, tt.text)
				}
				if b.sessions != 0 || tt.verdict == nil && len(b.got) > 0 {
					t.Errorf("%d sessions are left, %d messages came, want none", b.sessions, len(b.got))
				}
			})
		})
	}
}

// TestDeadline: who does not wait any longer leaves no session.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &taker{never: true}
		c := client(t, b)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Call(ctx, brokerrpc.Method, json.RawMessage(`{"to":"a"}`), nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("broker.send = %v, want %v", err, context.DeadlineExceeded)
		}
		synctest.Wait()
		time.Sleep(time.Second) // the server gives the caller some time to be the first
		synctest.Wait()
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.sessions != 0 {
			t.Errorf("%d sessions are left, want none", b.sessions)
		}
	})
}
