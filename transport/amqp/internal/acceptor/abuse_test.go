package acceptor_test

import (
	"context"
	"encoding/binary"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp/internal/codec"
	"github.com/polyport/polyport/transport/amqp/internal/frames"
)

// An attack is what a stranger says, and how it is to be answered.
type attack struct {
	name, said, verdict string
	memory              uint64 // that may be taken, where it is over 1 MiB
}

// nested is a value with n lists in each other.
func nested(n int) []byte {
	b := []byte{0x45}
	for range n {
		b = append(codec.AppendNull(nil), b...)
		b[0] = 0xd0
		head := binary.BigEndian.AppendUint32([]byte{0xd0}, uint32(len(b)-1+4))
		b = append(binary.BigEndian.AppendUint32(head, 1), b[1:]...)
	}
	return b
}

// zeros is an array of n elements that take no bytes.
func zeros(n uint32) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0xf0, 0, 0, 0, 5}, n), 0x43)
}

// annotated is a message with an annotation whose key is a list.
func annotated(code byte, key []byte) string {
	m, at := codec.BeginMap(nil)
	m = append(append(m, key...), str("value")...)
	return section(code, codec.EndMap(m, at, 2)) + data("x")
}

// many says something n times.
func many(n int, f func(i int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(f(i))
	}
	return b.String()
}

