package http_test

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/polyport/polyport/internal/hostile"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/http"
)

// fuzzLimits are small, so that inputs of a fuzzer's size reach them.
var fuzzLimits = transport.Limits{Message: 300, HeaderBytes: 100}

// A reading is what should come of the bytes that a peer has sent.
type reading struct {
	bodies []string
	pongs  []string
	code   uint16 // by which the peer is told what it did wrong, or what it said itself
	closed bool   // the peer has said goodbye
}

// readPlainly reads all frames at once, by the text of RFC 6455. An unfinished frame
// counts as far as it goes.
func readPlainly(b []byte, client bool) (r reading) {
	var body string
	var kind byte
	for pieces := 0; len(b) > 0; {
		op, control := b[0]&15, b[0]&8 != 0
		if b[0]&0x70 != 0 || op > 2 && op < 8 || op > 10 || control && b[0]&0x80 == 0 {
			r.code = 1002
			return r
		}
		if len(b) < 2 {
			return r
		}
		n, at := uint64(b[1]&127), 2
		if (b[1]&128 != 0) != client || control && n > 125 {
			r.code = 1002
			return r
		}
		for _, long := range []struct{ first, size, least uint64 }{{126, 2, 126}, {127, 8, 1 << 16}} {
			if uint64(b[1]&127) != long.first {
				continue
			}
			if at += int(long.size); len(b) < at {
				return r
			}
			n = binary.BigEndian.Uint64(append(make([]byte, 8-long.size), b[2:at]...))
			if n < long.least || n >= 1<<63 {
				r.code = 1002
				return r
			}
		}
		var key []byte
		if client {
			if len(b) < at+4 {
				return r
			}
			key, at = b[at:at+4], at+4
		}
		if !control {
			if pieces++; op != 0 {
				pieces = 1
			}
			switch {
			case (op == 0) != (kind != 0):
				r.code = 1002
			case pieces > len(body)+1000, n > uint64(fuzzLimits.Message-len(body)):
				r.code = 1009
			}
			if r.code != 0 {
				return r
			}
		}
		if uint64(len(b)-at) < n {
			return r
		}
		payload := slices.Clone(b[at : at+int(n)])
		for i := range payload {
			if client {
				payload[i] ^= key[i%4]
			}
		}
		first := b[0]
		b = b[at+int(n):]
		switch op {
		case 9:
			r.pongs = append(r.pongs, string(payload))
		case 10:
		case 8:
			r.code, r.closed = 1005, true
			if len(payload) == 1 {
				r.code, r.closed = 1002, false
			}
			if len(payload) > 1 {
				r.code = binary.BigEndian.Uint16(payload)
				switch c := r.code; {
				case c < 1000, c >= 1004 && c <= 1006, c > 1014 && c < 3000, c >= 5000:
					r.code, r.closed = 1002, false
				case !utf8.Valid(payload[2:]):
					r.code, r.closed = 1007, false
				}
			}
			return r
		default:
			if op != 0 {
				kind = op
			}
			body += string(payload)
			if first&0x80 != 0 {
				if kind == 1 && !utf8.ValidString(body) {
					r.code = 1007
					return r
				}
				r.bodies, body, kind = append(r.bodies, body), "", 0
			}
		}
	}
	return r
}

