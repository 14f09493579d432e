package zmq_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/internal/hostile"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/zmq"
)

// A tape is a net.Conn that plays bytes in pieces of given lengths, which
// repeat, and keeps what is written.
type tape struct {
	rest   []byte
	pieces []byte
	next   int

	mu    sync.Mutex // protects the field below
	wrote []byte
}

func (t *tape) Read(p []byte) (int, error) {
	if len(t.rest) == 0 {
		return 0, io.EOF
	}
	n := len(t.rest)
	if len(t.pieces) > 0 {
		n = min(n, int(t.pieces[t.next%len(t.pieces)])+1)
		t.next++
	}
	n = copy(p, t.rest[:n])
	t.rest = t.rest[n:]
	return n, nil
}

func (t *tape) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wrote = append(t.wrote, p...)
	return len(p), nil
}

// written returns what was written since the last call.
func (t *tape) written() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.wrote
	t.wrote = nil
	return b
}

func (*tape) Close() error                     { return nil }
func (*tape) LocalAddr() net.Addr              { return &net.UnixAddr{Name: "tape"} }
func (*tape) RemoteAddr() net.Addr             { return &net.UnixAddr{Name: "tape"} }
func (*tape) SetDeadline(time.Time) error      { return nil }
func (*tape) SetReadDeadline(time.Time) error  { return nil }
func (*tape) SetWriteDeadline(time.Time) error { return nil }

// fuzzLimits are small, so that inputs of a fuzzer's size reach them.
var fuzzLimits = transport.Limits{Message: 2000, HeaderBytes: 500, Headers: 8, Subscriptions: 10}

// A role is an end to be fuzzed. The url of a server is empty.
type role struct {
	url   string
	users bool
	good  [][]byte // a handshake that it takes
}

var roles = []role{
	{"", false, [][]byte{null, readyAs("DEALER", oursAsClient)}},
	{"", false, [][]byte{null, ready("DEALER")}},
	{"", false, [][]byte{null, readyAs("REQ", oursAsClient)}},
	{"", false, [][]byte{null, ready("SUB")}},
	{"", true, [][]byte{greet(0, "PLAIN"), helloOf("ann", "right"), initiate("DEALER")}},
	{"zmq://h", false, [][]byte{null, readyAs("ROUTER", oursAsServer)}},
	{"zmq://h", false, [][]byte{null, ready("REP")}},
	{"zmq://h?socket=req", false, [][]byte{null, ready("REP")}},
	{"zmq://h?socket=sub", false, [][]byte{null, readyAs("PUB", oursAsServer)}},
	{"zmq://ann:right@h", false, [][]byte{greet(0, "PLAIN"), command("WELCOME", ""), ready("ROUTER")}},
}

// open shakes hands on nc.
func (r role) open(nc net.Conn) (transport.Conn, error) {
	o := transport.Options{Limits: fuzzLimits, Heartbeat: -1}
	if r.url == "" {
		l := &transport.ListenOptions{Options: o}
		if r.users {
			l.Authenticator = transport.Users(map[string]string{"ann": "right"})
		}
		return zmq.Transport{}.Server(context.Background(), nc, l)
	}
	u, err := url.Parse(r.url)
	if err != nil {
		return nil, err
	}
	return zmq.Transport{}.Client(context.Background(), nc, u, &transport.DialOptions{Options: o})
}

// play has the end read all of data, and returns what it made of it, unless that
// is too much to ask, and how it ended. Nil pieces are one.
func (r role) play(data, pieces []byte, quiet bool) (transcript string, err error) {
	var b strings.Builder
	note := func(format string, args ...any) {
		if !quiet {
			fmt.Fprintf(&b, format, args...)
		}
	}
	nc := &tape{rest: data, pieces: pieces}
	c, err := r.open(nc)
	note("said %q\n", nc.written())
	if err != nil {
		note("refused %s", kindOf(err))
		return b.String(), err
	}
	defer c.Close()
	note("open, headers %v, lock-step %v, feed %v\n", c.Info().Headers, c.Info().Lockstep, c.Info().Feed)
	for {
		m, err := c.Recv(context.Background())
		if err != nil {
			note("end %s", kindOf(err))
			return b.String(), err
		}
		if !quiet {
			note("%q\n", picture(m))
		}
	}
}

