package zmq_test

import (
	"context"
	"net/url"
	"testing"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/zmq"
)

// A loop is a tape that begins again at its end, after a handshake, and forgets
// what is written.
type loop struct {
	tape
	all []byte
}

func (l *loop) Read(p []byte) (int, error) {
	if len(l.rest) == 0 {
		l.rest = l.all
	}
	return l.tape.Read(p)
}

func (*loop) Write(p []byte) (int, error) { return len(p), nil }

// The three forms of the request of a busy caller, without heart-beats.
var requests = map[string][]byte{
	"body":       last(question),
	"delimited":  join(more(""), last(question)),
	"properties": join(more(magic+property("content-type", "application/json")+property("correlation-id", "t12345")), last(question)),
	"envelope":   join(more("\x00abcd"), more(""), last(question)),
}

// BenchmarkReadMessages reads the requests of a busy caller.
func BenchmarkReadMessages(b *testing.B) {
	for name, request := range requests {
		b.Run(name, func(b *testing.B) {
			var all []byte
			for range 1000 {
				all = append(all, request...)
			}
			hello := ready("DEALER")
			if name == "properties" {
				hello = readyAs("DEALER", oursAsClient)
			}
			o := &transport.ListenOptions{Options: transport.Options{Heartbeat: -1}}
			server, err := zmq.Transport{}.Server(b.Context(), &loop{tape: tape{rest: join(null, hello)}, all: all}, o)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.SetBytes(int64(len(request)))
			for b.Loop() {
				if m, err := server.Recv(context.Background()); err != nil || len(m.Body) != len(question) {
					b.Fatal(m, err)
				}
			}
		})
	}
}

// BenchmarkSend sends the answers of a busy server to nowhere.
func BenchmarkSend(b *testing.B) {
	for name, hello := range map[string][]byte{"foreign": ready("ROUTER"), "ours": readyAs("ROUTER", oursAsServer)} {
		b.Run(name, func(b *testing.B) {
			o := &transport.DialOptions{Options: transport.Options{Heartbeat: -1}}
			client, err := zmq.Transport{}.Client(b.Context(), &loop{tape: tape{rest: join(null, hello)}}, &url.URL{Scheme: "zmq"}, o)
			if err != nil {
				b.Fatal(err)
			}
			m := &transport.Message{
				ContentType: "application/json", CorrelationID: transport.TextID("12345"), Body: []byte(`{"jsonrpc":"2.0","id":12345,"result":6}`),
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := client.Send(b.Context(), m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkWants asks a publisher with some subscriptions whether anybody wants
// a topic.
func BenchmarkWants(b *testing.B) {
	var say []byte
	for c := 'a'; c <= 'z'; c++ {
		say = append(say, last("\x01topic."+string(c))...)
	}
	server, err := zmq.Transport{}.Server(b.Context(), &tape{rest: join(null, ready("SUB"), say, more("x"))}, nil)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	_, _ = server.Recv(ctx)
	a, _ := transport.As[transport.Audience](server)
	b.ReportAllocs()
	for b.Loop() {
		a.Wants("topic.nobody")
	}
}
