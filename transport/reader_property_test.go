package transport_test

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"pgregory.net/rapid"

	"github.com/polyport/polyport/transport"
)

// However the bytes come and however they are taken, they are the same.
func TestReaderAnySplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := bytesOf(rapid.SampledFrom([]int{0, 1, 100, 5000, 70_000, 300_000}).Draw(t, "size"))
		limit := rapid.SampledFrom([]int{4096, 5000, 100_000}).Draw(t, "limit")
		f := &feed{err: os.ErrDeadlineExceeded}
		piece := rapid.OneOf(rapid.IntRange(0, 10), rapid.IntRange(0, 10_000), rapid.Just(100_000))
		for off := 0; off < len(data); {
			n := min(piece.Draw(t, "piece"), len(data)-off)
			if n == 0 {
				f.pieces = append(f.pieces, nil)
				continue
			}
			f.pieces = append(f.pieces, data[off:off+n])
			off += n
		}
		r := transport.NewReader(f, limit)
		var got []byte
		for len(got) < len(data) {
			got = takeSome(t, r, got, len(data))
			if unread := len(r.Buffered()); unread > limit {
				t.Fatalf("%d bytes are buffered, the limit is %d", unread, limit)
			}
		}
		if !bytes.Equal(got, data) {
			t.Fatalf("got other bytes than were sent")
		}
	})
}

// takeSome does one thing with r and appends what it gave to got.
func takeSome(t *rapid.T, r *transport.Reader, got []byte, total int) []byte {
	switch rapid.IntRange(0, 2).Draw(t, "step") {
	case 0:
		err := r.Fill()
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, transport.ErrTooLarge) && len(got)+len(r.Buffered()) < total {
			t.Fatalf("Fill = %v with bytes to come", err)
		}
	case 1:
		n := rapid.IntRange(0, len(r.Buffered())).Draw(t, "discard")
		got = append(got, r.Buffered()[:n]...)
		r.Discard(n)
	case 2:
		n := rapid.IntRange(0, min(20_000, total-len(got))).Draw(t, "body")
		var body []byte
		err := os.ErrDeadlineExceeded
		for errors.Is(err, os.ErrDeadlineExceeded) {
			body, err = r.ReadInto(body, n)
		}
		if err != nil || len(body) != n {
			t.Fatalf("ReadInto(%d) = %d bytes, %v, want all", n, len(body), err)
		}
		got = append(got, body...)
	}
	return got
}
