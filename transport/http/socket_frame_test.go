package http_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/http"
	"github.com/polyport/polyport/transport/mem"
)

const (
	fin                                         = 0x80
	more                                        = 0
	textOp, binaryOp, cont, closeOp, ping, pong = 1, 2, 0, 8, 9, 10
)

// testKey masks what clients of tests send.
var testKey = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// A rawFrame is one of a test, before it is masked.
type rawFrame struct {
	first   byte
	payload string
	// length, if it is set, is spelled in so many bytes, whatever the payload has.
	length uint64
	bytes  int
	// wrongMask breaks the rule who masks.
	wrongMask bool
}

func raw(first byte, payload string) rawFrame { return rawFrame{first: first, payload: payload} }

// lying is a frame whose head tells a length in so many bytes.
func lying(first byte, length uint64, bytes int) rawFrame {
	return rawFrame{first: first, length: length, bytes: bytes}
}

// append appends the frame as a client or a server sends it, by the text of RFC
// 6455, section 5.2.
func (x rawFrame) append(dst []byte, client bool) []byte {
	masked := client != x.wrongMask
	second := byte(0)
	if masked {
		second = 0x80
	}
	length, size := uint64(len(x.payload)), 0
	switch {
	case x.bytes > 0:
		length, size = x.length, x.bytes
	case length > 65535:
		size = 8
	case length > 125:
		size = 2
	}
	dst = append(dst, x.first)
	switch size {
	case 8:
		dst = binary.BigEndian.AppendUint64(append(dst, second|127), length)
	case 2:
		dst = binary.BigEndian.AppendUint16(append(dst, second|126), uint16(length))
	default:
		dst = append(dst, second|byte(length))
	}
	if !masked {
		return append(dst, x.payload...)
	}
	dst = append(dst, testKey[:]...)
	for i := range len(x.payload) {
		dst = append(dst, x.payload[i]^testKey[i%4])
	}
	return dst
}

// encode is what a client or a server sends.
func encode(client bool, frames ...rawFrame) (b []byte) {
	for _, x := range frames {
		b = x.append(b, client)
	}
	return b
}

// parse reads the frames that an end has sent, and checks that it keeps the rules.
func parse(t *testing.T, b []byte, client bool) (frames []rawFrame) {
	t.Helper()
	for len(b) > 0 {
		if len(b) < 2 || (b[1]&0x80 != 0) != client {
			t.Fatalf("an end that is client: %v has sent %x", client, b[:min(len(b), 20)])
		}
		x, n, at := rawFrame{first: b[0]}, int(b[1]&0x7f), 2
		switch n {
		case 126:
			n, at = int(binary.BigEndian.Uint16(b[2:])), 4
		case 127:
			n, at = int(binary.BigEndian.Uint64(b[2:])), 10
		}
		var key [4]byte
		if client {
			at += copy(key[:], b[at:])
		}
		payload := bytes.Clone(b[at : at+n])
		for i := range payload {
			payload[i] ^= key[i%4]
		}
		x.payload = string(payload)
		frames, b = append(frames, x), b[at+n:]
	}
	return frames
}

// closing is the payload of a Close frame.
func closing(code uint16, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, code)) + reason
}

// A hearing is what came of some frames: the messages, then the error, and what the
// other end was told.
type hearing struct {
	bodies []string
	err    error
	told   []rawFrame
}

// hear has an end receive what its peer sends in pieces of so many bytes, and then
// no more.
func hear(t *testing.T, client bool, sent []byte, piece int, o *transport.Options) (h hearing) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		near, far := mem.Pipe()
		c := http.NewSocket(near, client, false, o)
		told := make(chan []byte, 1)
		go func() {
			b, _ := io.ReadAll(far)
			_ = far.Close()
			told <- b
		}()
		var sender sync.WaitGroup
		defer sender.Wait()
		sender.Go(func() {
			for p := range slices.Chunk(sent, piece) {
				_, _ = far.Write(p)
				time.Sleep(time.Millisecond)
			}
			_ = far.(interface{ CloseWrite() error }).CloseWrite()
		})
		for {
			m, err := c.Recv(t.Context())
			if err != nil {
				h.err = err
				break
			}
			h.bodies = append(h.bodies, string(m.Body))
		}
		_ = c.Close()
		h.told = parse(t, <-told, client)
	})
	return h
}

func calm() *transport.Options {
	return &transport.Options{Heartbeat: -1, Limits: transport.Limits{Message: 100_000}}
}

