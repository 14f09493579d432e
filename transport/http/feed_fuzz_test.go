package http_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/http"
)

// An occurrence is an event that was read.
type occurrence struct{ Topic, ID, Body string }

// occurrences are those that the text of an event stream tells, read at once, by the
// text of the HTML Standard, section 9.2; and why there are no more.
func occurrences(text string) (all []occurrence, err error) {
	longest := len("base64: ") + max(base64.StdEncoding.EncodedLen(fuzzLimits.Message), fuzzLimits.HeaderBytes)
	lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text), "\n")
	var e occurrence
	var data, bin *string
	for i, line := range lines {
		if len(line) > longest {
			return all, transport.ErrTooLarge
		}
		if i == len(lines)-1 { // not ended
			break
		}
		if i == 0 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		if line == "" {
			if data != nil {
				e.Body = strings.TrimSuffix(*data, "\n")
			} else if bin != nil {
				e.Body = *bin
			}
			if data != nil || bin != nil {
				all = append(all, e)
			}
			e, data, bin = occurrence{}, nil, nil
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event", "id":
			if len(value) > fuzzLimits.HeaderBytes {
				return all, transport.ErrTooLarge
			}
			if name == "event" {
				e.Topic = value
			} else {
				e.ID = value
			}
		case "data":
			if data == nil {
				data = new(string)
			}
			if len(*data)+len(value) > fuzzLimits.Message {
				return all, transport.ErrTooLarge
			}
			*data += value + "\n"
		case "base64":
			b, err := base64.StdEncoding.DecodeString(value)
			switch {
			case err != nil:
				return all, transport.ErrProtocol
			case len(b) > fuzzLimits.Message:
				return all, transport.ErrTooLarge
			}
			bin = new(string)
			*bin = string(b)
		}
	}
	return all, transport.ErrClosed
}

// chunked encodes text in chunks of these sizes, which repeat.
func chunked(text string, sizes []byte) []byte {
	var b strings.Builder
	for i := 0; len(text) > 0; i++ {
		n := len(text)
		if len(sizes) > 0 {
			n = min(n, int(sizes[i%len(sizes)])+1)
		}
		fmt.Fprintf(&b, "%x;ext=1\r\n%s\r\n", n, text[:n])
		text = text[n:]
	}
	return []byte(b.String() + "0\r\n\r\n")
}

// FuzzEvents compares the events that are read, however the stream is cut into reads
// and chunks, with a plain reading of its text.
func FuzzEvents(f *testing.F) {
	for _, text := range []string{
		"event: a\ndata: 1\n\n", "data: a\ndata: b\nid: 7\n\n:\n\nevent: x\n\n", "\ufeffdata:a\r\rdata:  b\r\n\r\n", "data\n\ndata\ndata:\n\n", //nolint:dupword // as it may be
		"base64: /w==\n\n", "base64: ?\n\n", "event: " + strings.Repeat("x", 101) + "\n", strings.Repeat("data: 1234567890\n", 40) + "\n",
		"data: " + strings.Repeat("y", 500) + "\n\n", "retry: 10\nunknown\n:comment\ndata: x\n\n", "data: cut",
	} {
		f.Add(text, []byte{0}, []byte{2})
		f.Add(text, []byte{}, []byte{})
	}
	f.Fuzz(func(t *testing.T, text string, pieces, chunks []byte) {
		want, kind := occurrences(text)
		for _, inChunks := range []bool{false, true} {
			sent := []byte(text)
			if inChunks {
				sent = chunked(text, chunks)
			}
			c := http.NewListener(&tape{rest: sent, pieces: pieces}, inChunks, &transport.Options{Heartbeat: -1, Limits: fuzzLimits})
			all, err := receiveAll(t, c)
			_ = c.Close()
			var got []occurrence
			for _, m := range all {
				got = append(got, occurrence{m.To, m.ID.String(), string(m.Body)})
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("chunked %v: events (-want +got):\n%s", inChunks, diff)
			}
			if !errors.Is(err, kind) {
				t.Errorf("chunked %v: Recv = %v, want %v", inChunks, err, kind)
			}
		}
	})
}

// FuzzChunks: whatever the lines between chunks say, the reader comes to an end.
func FuzzChunks(f *testing.F) {
	for _, s := range []string{
		"5\r\ndata:\r\n0\r\n\r\n", "ffffffffffffffff\r\n", "7fffffffffffffff\r\nx", "-1\r\n", "\r\n", "5\r\ndata:x\r\n", "5;" + strings.Repeat("x", 2000), "0x5\r\ndata:",
	} {
		f.Add([]byte(s), []byte{1})
	}
	f.Fuzz(func(t *testing.T, b, pieces []byte) {
		c := http.NewListener(&tape{rest: b, pieces: pieces}, true, &transport.Options{Heartbeat: -1, Limits: fuzzLimits})
		if _, err := receiveAll(t, c); !errors.Is(err, transport.ErrClosed) && !errors.Is(err, transport.ErrProtocol) && !errors.Is(err, transport.ErrTooLarge) {
			t.Errorf("Recv = %v", err)
		}
		_ = c.Close()
	})
}
