package mem_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

const (
	testHead = 8 << 10 // limits for frames in tests
	testBody = 1 << 20
)

// A script is a net.Conn that reads out bytes in pieces, with an interruption
// before each piece if asked to, and then EOF.
type script struct {
	net.Conn  // nil: only what follows is called
	rest      []byte
	piece     func() int // length of the next piece, at least 1
	interrupt bool
	rested    bool
}

func (s *script) Read(p []byte) (int, error) {
	if s.interrupt && !s.rested {
		s.rested = true
		return 0, os.ErrDeadlineExceeded
	}
	s.rested = false
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.piece())], s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *script) Close() error { return nil }

func whole() int { return math.MaxInt }

// read reads the frames of b.
func read(b []byte, piece func() int, interrupt bool) ([]mem.Frame, error) {
	return mem.ReadFrames(&script{rest: b, piece: piece, interrupt: interrupt}, testHead, testBody,
		func(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) })
}

var sameMessage = cmp.Options{
	cmpopts.EquateEmpty(), cmpopts.EquateApproxTime(0), cmpopts.IgnoreUnexported(transport.Message{}),
	cmp.Comparer(func(a, b transport.ID) bool { return a == b }),
}

// messages draws messages with every field.
func messages() *rapid.Generator[*transport.Message] {
	text := rapid.OneOf(rapid.Just(""), rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	id := rapid.OneOf(
		rapid.Just(transport.ID{}),
		rapid.Map(rapid.StringN(1, 50, -1), transport.TextID),
		rapid.Map(rapid.Uint64(), transport.NumberID),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 16, 16), func(b []byte) transport.ID { return transport.UUIDID([16]byte(b)) }),
		rapid.Map(rapid.SliceOf(rapid.Byte()), transport.BinaryID),
	)
	return rapid.Custom(func(t *rapid.T) *transport.Message {
		m := &transport.Message{
			To: text.Draw(t, "To"), ReplyTo: text.Draw(t, "ReplyTo"), Subject: text.Draw(t, "Subject"),
			ContentType: text.Draw(t, "ContentType"), ID: id.Draw(t, "ID"), CorrelationID: id.Draw(t, "CorrelationID"),
			Durable: rapid.Bool().Draw(t, "Durable"), Body: rapid.SliceOf(rapid.Byte()).Draw(t, "Body"),
			Subscription: rapid.StringN(0, 20, -1).Draw(t, "Subscription"), Attempt: rapid.IntRange(0, math.MaxInt32).Draw(t, "Attempt"),
		}
		if rapid.Bool().Draw(t, "expires") {
			m.Expires = time.Unix(rapid.Int64Range(-1<<40, 1<<40).Draw(t, "seconds"), rapid.Int64Range(0, 1e9-1).Draw(t, "nanoseconds"))
		}
		for range rapid.IntRange(0, 10).Draw(t, "headers") {
			m.Headers = append(m.Headers, transport.Header{Name: text.Draw(t, "Name"), Value: text.Draw(t, "Value")})
		}
		return m
	})
}

// TestMessageFrames: what was written is read, however it is cut.
func TestMessageFrames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var wire []byte
		want := rapid.SliceOfN(messages(), 1, 4).Draw(t, "messages")
		for i, m := range want {
			at := len(wire)
			wire = mem.AppendMessage(wire, m, uint64(i), i%2 == 1)
			if got, bound := mem.HeadOf(wire[at:]), mem.HeadLen(m)+len(m.Subscription)+4; got > bound {
				t.Fatalf("the head has %d bytes, its bound was %d", got, bound)
			}
			if rapid.Bool().Draw(t, "beat") {
				wire = mem.AppendFrame(wire, 10, "", "")
			}
		}
		pieces := rapid.IntRange(1, 300)
		frames, err := mem.ReadFrames(
			&script{rest: wire, piece: func() int { return pieces.Draw(t, "piece") }, interrupt: rapid.Bool().Draw(t, "interrupt")},
			1<<20, 1<<20, func(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) })
		if !errors.Is(err, io.EOF) || len(frames) != len(want) {
			t.Fatalf("read %d frames, then %v, want %d, then EOF", len(frames), err, len(want))
		}
		for i, f := range frames {
			got, delivery, confirm, err := f.Parse(10)
			if err != nil || delivery != uint64(i) || confirm != (i%2 == 1) {
				t.Fatalf("message %d: delivery %d, confirm %v, err %v", i, delivery, confirm, err)
			}
			if diff := cmp.Diff(want[i], got, sameMessage); diff != "" {
				t.Fatalf("message %d: got +, want -\n%s", i, diff)
			}
		}
	})
}