// TestFrames holds both ends to the rules of RFC 6455 for frames; many are those of
// the Autobahn test suite.
func TestFrames(t *testing.T) {
	long := strings.Repeat("*", 70_000)
	type rule struct {
		name   string
		frames []rawFrame
		bodies []string
		code   uint16 // by which the end says what is wrong; 0 if nothing is
		kind   error
		pongs  []string
	}
	rules := []rule{
		{name: "nothing"},
		{name: "an empty text", frames: []rawFrame{raw(fin|textOp, "")}, bodies: []string{""}},
		{name: "a text of UTF-8", frames: []rawFrame{raw(fin|textOp, "Hello-µ@ßöäüàá-UTF-8!!")}, bodies: []string{"Hello-µ@ßöäüàá-UTF-8!!"}},
		{name: "bytes", frames: []rawFrame{raw(fin|binaryOp, "\xff\xfe\x00")}, bodies: []string{"\xff\xfe\x00"}},
		{name: "two in a row", frames: []rawFrame{raw(fin|textOp, "a"), raw(fin|binaryOp, "b")}, bodies: []string{"a", "b"}},
		{name: "of the limit", frames: []rawFrame{raw(fin|binaryOp, strings.Repeat("x", 100_000))}, bodies: []string{strings.Repeat("x", 100_000)}},
		{name: "one over the limit", frames: []rawFrame{lying(fin|binaryOp, 100_001, 8)}, code: 1009, kind: transport.ErrTooLarge},
		{name: "of a length that nobody has", frames: []rawFrame{lying(fin|textOp, 1<<62, 8)}, code: 1009, kind: transport.ErrTooLarge},
		{name: "of a negative length", frames: []rawFrame{lying(fin|textOp, 1<<63, 8)}, code: 1002, kind: transport.ErrProtocol},
		{name: "a length of 125 in two bytes", frames: []rawFrame{lying(fin|textOp, 125, 2)}, code: 1002, kind: transport.ErrProtocol},
		{name: "a length of 65535 in eight", frames: []rawFrame{lying(fin|textOp, 65535, 8)}, code: 1002, kind: transport.ErrProtocol},
		{name: "fragments over the limit in all", frames: []rawFrame{raw(more|textOp, long), raw(more|cont, long)}, code: 1009, kind: transport.ErrTooLarge},
		{name: "in two", frames: []rawFrame{raw(more|textOp, "fragment1"), raw(fin|cont, "fragment2")}, bodies: []string{"fragment1fragment2"}},
		{name: "in many, some empty", frames: []rawFrame{
			raw(more|textOp, ""), raw(more|cont, "a"), raw(more|cont, ""), raw(more|cont, long[:1000]), raw(more|cont, "b"), raw(fin|cont, ""),
		}, bodies: []string{"a" + long[:1000] + "b"}},
		{name: "in too many that are empty", frames: append([]rawFrame{raw(more|textOp, "")}, slices.Repeat([]rawFrame{raw(more|cont, "")}, 1001)...), code: 1009, kind: transport.ErrTooLarge},
		{name: "a ping between fragments", frames: []rawFrame{raw(more|textOp, "a"), raw(fin|ping, "x"), raw(fin|cont, "b"), raw(fin|textOp, "c")}, bodies: []string{"ab", "c"}, pongs: []string{"x"}},
		{name: "a pong between fragments", frames: []rawFrame{raw(more|textOp, "a"), raw(fin|pong, "x"), raw(fin|cont, "b")}, bodies: []string{"ab"}},
		{name: "a continuation of nothing", frames: []rawFrame{raw(fin|cont, "x")}, code: 1002, kind: transport.ErrProtocol},
		{name: "a continuation of what is over", frames: []rawFrame{raw(fin|textOp, "a"), raw(more|cont, "x")}, bodies: []string{"a"}, code: 1002, kind: transport.ErrProtocol},
		{name: "a message in another", frames: []rawFrame{raw(more|textOp, "a"), raw(fin|textOp, "b")}, code: 1002, kind: transport.ErrProtocol},
		{name: "an empty ping", frames: []rawFrame{raw(fin|ping, "")}, pongs: []string{""}},
		{name: "pings of bytes", frames: []rawFrame{raw(fin|ping, "\x00\xff"), raw(fin|ping, long[:125])}, pongs: []string{"\x00\xff", long[:125]}},
		{name: "a ping of 126 bytes", frames: []rawFrame{raw(fin|ping, long[:126])}, code: 1002, kind: transport.ErrProtocol},
		{name: "a fragment of a ping", frames: []rawFrame{raw(more|ping, "a"), raw(fin|cont, "b")}, code: 1002, kind: transport.ErrProtocol},
		{name: "a fragment of a pong", frames: []rawFrame{raw(more|pong, "a")}, code: 1002, kind: transport.ErrProtocol},
		{name: "a pong that nobody asked for", frames: []rawFrame{raw(fin|pong, "x"), raw(fin|textOp, "a")}, bodies: []string{"a"}},
		{name: "a reserved bit", frames: []rawFrame{raw(fin|textOp, "a"), raw(fin|0x40|textOp, "b")}, bodies: []string{"a"}, code: 1002, kind: transport.ErrProtocol},
		{name: "a reserved bit of a ping", frames: []rawFrame{raw(fin|0x10|ping, "")}, code: 1002, kind: transport.ErrProtocol},
		{name: "masked by the wrong end", frames: []rawFrame{{first: fin | textOp, payload: "a", wrongMask: true}}, code: 1002, kind: transport.ErrProtocol},
		{name: "a control frame masked by the wrong end", frames: []rawFrame{{first: fin | ping, wrongMask: true}}, code: 1002, kind: transport.ErrProtocol},
		{name: "a character in two fragments", frames: []rawFrame{raw(more|textOp, "\xce\xba\xe1"), raw(fin|cont, "\xbd\xb9")}, bodies: []string{"\xce\xba\xe1\xbd\xb9"}},
		{name: "no UTF-8", frames: []rawFrame{raw(fin|textOp, "\xce\xba\xff")}, code: 1007, kind: transport.ErrProtocol},
		{name: "no UTF-8, in two fragments", frames: []rawFrame{raw(more|textOp, "\xce"), raw(fin|cont, "x")}, code: 1007, kind: transport.ErrProtocol},
		{name: "a surrogate", frames: []rawFrame{raw(fin|textOp, "\xed\xa0\x80")}, code: 1007, kind: transport.ErrProtocol},
		{name: "half a character at the end", frames: []rawFrame{raw(fin|textOp, "\xf0\x9f\x98")}, code: 1007, kind: transport.ErrProtocol},
		{name: "half a code", frames: []rawFrame{raw(fin|closeOp, "\x03")}, code: 1002, kind: transport.ErrProtocol},
		{name: "a reason that is no UTF-8", frames: []rawFrame{raw(fin|closeOp, closing(1000, "\xff"))}, code: 1007, kind: transport.ErrProtocol},
		{name: "a reason of 124 bytes", frames: []rawFrame{raw(fin|closeOp, closing(1000, long[:124]))}, code: 1002, kind: transport.ErrProtocol},
		{name: "a fragment of a close", frames: []rawFrame{raw(more|closeOp, closing(1000, ""))}, code: 1002, kind: transport.ErrProtocol},
	}
	for _, opcode := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		rules = append(rules, rule{name: fmt.Sprintf("the opcode %d", opcode), frames: []rawFrame{raw(fin|opcode, "")}, code: 1002, kind: transport.ErrProtocol})
	}
	for _, code := range []uint16{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		rules = append(rules, rule{name: fmt.Sprintf("the code %d", code), frames: []rawFrame{raw(fin|closeOp, closing(code, "x"))}, code: 1002, kind: transport.ErrProtocol})
	}
	for _, r := range rules {
		for _, client := range []bool{true, false} {
			for _, piece := range []int{1, 7, 1 << 20} {
				if piece == 1 && len(encode(!client, r.frames...)) > 10_000 {
					continue
				}
				t.Run(fmt.Sprintf("%s/client=%v/%d", r.name, client, piece), func(t *testing.T) {
					h := hear(t, client, encode(!client, r.frames...), piece, calm())
					if diff := cmp.Diff(r.bodies, h.bodies); diff != "" {
						t.Errorf("received (-want +got):\n%s", diff)
					}
					kind, code := transport.ErrClosed, uint16(1001)
					if r.kind != nil {
						kind, code = r.kind, r.code
					}
					if !errors.Is(h.err, kind) {
						t.Errorf("Recv: err = %v, want %v", h.err, kind)
					}
					var want []rawFrame
					for _, p := range r.pongs {
						want = append(want, raw(fin|pong, p))
					}
					if r.kind != nil { // else the stream had ended before anything could be said
						want = append(want, raw(fin|closeOp, closing(code, transport.Reason(h.err))))
					}
					if diff := cmp.Diff(want, h.told, cmp.AllowUnexported(rawFrame{})); diff != "" {
						t.Errorf("the peer was told (-want +got):\n%s", diff)
					}
				})
			}
		}
	}
}

