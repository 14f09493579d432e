package stomp_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/url"
	"regexp"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-stomp/stomp/v3/frame"
	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/stomp"
)

// A tape is a net.Conn that plays bytes in pieces of given lengths, which
// repeat, and swallows what is written.
type tape struct {
	rest   []byte
	pieces []byte
	next   int
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

func (*tape) Write(p []byte) (int, error)      { return len(p), nil }
func (*tape) Close() error                     { return nil }
func (*tape) LocalAddr() net.Addr              { return nil }
func (*tape) RemoteAddr() net.Addr             { return nil }
func (*tape) SetDeadline(time.Time) error      { return nil }
func (*tape) SetReadDeadline(time.Time) error  { return nil }
func (*tape) SetWriteDeadline(time.Time) error { return nil }

// fuzzLimits are small, so that inputs of a fuzzer's size reach them.
var (
	fuzzLimits  = transport.Limits{Message: 2000, HeaderBytes: 500, Headers: 8}
	fuzzOptions = (&transport.DialOptions{Options: transport.Options{Limits: fuzzLimits}}).WithDefaults()
	ovirtFuzz   = (&transport.DialOptions{Options: transport.Options{Limits: fuzzLimits, Profile: transport.OVirt}}).WithDefaults()
)

// play reads all frames of data, in pieces, and hands each to f, which may be
// nil. It returns how it ended. The version "ovirt" is 1.2 as oVirt's clients have it.
func play(data, pieces []byte, version string, f func(*frame.Frame, *transport.Message)) error {
	o := fuzzOptions
	if version == ovirtVersion {
		version, o = "1.2", ovirtFuzz
	}
	r := stomp.NewFrameReader(&tape{rest: data, pieces: pieces}, version, &o.Options)
	defer r.Close()
	for {
		got, m, err := r.Next()
		if err != nil {
			return err
		}
		if f != nil {
			f(got, m)
		}
	}
}

// kindOf is what of an error must not depend on how the bytes were split; its
// text quotes what had arrived.
func kindOf(err error) string {
	for _, kind := range []error{transport.ErrProtocol, transport.ErrTooLarge, io.EOF} {
		if errors.Is(err, kind) {
			return kind.Error()
		}
	}
	return "unexpected"
}

// fuzzVersions are what a reader may be told.
var fuzzVersions = append(slices.Clone(versions), ovirtVersion)

const ovirtVersion = "ovirt"

// transcript appends everything that play finds to b and returns how it ended.
func transcript(b, data, pieces []byte, version string) ([]byte, error) {
	err := play(data, pieces, version, func(f *frame.Frame, m *transport.Message) { b = appendPicture(b, f, m) })
	return append(append(b, "\nend "...), kindOf(err)...), err
}

// appendPicture appends all that a frame and the message that it carries say,
// for speed in bytes of no particular form.
func appendPicture(b []byte, f *frame.Frame, m *transport.Message) []byte {
	b = append(append(b, "\nframe "...), f.Command...)
	for i := range f.Header.Len() {
		name, value := f.Header.GetAt(i)
		b = append(append(append(append(b, "\nname "...), name...), " value "...), value...)
	}
	if m != nil {
		for _, field := range [...]string{m.To, m.ReplyTo, m.ContentType, m.Subject, m.Subscription, m.ID.String(), m.CorrelationID.String()} {
			b = append(append(b, "\nfield "...), field...)
		}
		b = strconv.AppendInt(append(b, "\nexpires "...), m.Expires.UnixMilli(), 10)
		b = strconv.AppendBool(append(b, "\ndurable "...), m.Durable)
		b = strconv.AppendInt(append(b, "\nattempt "...), int64(m.Attempt), 10)
		for _, h := range m.Headers {
			b = append(append(append(append(b, "\nheader "...), h.Name...), " value "...), h.Value...)
		}
	}
	return append(append(b, "\nbody "...), f.Body...)
}

// picture is appendPicture's for a frame of the oracle, whose header has all.
func picture(f *frame.Frame) string {
	if f.Command != frame.SEND && f.Command != frame.MESSAGE {
		return string(appendPicture(nil, f, nil))
	}
	get := f.Header.Get
	m := &transport.Message{
		To: get("destination"), ReplyTo: get("reply-to"), ContentType: get("content-type"), Subject: get("subject"),
		Subscription: get("subscription"), ID: transport.TextID(get("amqp-message-id")), CorrelationID: transport.TextID(get("correlation-id")),
		Durable: get("persistent") == "true",
	}
	if get("redelivered") == "true" {
		m.Attempt = 1
	}
	if ms, err := strconv.ParseInt(get("expires"), 10, 64); err == nil && ms > 0 {
		m.Expires = time.UnixMilli(ms)
	}
	own := &frame.Frame{Command: f.Command, Header: frame.NewHeader(), Body: f.Body}
	for i := range f.Header.Len() {
		switch name, value := f.Header.GetAt(i); name {
		case "content-length", "message-id", "ack", "receipt", "receipt-id", "transaction":
			own.Header.Add(name, value)
		case "destination", "reply-to", "content-type", "subject", "subscription", "amqp-message-id", "correlation-id",
			"persistent", "redelivered", "expires":
		default:
			m.Headers = append(m.Headers, transport.Header{Name: name, Value: value})
		}
	}
	return string(appendPicture(nil, own, m))
}

// FuzzFrameReader: no bytes make the reader panic, take much more memory than
// they are long, or depend on how the network has split them.
func FuzzFrameReader(f *testing.F) {
	for _, s := range seeds() {
		for v := range fuzzVersions {
			f.Add([]byte(s), []byte{}, byte(v))
			f.Add([]byte(s), []byte{0}, byte(v))
			f.Add([]byte(s), []byte{6, 0, 1, 40}, byte(v))
		}
	}
	var whole, split []byte // memory that is used again
	f.Fuzz(func(t *testing.T, data, pieces []byte, v byte) {
		version := fuzzVersions[int(v)%len(fuzzVersions)]
		var err error
		if whole, err = transcript(whole[:0], data, nil, version); kindOf(err) == "unexpected" {
			t.Errorf("%q: err = %v, want one of a kind", data, err)
		}
		if split, _ = transcript(split[:0], data, pieces, version); !bytes.Equal(whole, split) {
			t.Errorf("%q, split by %v: (-whole +split)\n%s", data, pieces, cmp.Diff(string(whole), string(split)))
		}
		// A claimed length may take as much as a message may have, once.
		most := uint64(4*len(data) + fuzzLimits.Message + 64<<10)
		if got := cost(data, pieces, version, most); got > most {
			t.Errorf("%q: %d bytes were allocated for %d, want at most %d", data, got, len(data), most)
		}
	})
}

// cost returns how many bytes reading data allocates, by a counter that is
// quick to read and late by some pages. A measurement over most is repeated,
// since others' allocations and earlier ones are counted, too.
func cost(data, pieces []byte, version string, most uint64) (least uint64) {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	for i := range 5 {
		metrics.Read(sample)
		before := sample[0].Value.Uint64()
		_ = play(data, pieces, version, nil)
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

// seeds are inputs that each show something.
func seeds() []string {
	escapes := "SEND\ndestination:rpc\na\\cb:\\n\\\\\\c\\r\n\n\x00"
	return []string{
		"", "\n", "\r\n\n", "\x00", "A", "CONNECT\n", "CONNECT\n\n\x00", "CONNECT\naccept-version:1.2\nlogin:a\\q\n\n\x00\n",
		"STOMP\r\naccept-version:1.1\r\n\r\n\x00",
		"CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\x00",
		"SEND\ndestination:/queue/rpc\n\nhello\x00\nDISCONNECT\nreceipt:1\n\n\x00\n",
		"SEND\ndestination:rpc\ncontent-length:5\n\nhe\x00lo\x00\n\r\nACK\nid:1\n\n\x00",
		"SEND\ncontent-length:4294967295\n\nx", "SEND\ncontent-length:2000\n\nx", "SEND\ncontent-length:-1\n\n\x00", "SEND\ncontent-length:3\n\nhello\x00",
		"SEND\ncontent-length:1\ncontent-length:2\n\na\x00", "SUBSCRIBE\nid:1\n\nbody\x00", "SUBSCRIBE\nid:1\ncontent-length:0\n\n\x00",
		strings.Repeat("SEND\ndestination:a\ndestination:b\nsubject:c\nk:v\nexpires:1\npersistent:true\nk:w\nredelivered:true\n\n\x00", 2),
		"SEND\ndestination:a\nk:v\n\n\x00SEND\r\ndestination:a\r\nk:v\r\n\r\n\x00SEND\ndestination:ab\nk:v\n\n\x00ERROR\ndestination:ab\nk:v\n\n\x00",
		"MESSAGE\nsubscription:s\nmessage-id:1\n\n\x00RECEIPT\nreceipt-id:1\n\n\x00ERROR\nmessage:no\n\nno\n\x00",
		escapes, "SEND\nk:a\\", "SEND\nk:\\t\n\n\x00", "SEND\n:v\n\n\x00", "SEND\nk\n\n\x00", "SEND\nk:a\x00b\n\n\x00", "SEND\nk: v\nk:  w \n\n\x00", "SEND\r\nk:v\r\r\n\n\r\n\x00",
		"SEND\n" + strings.Repeat("k:v\n", 8) + "\n\x00", "SEND\n" + strings.Repeat("k:v\n", 9) + "\n\x00",
		"SEND\nk:" + strings.Repeat("v", 490) + "\n\n\x00", "SEND\nk:" + strings.Repeat("v", 491) + "\n\n\x00", "SEND\nk:" + strings.Repeat("v", 4000) + "\n\n\x00",
		"SEND\n\n" + strings.Repeat("b", 2000) + "\x00", "SEND\n\n" + strings.Repeat("b", 2001) + "\x00",
		"HELLO\nk:v\ncontent-length:2\n\n\x00b\x00SUBSCRIBE\nid:1\n\nbody\x00ACKACKACKACKACKACK\n", "CONNECT\ncontent-length:9\n\n\x00",
		"BEGIN\ntransaction:t\n\n\x00COMMIT\ntransaction:t\n\n\x00ABORT\ntransaction:t\n\n\x00NACK\nid:1\n\n\x00UNSUBSCRIBE\nid:1\n\n\x00",
	}
}

// FuzzOracle holds our reader against another: what ours takes for a frame is
// one, with the same content.
func FuzzOracle(f *testing.F) {
	for _, s := range seeds() {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if lenient(data) {
			t.Skip("the two readers differ here on purpose")
		}
		oracle := frame.NewReader(bytes.NewReader(data))
		err := play(data, nil, "1.2", func(f *frame.Frame, m *transport.Message) {
			ours := string(appendPicture(nil, f, m))
			for {
				theirs, err := oracle.Read()
				if err != nil {
					t.Fatalf("%q: we read the frame\n%s\nthe oracle %v", data, ours, err)
				}
				if theirs == nil {
					continue // a line end between frames
				}
				if want := picture(theirs); ours != want {
					t.Fatalf("%q: (-oracle +ours)\n%s", data, cmp.Diff(want, ours))
				}
				return
			}
		})
		if errors.Is(err, io.EOF) {
			if theirs, err := oracle.Read(); theirs != nil && err == nil {
				t.Errorf("%q: the oracle reads another frame,\n%s\n%s", data, theirs.Command, headers(theirs))
			}
		}
	})
}

// lenient reports inputs that the oracle judges otherwise: it takes a bare CR
// for a part of a command, unescapes the headers of the handshake, which the
// specification forbids, and does not trim a length.
func lenient(data []byte) bool {
	if bytes.Contains(bytes.ReplaceAll(data, []byte("\r\n"), nil), []byte("\r")) {
		return true
	}
	s := string(data)
	if strings.Contains(s, "\\") && (strings.Contains(s, "CONNECT") || strings.Contains(s, "STOMP")) {
		return true
	}
	return len(plainLength.FindAllString(s, -1)) != strings.Count(s, "content-length")
}

var plainLength = regexp.MustCompile(`content-length:[0-9]{1,5}\r?\n`)

// FuzzAgent: whatever an oVirt host agent says, from its first byte on, the client
// ends with an error of a kind.
func FuzzAgent(f *testing.F) {
	for _, s := range seeds() {
		f.Add([]byte(s), []byte{})
		f.Add([]byte("CONNECTED\nversion:1.2\nheart-beat:6666,10000\n\n\x00"+s), []byte{6, 0, 1, 40})
	}
	u, _ := url.Parse("stomp://h")
	o := agentOptions(transport.DialOptions{Options: transport.Options{Limits: fuzzLimits, Linger: time.Nanosecond}})
	f.Fuzz(func(t *testing.T, data, pieces []byte) {
		c, err := stomp.Transport{}.Client(t.Context(), addressed{&tape{rest: data, pieces: pieces}}, u, o)
		if err == nil {
			defer c.Close()
		}
		for err == nil {
			_, err = c.Recv(t.Context())
		}
		for _, kind := range []error{transport.ErrProtocol, transport.ErrTooLarge, transport.ErrRefused, transport.ErrClosed, io.EOF} {
			if errors.Is(err, kind) {
				return
			}
		}
		t.Errorf("%q: err = %v, want one of a kind", data, err)
	})
}

// addressed has addresses.
type addressed struct{ *tape }

func (addressed) LocalAddr() net.Addr  { return &net.TCPAddr{} }
func (addressed) RemoteAddr() net.Addr { return &net.TCPAddr{} }