// TestFrameRefused: each is refused for what it is, and as soon as it is seen.
func TestFrameRefused(t *testing.T) {
	message := func(head string) []byte { return mem.AppendFrame(nil, 4, head, "") }
	for _, c := range []struct {
		name string
		wire []byte
		kind error
		want string
	}{
		{"kind 0", []byte{0}, transport.ErrProtocol, "begins with the byte 0x0"},
		{"kind 12", []byte{12}, transport.ErrProtocol, "begins with the byte 0xc"},
		{"text", []byte("GET /"), transport.ErrProtocol, "begins with the byte 0x47"},
		{"long head", []byte{4, 0xff, 0xff, 0xff, 0, 0, 0, 0}, transport.ErrTooLarge, "head of a message frame has 16777215 bytes, the limit is 8192"},
		{"long body", []byte{4, 0, 0, 1, 0xff, 0xff, 0xff, 0xff}, transport.ErrTooLarge, "body has 4294967295 bytes, the limit is 1048576"},
		{"body of a beat", []byte{10, 0, 0, 0, 0, 0, 0, 1}, transport.ErrProtocol, "a beat frame must not have a body"},
		{"no flags", message(""), transport.ErrProtocol, "makes no sense"},
		{"unknown flag", message(mem.Number(1 << 13)), transport.ErrProtocol, "makes no sense"},
		{"short text", message(mem.Number(1<<4) + "\x05abc"), transport.ErrProtocol, "makes no sense"},
		{"long text", message(mem.Number(1<<4) + mem.Number(1<<63) + "abc"), transport.ErrProtocol, "makes no sense"},
		{"endless number", message(strings.Repeat("\xff", 20)), transport.ErrProtocol, "makes no sense"},
		{"number over 64 bits", message(strings.Repeat("\xff", 9) + "\x02"), transport.ErrProtocol, "makes no sense"},
		{"something left", message(mem.Number(0) + "x"), transport.ErrProtocol, "makes no sense"},
		{"unknown kind of ID", message(mem.Number(1<<8) + "\x05"), transport.ErrProtocol, "makes no sense"},
		{"no kind of ID", message(mem.Number(1<<8) + "\x00"), transport.ErrProtocol, "makes no sense"},
		{"empty text ID", message(mem.Number(1<<8) + "\x01\x00"), transport.ErrProtocol, "makes no sense"},
		{"short UUID", message(mem.Number(1<<8) + "\x03123456789012345"), transport.ErrProtocol, "makes no sense"},
		{"nanoseconds", message(mem.Number(1<<10) + mem.Number(2) + mem.Number(1e9)), transport.ErrProtocol, "makes no sense"},
		{"many headers", message(mem.Number(1<<12) + mem.Number(1e6)), transport.ErrTooLarge, "1000000 headers, the limit is 100"},
		{"more headers than bytes", message(mem.Number(1<<12) + mem.Number(50) + "\x00\x00"), transport.ErrProtocol, "makes no sense"},
	} {
		t.Run(c.name, func(t *testing.T) {
			frames, err := read(c.wire, whole, false)
			if len(frames) == 1 {
				_, _, _, err = frames[0].Parse(100)
			}
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("read = %v, %v, want an error that wraps %v and says %q", frames, err, c.kind, c.want)
			}
		})
	}
}