// TestFarewells: a Close frame ends the connection, is answered with its code, and
// says why.
func TestFarewells(t *testing.T) {
	long := strings.Repeat("ä", 61)
	for _, c := range []struct {
		payload string
		kind    error
		says    string
	}{
		{"", transport.ErrClosed, "the peer closed the connection"},
		{closing(1000, ""), transport.ErrClosed, "the peer closed the connection"},
		{closing(1000, "done"), transport.ErrClosed, "the peer closed the connection with code 1000: \"done\""},
		{closing(1001, ""), transport.ErrClosed, "with code 1001"},
		{closing(1002, "what?"), transport.ErrRefused, "did not take what it was sent"},
		{closing(1009, "too big"), transport.ErrRefused, "too big"},
		{closing(1008, ""), transport.ErrRefused, "1008"},
		{closing(1011, ""), transport.ErrClosed, "1011"},
		{closing(1014, ""), transport.ErrClosed, "1014"},
		{closing(3000, long), transport.ErrClosed, long},
		{closing(4999, ""), transport.ErrClosed, "4999"},
	} {
		for _, client := range []bool{true, false} {
			h := hear(t, client, encode(!client, raw(fin|textOp, "a"), raw(fin|closeOp, c.payload), raw(fin|textOp, "b")), 1<<20, calm())
			if !errors.Is(h.err, c.kind) || !strings.Contains(h.err.Error(), c.says) {
				t.Errorf("%q: err = %v, want %v with %q in it", c.payload, h.err, c.kind, c.says)
			}
			if diff := cmp.Diff([]string{"a"}, h.bodies); diff != "" {
				t.Errorf("%q: received (-want +got):\n%s", c.payload, diff)
			}
			want := []rawFrame{raw(fin|closeOp, c.payload[:min(len(c.payload), 2)])}
			if diff := cmp.Diff(want, h.told, cmp.AllowUnexported(rawFrame{})); diff != "" {
				t.Errorf("%q: the peer was told (-want +got):\n%s", c.payload, diff)
			}
		}
	}
}