// picture is what a message says.
func picture(m *transport.Message) []string {
	all := []string{
		m.To, m.ReplyTo, m.Subject, m.ContentType, m.Subscription, strconv.Itoa(int(m.ID.Kind())) + m.ID.String(),
		strconv.Itoa(int(m.CorrelationID.Kind())) + m.CorrelationID.String(), m.Expires.String(), strconv.FormatBool(m.Durable), string(m.Body),
	}
	for _, h := range m.Headers {
		all = append(all, h.Name, h.Value)
	}
	return all
}

// kindOf is what of an error must not depend on how the bytes were split; its
// text quotes what had arrived.
func kindOf(err error) string {
	for _, kind := range []error{transport.ErrProtocol, transport.ErrTooLarge, transport.ErrRefused, transport.ErrNoRoute, transport.ErrClosed} {
		if errors.Is(err, kind) {
			return kind.Error()
		}
	}
	return "unexpected"
}

// judge plays data whole and in pieces: no bytes make an end panic, take much
// more memory than they are long, or depend on how the network has split them.
func judge(t *testing.T, r role, data, pieces []byte) {
	t.Helper()
	whole, err := r.play(data, nil, false)
	if text := err.Error(); kindOf(err) == "unexpected" || len(text) > 600 || strings.Contains(text, "zmq4") {
		t.Errorf("%+v, %q: err = %v, want one of a kind in few words", r, data, err)
	}
	if split, _ := r.play(data, pieces, false); whole != split {
		t.Errorf("%+v, %q, split by %v: (-whole +split)\n%s", r, data, pieces, cmp.Diff(whole, split))
	}
	// An empty message is two bytes, and a transport.Message here. A claimed length
	// may take as much as a message may have, once.
	most := uint64(200*len(data) + fuzzLimits.Message + 128<<10)
	if got := cost(r, data, pieces, most); got > most {
		t.Errorf("%+v, %q: %d bytes were allocated for %d, want at most %d", r, data, got, len(data), most)
	}
}

// cost returns how many bytes reading data allocates, by a counter that is
// quick to read and late by some pages. A measurement over most is repeated,
// since others' allocations and earlier ones are counted, too.
func cost(r role, data, pieces []byte, most uint64) (least uint64) {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	for i := range 5 {
		metrics.Read(sample)
		before := sample[0].Value.Uint64()
		_, _ = r.play(data, pieces, true)
		metrics.Read(sample)
		if got := sample[0].Value.Uint64() - before; i == 0 || got < least {
			least = got
		}
		if least <= most {
			break
		}
	}
	return least
}

var splits = [][]byte{{}, {0}, {6, 0, 1, 40}}

// FuzzHandshake: arbitrary bytes in place of a handshake.
func FuzzHandshake(f *testing.F) {
	for i, r := range roles {
		for _, s := range splits {
			f.Add(byte(i), join(join(r.good...), last("body")), s)
		}
	}
	for i, b := range hostile.ZMQ() {
		if len(b) < 2000 {
			f.Add(byte(i), b, splits[i%len(splits)])
		}
	}
	f.Fuzz(func(t *testing.T, which byte, data, pieces []byte) {
		judge(t, roles[int(which)%len(roles)], data, pieces)
	})
}