func attacks() []attack {
	deep, shallow := nested(10_000), nested(5_000)
	aborted := performative(0, frames.CodeTransfer, u32(0), u32(1), bin("1"), u32(0), yes(false), yes(false), null, null, null, yes(true))
	return []attack{
		// Before the connection is open.
		{name: "garbage", said: "\x00\x01\x02\xff\xfe nonsense", verdict: "close"},
		{name: "HTTP", said: "GET / HTTP/1.1\r\n\r\n", verdict: "close"},
		{name: "half a header", said: "AMQP\x00", verdict: "close"},
		{name: "AMQP 0-9-1", said: "AMQP\x00\x00\x09\x01", verdict: "close"},
		{name: "silence after the header", said: header, verdict: "close amqp:resource-limit-exceeded"},
		{name: "silence after the SASL header", said: "AMQP\x03\x01\x00\x00", verdict: "sasl 1"},
		{name: "SASL garbage", said: "AMQP\x03\x01\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff", verdict: "sasl 1"},
		{name: "SASL of an unknown mechanism", said: sasl("MAGIC", ""), verdict: "sasl 1"},
		{name: "SASL with a broken response", said: sasl("PLAIN", "\x00\x00\x00\x00"), verdict: "sasl 1"},
		{name: "SASL for another", said: sasl("PLAIN", "root\x00me\x00x"), verdict: "sasl 1"},
		{name: "SASL frame of AMQP", said: "AMQP\x03\x01\x00\x00" + begin()[8:], verdict: "sasl 1"},
		{name: "SASL twice", said: sasl("ANONYMOUS", "") + "AMQP\x03\x01\x00\x00", verdict: "sasl 1"},
		{name: "SASL frame after the header", said: header + sasl("PLAIN", "")[8:], verdict: "close amqp:not-allowed"},
		{name: "4 GiB frame", said: header + frameOf(1<<32-1, 0, "x"), verdict: "close amqp:connection:framing-error"},
		{name: "begin before open", said: header + begin()[len(hello()):], verdict: "close amqp:not-allowed"},
		{name: "open without a name", said: header + performative(0, frames.CodeOpen), verdict: "close amqp:decode-error"},
		{name: "open with tiny frames", said: header + performative(0, frames.CodeOpen, str("x"), null, u32(511)), verdict: "close amqp:invalid-field"},
		{name: "open that bears a millisecond", said: header + performative(0, frames.CodeOpen, str("x"), null, null, null, u32(1)), verdict: "close amqp:invalid-field"},
		{
			name:    "open nesting 10,000 deep",
			said:    header + performative(0, frames.CodeOpen, str("x"), null, null, null, null, null, null, null, null, deep[:1]),
			verdict: "close amqp:decode-error",
		},
		{name: "open with 2^32 locales", said: header + performative(0, frames.CodeOpen, str("x"), null, null, null, null, zeros(1<<32-1)), verdict: "close amqp:decode-error"},

		// Frames.
		{name: "4 GiB frame, later", said: sending() + frameOf(1<<32-1, 0, "x"), verdict: "close amqp:connection:framing-error"},
		{name: "1 MiB frame that does not come", said: sending() + frameOf(1<<20, 0, transfer(0, 0, false, false, "")[8:]), verdict: "close"},
		{name: "frame of 7 bytes", said: sending() + frameOf(7, 0, ""), verdict: "close amqp:connection:framing-error"},
		{name: "data offset beyond the end", said: sending() + "\x00\x00\x00\x08\x03\x00\x00\x00", verdict: "close amqp:connection:framing-error"},
		{name: "frame of another type", said: sending() + frameOf(12, 7, "\x00\x53\x10\x45"), verdict: "close amqp:connection:framing-error"},
		{name: "unknown performative", said: sending() + performative(0, 0x99), verdict: "close amqp:not-implemented"},
		{name: "unknown symbolic performative", said: sending() + frameOf(16, 0, "\x00\xa3\x04what\x45"), verdict: "close amqp:not-implemented"},
		{name: "performative that is no list", said: sending() + frameOf(12, 0, "\x00\x53\x10\x43"), verdict: "close amqp:decode-error"},
		{name: "no performative", said: sending() + frameOf(12, 0, "abcd"), verdict: "close amqp:decode-error"},
		{name: "large frame without a performative", said: sending() + frameOf(1<<19, 0, strings.Repeat("x", 100)), verdict: "close amqp:decode-error"},
		{name: "large begin", said: sending() + frameOf(1<<19, 0, "\x00\x53\x11\xd0\x00\x07\x00\x00"+strings.Repeat("x", 100)), verdict: "close amqp:connection:framing-error"},
		{name: "open twice", said: sending() + hello()[8:], verdict: "close amqp:not-allowed"},
		{name: "nesting 10,000 deep", said: sending() + performative(0, frames.CodeFlow, null, u32(1), u32(0), u32(1), null, null, null, null, null, null, deep), verdict: "close amqp:connection:framing-error"},
		{name: "nesting 5,000 deep", said: sending() + performative(0, frames.CodeFlow, null, u32(1), u32(0), u32(1), null, null, null, null, null, null, shallow), verdict: "close amqp:decode-error"},
		{name: "array of 2^32 zero-width elements", said: sending() + performative(0, frames.CodeFlow, null, u32(1), u32(0), u32(1), null, null, null, null, null, null, zeros(1<<32-1)), verdict: "close amqp:decode-error"},

		// Sessions.
		{name: "channel without a session", said: hello() + transfer(0, 0, true, false, data("x")), verdict: "close amqp:not-allowed"},
		{name: "begin twice", said: begin() + begin()[len(hello()):], verdict: "close amqp:not-allowed"},
		{name: "begin that answers", said: hello() + performative(0, frames.CodeBegin, codec.AppendUshort(nil, 3), u32(0), u32(1), u32(1)), verdict: "close amqp:not-allowed"},
		{name: "channel over the maximum", said: hello() + performative(300, frames.CodeBegin, null, u32(0), u32(1), u32(1)), verdict: "close amqp:connection:framing-error"},
		{name: "end of no session", said: begin() + performative(1, frames.CodeEnd), verdict: "close amqp:not-allowed"},
		{name: "transfer on an unknown handle", said: sending() + transfer(7, 0, true, false, data("x")), verdict: "end amqp:session:unattached-handle"},
		{name: "flow on an unknown handle", said: sending() + performative(0, frames.CodeFlow, null, u32(1), u32(0), u32(1), u32(9)), verdict: "end amqp:session:unattached-handle"},
		{name: "detach of an unknown handle", said: sending() + performative(0, frames.CodeDetach, u32(9)), verdict: "end amqp:session:unattached-handle"},
		{name: "handle in use", said: sending() + attach(0, "again", "rpc"), verdict: "end amqp:session:handle-in-use"},
		{name: "handle over the maximum", said: begin() + attach(1<<20, "x", "rpc"), verdict: "close amqp:connection:framing-error"},
		{
			name: "window not kept", verdict: "end amqp:session:window-violation",
			said: sending() + many(20_000, func(int) string { return transfer(0, 0, true, true, "") }),
		},
		{name: "disposition from the back", said: sending() + performative(0, frames.CodeDisposition, yes(true), u32(5), u32(1)), verdict: "close amqp:invalid-field"},

		// Links.
		{name: "attach without a name", said: begin() + performative(0, frames.CodeAttach, null, u32(0), yes(false)), verdict: "close amqp:decode-error"},
		{name: "attach without a target", said: begin() + performative(0, frames.CodeAttach, str("x"), u32(0), yes(false)), verdict: "detach amqp:invalid-field"},
		{name: "attach with an unknown terminus", said: begin() + performative(0, frames.CodeAttach, str("x"), u32(0), yes(false), null, null, raw(section(0x99, raw("\x45")))), verdict: "close amqp:decode-error"},
		{name: "attach with an unknown mode", said: begin() + performative(0, frames.CodeAttach, str("x"), u32(0), yes(false), ubyte(9)), verdict: "close amqp:decode-error"},
		{name: "attach of a coordinator", said: begin() + performative(0, frames.CodeAttach, str("x"), u32(0), yes(false), null, null, null, raw(section(0x30, raw("\x45")))), verdict: "detach amqp:not-implemented"},
		{name: "link stolen", said: sending() + attach(1, "out", "rpc"), verdict: "detach amqp:link:stolen"},
		{name: "transfer to a receiver", said: begin() + receive(0, "in", "a", 2) + transfer(0, 0, true, false, data("x")), verdict: "detach amqp:not-allowed"},
		{name: "transfers over the credit", said: sending() + many(2000, func(i int) string { return transfer(0, uint32(i), true, false, data("x")) }), verdict: "detach amqp:link:transfer-limit-exceeded", memory: 2 << 20},
		{name: "transfer without an id", said: sending() + performative(0, frames.CodeTransfer, u32(0)), verdict: "detach amqp:invalid-field"},
		{name: "transfer with an old id", said: sending() + transfer(0, 5, true, false, data("x")) + transfer(0, 5, true, false, data("x")), verdict: "detach amqp:invalid-field"},
		{name: "interleaved transfers of a link", said: sending() + transfer(0, 0, false, true, "") + transfer(0, 1, false, false, data("x")), verdict: "detach amqp:not-allowed"},
		{name: "resumed transfer", said: sending() + performative(0, frames.CodeTransfer, u32(0), u32(1), bin("1"), u32(0), yes(false), yes(false), null, null, yes(true)), verdict: "detach amqp:not-implemented"},
		{name: "unknown message format", said: sending() + performative(0, frames.CodeTransfer, u32(0), u32(1), bin("1"), u32(77)), verdict: "detach amqp:not-implemented"},
		{name: "rcv-settle-mode second of a transfer", said: sending() + performative(0, frames.CodeTransfer, u32(0), u32(1), bin("1"), u32(0), yes(false), yes(false), ubyte(1)), verdict: "detach amqp:not-implemented"},
		{name: "aborted transfer, then nothing", said: sending() + transfer(0, 1, false, true, "half") + aborted, verdict: "nothing"},
		{name: "a million links", said: begin() + many(5000, func(i int) string { return attach(uint32(i), strconv.Itoa(i), "rpc") }), verdict: "detach amqp:resource-limit-exceeded", memory: 8 << 20},
		{name: "a million refused links", said: begin() + many(4000, func(i int) string { return attach(uint32(i), strconv.Itoa(i), "nowhere") }), verdict: "detach amqp:not-found", memory: 8 << 20},

		// Messages.
		{name: "message of nonsense", said: sending() + transfer(0, 0, false, false, "nonsense"), verdict: "rejected amqp:decode-error"},
		{name: "settled message of nonsense", said: sending() + transfer(0, 0, true, false, "nonsense"), verdict: "detach amqp:decode-error"},
		{name: "body that is a sequence", said: sending() + transfer(0, 0, false, false, section(0x76, raw("\x45"))), verdict: "rejected amqp:decode-error"},
		{name: "body that is a map", said: sending() + transfer(0, 0, false, false, section(0x77, raw("\xc1\x01\x00"))), verdict: "rejected amqp:decode-error"},
		{name: "unknown section", said: sending() + transfer(0, 0, false, false, section(0x7f, raw("\x45"))), verdict: "rejected amqp:decode-error"},
		{name: "footer with a list for a key", said: sending() + transfer(0, 0, false, false, annotated(0x78, raw("\x45"))), verdict: "rejected amqp:decode-error"},
		{name: "footer with binary for a key", said: sending() + transfer(0, 0, false, false, annotated(0x78, bin("k"))), verdict: "rejected amqp:decode-error"},
		{name: "annotations with a list for a key", said: sending() + transfer(0, 0, false, false, annotated(0x72, raw("\x45"))), verdict: "rejected amqp:decode-error"},
		{name: "delivery annotations with a map for a key", said: sending() + transfer(0, 0, false, false, annotated(0x71, raw("\xc1\x01\x00"))), verdict: "rejected amqp:decode-error"},
		{name: "application properties with a symbol for a name", said: sending() + transfer(0, 0, false, false, annotated(0x74, codec.AppendSymbol(nil, "k"))), verdict: "rejected amqp:decode-error"},
		{name: "footer nesting 10,000 deep", said: sending() + transfer(0, 0, false, false, section(0x78, append(append([]byte{0xd1}, binary.BigEndian.AppendUint32(nil, uint32(4+3+len(deep)))...), append([]byte{0, 0, 0, 2, 0xa3, 1, 'k'}, deep...)...))), verdict: "rejected amqp:decode-error"},
		{name: "an id that is a float", said: sending() + transfer(0, 0, false, false, section(0x73, raw("\xc0\x06\x01\x72\x00\x00\x00\x00"))), verdict: "rejected amqp:decode-error"},
		{name: "text that is not UTF-8", said: sending() + transfer(0, 0, false, false, section(0x73, raw("\xc0\x07\x04\x40\x40\x40\xa1\x01\xff"))), verdict: "rejected amqp:decode-error"},
	}
}