// TestSent: messages leave as texts where they can, masked by the client alone, and
// Close says goodbye.
func TestSent(t *testing.T) {
	bodies := []string{"", "{}", "κό", "\xff", strings.Repeat("x", 125), strings.Repeat("x", 126), strings.Repeat("x", 65535), strings.Repeat("x", 65536)}
	for _, client := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			near, far := mem.Pipe()
			c := http.NewSocket(near, client, false, calm())
			told := make(chan []byte, 1)
			go func() {
				b, _ := io.ReadAll(far)
				_ = far.Close()
				told <- b
			}()
			var want []rawFrame
			for _, b := range bodies {
				m := &transport.Message{Body: []byte(b), ContentType: "application/json", Subject: "nowhere to put this"}
				if err := c.Send(t.Context(), m); err != nil {
					t.Fatal(err)
				}
				want = append(want, raw(fin|textOp, b))
			}
			want[3].first = fin | binaryOp
			_ = c.Close()
			want = append(want, raw(fin|closeOp, closing(1001, "")))
			if diff := cmp.Diff(want, parse(t, <-told, client), cmp.AllowUnexported(rawFrame{})); diff != "" {
				t.Errorf("client=%v (-want +got):\n%s", client, diff)
			}
		})
	}
}

// TestFrameTimeout: a message that is begun and not finished ends the connection,
// though pings come in between; one that has not begun does not.
func TestFrameTimeout(t *testing.T) {
	for _, begun := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			near, far := mem.Pipe()
			o := calm()
			o.FrameTimeout = 10 * time.Second
			c := http.NewSocket(near, false, false, o)
			go func() { _, _ = io.Copy(io.Discard, far) }()
			if begun {
				_, _ = far.Write(encode(true, raw(more|textOp, "a")))
			}
			var pings sync.WaitGroup
			defer pings.Wait()
			pings.Go(func() {
				for range 60 {
					_, _ = far.Write(encode(true, raw(fin|ping, "")))
					time.Sleep(time.Second)
				}
				_, _ = far.Write(encode(true, raw(fin|textOp, "late")))
			})
			began := time.Now()
			_, err := c.Recv(t.Context())
			if took := time.Since(began); begun && (!errors.Is(err, transport.ErrSlow) || took != 10*time.Second) || !begun && err != nil {
				t.Errorf("begun=%v: Recv: %v after %v", begun, err, took)
			}
			_ = c.Close()
			_ = far.Close()
		})
	}
}

// TestInterrupted: a Recv whose ctx ends in the middle of a frame leaves it for the
// next.
func TestInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := mem.Pipe()
		c := http.NewSocket(near, false, false, calm())
		sent := encode(true, raw(more|textOp, "one "), raw(fin|ping, "x"), raw(more|cont, strings.Repeat("y", 300)), raw(fin|cont, " two"))
		for i := range sent {
			_, _ = far.Write(sent[i : i+1])
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			m, err := c.Recv(ctx)
			cancel()
			switch {
			case i < len(sent)-1 && !errors.Is(err, context.DeadlineExceeded):
				t.Fatalf("Recv after %d bytes of %d = %v, %v", i+1, len(sent), m, err)
			case i == len(sent)-1 && (err != nil || string(m.Body) != "one "+strings.Repeat("y", 300)+" two"):
				t.Errorf("Recv of all = %v, %v", m, err)
			}
		}
		_ = far.Close()
		_ = c.Close()
	})
}