// FuzzFrames: arbitrary bytes after a good handshake.
func FuzzFrames(f *testing.F) {
	all := magic + property("content-type", "application/json") + property("correlation-id", "n12") + property("id", "u0123456789abcdef") +
		property("to", "rpc") + property("reply-to", "r") + property("subject", "s") + property("expires", "\x02\x02") +
		property("durable", "") + property("X-a", "b") + property("else", "c")
	for i := range roles {
		for j, b := range [][]byte{
			nil, last("body"), join(more(""), last("body")), join(more("id"), more(""), last("body"), last("body")),
			join(more(all), last("body"), more(""), more(all), last("")), join(more("topic"), more(all), last("body")),
			command("PING", "\x00\x0acontext"), command("SUBSCRIBE", "a"), join(last("\x01a"), last("\x00a"), last("b")),
			join(more(""), command("PING", "\x00\x0a")), lying(0, 1<<62), lying(1, 2000), lying(3, 1),
			{8, 0},
			{4, 0},
			bytes.Repeat(more("x"), 9), command("ERROR", "\x03why"), last(strings.Repeat("x", 2000)), last(strings.Repeat("x", 2001)),
		} {
			f.Add(byte(i), b, splits[j%len(splits)])
		}
	}
	f.Fuzz(func(t *testing.T, which byte, data, pieces []byte) {
		r := roles[int(which)%len(roles)]
		judge(t, r, join(join(r.good...), data), pieces)
	})
}

// FuzzProperties: what a message says arrives as it was sent, or is refused.
func FuzzProperties(f *testing.F) {
	f.Add("", "", "", "", byte(0), []byte(nil), int64(0), int64(0), false, "", []byte(nil))
	f.Add("rpc", "reply", "subject", "application/json", byte(1), []byte("7"), int64(1), int64(2), true, "a=1\na=\nb", []byte("body"))
	f.Add("other", "", "", "text/plain", byte(2), []byte("0123456789abcdef"), int64(-1), int64(999999999), false, strings.Repeat("x", 253), []byte("{}"))
	f.Add("rpc", "\x00zmq:", "", "", byte(3), []byte{}, int64(1)<<40, int64(0), false, "=", []byte("\x01polyport\x01"))
	f.Fuzz(func(t *testing.T, to, replyTo, subject, contentType string, kind byte, id []byte, sec, nano int64, durable bool, headers string, body []byte) {
		m := &transport.Message{
			To: to, ReplyTo: replyTo, Subject: subject, ContentType: contentType, ID: idOf(kind, id), CorrelationID: idOf(kind/4, id),
			Durable: durable, Body: body,
		}
		if sec != 0 {
			m.Expires = time.Unix(sec, nano).UTC()
		}
		for line := range strings.Lines(headers) {
			name, value, _ := strings.Cut(line, "=")
			m.Headers = append(m.Headers, transport.Header{Name: name, Value: value})
		}
		nc := &tape{rest: join(null, readyAs("ROUTER", oursAsServer+"&destination=other"))}
		c, err := role{url: "zmq://h"}.open(nc)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		nc.written()
		if err := c.Send(context.Background(), m); err != nil {
			if !transport.NotSent(err) || kindOf(err) == transport.ErrClosed.Error() {
				t.Fatalf("Send(%+v) = %v, want it refused", m, err)
			}
			return
		}
		flusher, _ := transport.As[transport.Flusher](c)
		if err := flusher.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		got := receiveOne(t, nc.written())
		if m.To == "" {
			m.To = "rpc"
		}
		if diff := cmp.Diff(picture(m), picture(got)); diff != "" {
			t.Errorf("(-sent +received)\n%s", diff)
		}
	})
}

// receiveOne has a server receive one message.
func receiveOne(t *testing.T, wire []byte) *transport.Message {
	t.Helper()
	o := &transport.ListenOptions{Destinations: []string{"rpc", "other"}}
	o.Limits, o.Heartbeat = fuzzLimits, -1
	s, err := zmq.Transport{}.Server(context.Background(), &tape{rest: join(null, readyAs("DEALER", oursAsClient), wire)}, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m, err := s.Recv(context.Background())
	if err != nil {
		t.Fatalf("%q was sent; Recv = %v", wire, err)
	}
	return m
}

// idOf is an ID of one of the kinds.
func idOf(kind byte, b []byte) transport.ID {
	switch kind % 5 {
	case 0:
		return transport.TextID(string(b))
	case 1:
		n := uint64(0)
		for _, c := range b {
			n = n<<8 | uint64(c)
		}
		return transport.NumberID(n)
	case 2:
		var u [16]byte
		copy(u[:], b)
		return transport.UUIDID(u)
	case 3:
		return transport.BinaryID(b)
	}
	return transport.ID{}
}