// sasl is a sasl-init frame after its header.
func sasl(mechanism, response string) string {
	dst, f := frames.Begin([]byte("AMQP\x03\x01\x00\x00"), frames.TypeSASL, 0)
	dst, at := codec.BeginList(codec.AppendDescriptor(dst, frames.CodeSASLInit))
	dst = codec.AppendBinary(codec.AppendSymbol(dst, mechanism), response)
	return string(frames.End(codec.EndList(dst, at, 2), f))
}

// TestAbuse: each attack is answered as the specification has it, takes less
// than 1 MiB, and disturbs nobody else.
func TestAbuse(t *testing.T) {
	for _, a := range attacks() {
		t.Run(a.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &transport.ListenOptions{Options: transport.Options{Heartbeat: -1, FrameTimeout: time.Second}, HandshakeTimeout: time.Second}
				r := newRig(t, o, func(c transport.Conn, m *transport.Message) {
					if string(m.Body) == "bystander" {
						echo(c, m)
					}
				})
				bystander := r.connect(begin()+receive(0, "in", "a", 1)+attach(1, "out", "rpc"), 5)
				bystander.say(performative(0, frames.CodeFlow, u32(0), u32(100), u32(0), u32(100), u32(0), u32(0), u32(100)))
				p := r.peer()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				go func() { _, _ = p.nc.Write([]byte(a.said)) }()
				verdict, description := p.verdict()
				runtime.ReadMemStats(&after)
				if verdict != a.verdict {
					t.Errorf("it was answered by %q (%s), want %q", verdict, description, a.verdict)
				}
				if strings.Contains(verdict, " amqp:") && description == "" {
					t.Error("the answer has no description")
				}
				if n, most := after.TotalAlloc-before.TotalAlloc, max(a.memory, 1<<20); n > most {
					t.Errorf("%d bytes were taken, want at most %d", n, most)
				}
				_ = p.nc.Close()
				m := section(0x73, append([]byte{0xc0, 8, 5, 0x40, 0x40, 0x40, 0x40}, str("a")...)) + data("bystander")
				bystander.say(transfer(1, 0, true, false, m))
				if got := bystander.want(frames.CodeTransfer); !strings.HasSuffix(string(got.payload), data("bystander")) {
					t.Errorf("the bystander got %q", got.payload)
				}
			})
		})
	}
}