// TestFrameMemory: lengths are checked before memory is taken for them.
func TestFrameMemory(t *testing.T) {
	long := []byte{4, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff}
	within := []byte{4, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff, 0} // within a limit of 2 GiB, but it does not come
	for _, c := range []struct {
		name string
		wire []byte
		most uint64
	}{
		{"over the limit", long, 64 << 10},
		{"on its word", within, 1 << 20},
	} {
		const runs = 10
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			_, _ = mem.ReadFrames(&script{rest: c.wire, piece: whole}, testHead, math.MaxInt32, nil)
		}
		runtime.ReadMemStats(&after)
		if got := (after.TotalAlloc - before.TotalAlloc) / runs; got > c.most {
			t.Errorf("%s: reading %d bytes has taken %d bytes of memory, want at most %d", c.name, len(c.wire), got, c.most)
		}
	}
}

func TestKindNames(t *testing.T) {
	seen := map[string]bool{}
	for k := range byte(12) {
		if name := mem.KindName(k); name == "" || seen[name] {
			t.Errorf("kind %d is called %q, want a name of its own", k, name)
		} else {
			seen[name] = true
		}
	}
}

// FuzzFrame: any bytes are frames or an error, the same however they are cut,
// and a message that was understood says the same when it is written again.
func FuzzFrame(f *testing.F) {
	all := &transport.Message{
		To: "rpc", ReplyTo: "answers", Subject: "Math.Sum", ContentType: "application/json", Subscription: "s",
		ID: transport.NumberID(7), CorrelationID: transport.UUIDID([16]byte{1}), Expires: time.Unix(1, 2), Durable: true, Attempt: 3,
		Headers: []transport.Header{{Name: "a", Value: "b"}, {Name: "a"}}, Body: []byte("body"),
	}
	f.Add(mem.AppendMessage(nil, all, 5, true), uint16(3))
	f.Add(mem.AppendMessage(mem.AppendHello(nil, 1), &transport.Message{ID: transport.BinaryID(nil)}, 0, false), uint16(1))
	f.Add(mem.AppendFrame(mem.AppendWelcome(nil, 1, "rpc"), 10, "", ""), uint16(200))
	f.Add(mem.AppendFrame(nil, 5, mem.Text("id")+mem.Text("dest")+"\x02\x05\x00", ""), uint16(2))
	f.Add([]byte{4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, uint16(7))
	f.Fuzz(func(t *testing.T, wire []byte, cut uint16) {
		frames, err := read(wire, whole, false)
		again, againErr := read(wire, func() int { return int(cut)%300 + 1 }, true)
		if diff := cmp.Diff(frames, again); diff != "" || err.Error() != againErr.Error() {
			t.Fatalf("in pieces of %d: %v instead of %v\n%s", int(cut)%300+1, againErr, err, diff)
		}
		size := 0
		for _, frame := range frames {
			size += 8 + len(frame.Head) + len(frame.Body)
			if frame.Kind == 4 {
				reencode(t, frame)
			}
		}
		if size > len(wire) {
			t.Fatalf("%d bytes were read as frames of %d", len(wire), size)
		}
	})
}

func reencode(t *testing.T, f mem.Frame) {
	t.Helper()
	m, delivery, confirm, err := f.Parse(100)
	if err != nil {
		return
	}
	frames, err := mem.ReadFrames(&script{rest: mem.AppendMessage(nil, m, delivery, confirm), piece: whole}, 1<<20, testBody, nil)
	if len(frames) != 1 {
		t.Fatalf("%+v, written again, is %v, %v", m, frames, err)
	}
	again, delivery2, confirm2, err := frames[0].Parse(100)
	if err != nil || delivery2 != delivery || confirm2 != confirm {
		t.Fatalf("%+v, written again, is %+v, %v", m, again, err)
	}
	if diff := cmp.Diff(m, again, sameMessage); diff != "" {
		t.Fatalf("written again: got +, want -\n%s", diff)
	}
	if !bytes.Equal(frames[0].Body, f.Body) {
		t.Fatalf("the body has changed")
	}
}
