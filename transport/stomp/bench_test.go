package stomp_test

import (
	"net/url"
	"strconv"
	"testing"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/stomp"
)

// A loop is a tape that begins again at its end.
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

// BenchmarkReadMessages reads the requests of a busy caller.
func BenchmarkReadMessages(b *testing.B) {
	var all []byte
	for i := range 1000 {
		all = append(all, "SEND\ndestination:/queue/rpc\nreply-to:/temp-queue/rpc\ncontent-type:application/json\ncorrelation-id:"...)
		all = strconv.AppendInt(all, int64(10000+i), 10)
		all = append(all, "\ncontent-length:64\n\n"+`{"jsonrpc":"2.0","id":12345,"method":"Math.Sum","params":[1,2,3]}`[:64]+"\x00"...)
	}
	o := (*transport.DialOptions)(nil).WithDefaults()
	r := stomp.NewFrameReader(&loop{all: all}, "1.2", &o.Options)
	defer r.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, m, err := r.Next(); err != nil || len(m.Body) != 64 {
			b.Fatal(m, err)
		}
	}
}

// BenchmarkSend sends the answers of a busy server to nowhere.
func BenchmarkSend(b *testing.B) {
	client, err := stomp.Transport{}.Client(b.Context(), &tape{rest: []byte("CONNECTED\nversion:1.2\n\n\x00")}, &url.URL{Scheme: "stomp"}, nil)
	if err != nil {
		b.Fatal(err)
	}
	m := &transport.Message{
		To: "/temp-queue/rpc", ContentType: "application/json", CorrelationID: transport.TextID("12345"),
		Body: []byte(`{"jsonrpc":"2.0","id":12345,"result":6}`),
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := client.Send(b.Context(), m); err != nil {
			b.Fatal(err)
		}
	}
}