// TestManyRefusedLinks: a peer that takes no notice of refusals is given up.
func TestManyRefusedLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &transport.ListenOptions{Options: transport.Options{Limits: transport.Limits{Subscriptions: 10}}}, nil)
		p := r.peer()
		go func() {
			_, _ = p.nc.Write([]byte(begin() + many(100, func(i int) string { return attach(uint32(i), strconv.Itoa(i), "nowhere") })))
		}()
		refused := 0
		for {
			verdict, _ := p.verdict()
			if verdict == "detach amqp:not-found" {
				refused++
				continue
			}
			if verdict != "close amqp:resource-limit-exceeded" || refused < 10 || refused > 40 {
				t.Errorf("after %d refusals: %q, want the connection closed after about 20", refused, verdict)
			}
			return
		}
	})
}

// TestNoCredit: a receiver that never grants credit makes Send wait, and no
// memory is taken for it.
func TestNoCredit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, nil)
		p := r.connect(begin()+receive(0, "in", "a", 2), 3)
		c := r.last()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		if err := c.Send(ctx, &transport.Message{To: "a"}); !transport.NotSent(err) || time.Since(start) != time.Minute {
			t.Errorf("Send without credit = %v after %v, want one that is NotSent after a minute", err, time.Since(start))
		}
		p.say(performative(0, frames.CodeFlow, u32(0), u32(0), u32(0), u32(100), u32(0), u32(0), u32(100)))
		synctest.Wait()
		if err := c.Send(ended(), &transport.Message{To: "a"}); !transport.NotSent(err) {
			t.Errorf("Send while the session's window is shut = %v, want one that is NotSent", err)
		}
	})
}