// FuzzFrames compares what an end receives, however the stream is cut, with a plain
// reading of the same bytes.
func FuzzFrames(f *testing.F) {
	for _, client := range []bool{true, false} {
		for _, frames := range [][]rawFrame{
			{raw(fin|textOp, "Hello"), raw(fin|ping, "x"), raw(fin|binaryOp, "\xff")},
			{raw(more|textOp, "κ"), raw(fin|pong, ""), raw(more|cont, ""), raw(fin|cont, "ό"), raw(fin|closeOp, closing(1000, "done"))},
			{raw(fin|textOp, strings.Repeat("x", 126)), raw(more|binaryOp, strings.Repeat("y", 200)), raw(fin|cont, strings.Repeat("z", 101))},
			{lying(fin|binaryOp, 1<<62, 8)}, {raw(fin|textOp, "\xce")}, {raw(fin|closeOp, "\x03")}, {raw(fin|ping, strings.Repeat("p", 126))},
		} {
			f.Add(encode(client, frames...), []byte{0}, client)
			f.Add(encode(client, frames...), []byte{3, 100}, client)
		}
	}
	for _, b := range hostile.WebSocket() {
		if _, frames, ok := strings.Cut(string(b), "\r\n\r\n"); ok && len(frames) < 10_000 {
			f.Add([]byte(frames), []byte{}, true)
		}
	}
	f.Fuzz(func(t *testing.T, b, pieces []byte, fromClient bool) {
		want := readPlainly(b, fromClient)
		nc := &tape{rest: b, pieces: pieces}
		c := http.NewSocket(nc, !fromClient, false, &transport.Options{Heartbeat: -1, Limits: fuzzLimits})
		all, err := receiveAll(t, c)
		_ = c.Close()
		var got []string
		for _, m := range all {
			got = append(got, string(m.Body))
		}
		if diff := cmp.Diff(want.bodies, got); diff != "" {
			t.Errorf("received (-want +got):\n%s", diff)
		}
		kind := transport.ErrClosed
		switch {
		case want.code == 1009 && !want.closed:
			kind = transport.ErrTooLarge
		case want.code != 0 && !want.closed:
			kind = transport.ErrProtocol
		case want.closed && slices.Contains([]uint16{1002, 1003, 1007, 1008, 1009, 1010}, want.code):
			kind = transport.ErrRefused
		}
		if !errors.Is(err, kind) {
			t.Errorf("Recv = %v, want %v", err, kind)
		}
		var told []rawFrame
		for _, p := range want.pongs {
			told = append(told, raw(fin|pong, p))
		}
		sent := parse(t, nc.written(), !fromClient)
		if want.code != 0 {
			if len(sent) == 0 || sent[len(sent)-1].first != fin|closeOp {
				t.Fatalf("the peer was told %+v, want a Close frame", sent)
			}
			bye := sent[len(sent)-1].payload
			if code := append([]byte(bye), 0x03, 0xed)[:2]; binary.BigEndian.Uint16(code) != want.code {
				t.Errorf("the peer was told %q, want the code %d", bye, want.code)
			}
			sent = sent[:len(sent)-1]
		} else { // what waits to be written is lost when the stream ends
			told = told[:min(len(told), len(sent))]
		}
		if diff := cmp.Diff(told, sent, cmp.AllowUnexported(rawFrame{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("the peer was told (-want +got):\n%s", diff)
		}
	})
}

// FuzzOwnMessages: whatever stands in a message of the sub-protocol of ours, it is a
// message within the limits or an error.
func FuzzOwnMessages(f *testing.F) {
	for _, b := range hostile.WebSocket() {
		if _, frames, ok := strings.Cut(string(b), "\r\n\r\n"); ok && len(frames) > 6 && len(frames) < 1000 && frames[0] == '\x82' {
			f.Add([]byte(frames[6:]))
		}
	}
	f.Add([]byte("\x00\x00\x00\x12\x0ccontent-type\x00\x00\x00\x01x{}"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		nc := &tape{rest: encode(true, raw(fin|binaryOp, string(payload)))}
		c := http.NewSocket(nc, false, true, &transport.Options{Heartbeat: -1, Limits: fuzzLimits})
		all, err := receiveAll(t, c)
		_ = c.Close()
		for _, m := range all {
			if len(m.Body) > fuzzLimits.Message || m.To != "rpc" {
				t.Errorf("received %d bytes to %q", len(m.Body), m.To)
			}
			back := &tape{}
			again := http.NewSocket(back, true, true, &transport.Options{Heartbeat: -1, Limits: transport.Limits{Message: 1000}})
			sent := *m
			if err := again.Send(t.Context(), &sent); err != nil {
				t.Fatalf("what was received cannot be sent: %v", err)
			}
			_ = again.Close()
			third := http.NewSocket(&tape{rest: back.written()}, false, true, &transport.Options{Heartbeat: -1})
			same, _ := receiveAll(t, third)
			_ = third.Close()
			if len(same) != 1 {
				t.Fatalf("what was received and sent again came %d times", len(same))
			}
			if diff := cmp.Diff(m, same[0], cmp.AllowUnexported(transport.Message{}, transport.ID{})); diff != "" {
				t.Errorf("what was received and sent again (-want +got):\n%s", diff)
			}
		}
		if len(all) == 0 && !errors.Is(err, transport.ErrTooLarge) && !errors.Is(err, transport.ErrProtocol) && !errors.Is(err, transport.ErrNoRoute) {
			t.Errorf("Recv = %v", err)
		}
	})
}
