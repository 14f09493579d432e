package transport_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/transport"
)

// A feed is an io.Reader that hands out its pieces, each in a Read of its own
// if it fits, and an error for each nil piece. It notes how much room its
// reader had.
type feed struct {
	pieces [][]byte
	err    error // for nil pieces; then io.EOF
	rooms  []int
}

func (f *feed) Read(p []byte) (int, error) {
	f.rooms = append(f.rooms, len(p))
	if len(f.pieces) == 0 {
		return 0, io.EOF
	}
	first := f.pieces[0]
	if first == nil {
		f.pieces = f.pieces[1:]
		return 0, f.err
	}
	n := copy(p, first)
	if f.pieces[0] = first[n:]; n == len(first) {
		f.pieces = f.pieces[1:]
	}
	return n, nil
}

// bytesOf returns n bytes that tell their places apart.
func bytesOf(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

// fill calls Fill n times and expects no error.
func fill(t *testing.T, r *transport.Reader, n int) {
	t.Helper()
	for range n {
		if err := r.Fill(); err != nil {
			t.Fatalf("Fill = %v, want nil", err)
		}
	}
}

func TestReaderFill(t *testing.T) {
	r := transport.NewReader(strings.NewReader("hello"), 1<<20)
	if got := r.Buffered(); len(got) != 0 {
		t.Errorf("Buffered of a fresh Reader = %q, want none", got)
	}
	fill(t, r, 1)
	if got := string(r.Buffered()); got != "hello" {
		t.Errorf("Buffered = %q, want %q", got, "hello")
	}
	r.Discard(0)
	r.Discard(2)
	if got := string(r.Buffered()); got != "llo" {
		t.Errorf("Buffered after Discard(2) = %q, want %q", got, "llo")
	}
	if err := r.Fill(); !errors.Is(err, io.EOF) {
		t.Errorf("Fill at the end = %v, want %v", err, io.EOF)
	}
	if got := string(r.Buffered()); got != "llo" {
		t.Errorf("Buffered at the end = %q, want %q", got, "llo")
	}
}

func TestReaderGrowsWithTraffic(t *testing.T) {
	f := &feed{pieces: [][]byte{bytesOf(1 << 20)}}
	r := transport.NewReader(f, 1<<20)
	for range 10 {
		fill(t, r, 1)
		r.Discard(len(r.Buffered()))
	}
	if first, last := f.rooms[0], f.rooms[9]; first != 4<<10 || last != 64<<10 {
		t.Errorf("room in Reads = %v, want it to go from 4 KiB to 64 KiB", f.rooms)
	}
}

func TestReaderShrinksWhenIdle(t *testing.T) {
	f := &feed{pieces: [][]byte{bytesOf(1 << 20)}}
	r := transport.NewReader(f, 1<<20)
	for range 10 {
		fill(t, r, 1)
		r.Discard(len(r.Buffered()))
	}
	f.pieces = bytes.SplitAfter(bytes.Repeat([]byte("small\n"), 50), []byte("\n"))[:50]
	f.rooms = nil
	for i := range 50 {
		fill(t, r, 1)
		if got := string(r.Buffered()); got != "small\n" {
			t.Fatalf("piece %d = %q, want %q", i, got, "small\n")
		}
		r.Discard(len(r.Buffered()))
	}
	if first, last := f.rooms[0], f.rooms[49]; first != 64<<10 || last != 4<<10 {
		t.Errorf("room was %d before and %d after 50 small Reads, want 64 KiB and 4 KiB", first, last)
	}
}

func TestReaderShrinksOnlyAfterManySmallReads(t *testing.T) {
	f := &feed{pieces: [][]byte{bytesOf(1 << 20)}}
	r := transport.NewReader(f, 1<<20)
	for range 10 {
		fill(t, r, 1)
		r.Discard(len(r.Buffered()))
	}
	f.pieces, f.rooms = nil, nil
	for range 5 {
		f.pieces = append(f.pieces, bytes.SplitAfter(bytes.Repeat([]byte("small\n"), 20), []byte("\n"))[:20]...)
		f.pieces = append(f.pieces, bytesOf(10_000))
	}
	for range 5 * 21 {
		fill(t, r, 1)
		r.Discard(len(r.Buffered()))
	}
	if least := slices.Min(f.rooms); least != 64<<10 {
		t.Errorf("room in Reads fell to %d while large messages came in between, want 64 KiB", least)
	}
}

// Traffic of small pieces stays in the first buffer.
func TestReaderStaysSmall(t *testing.T) {
	data := bytesOf(100_000)
	f := &feed{}
	for off := 0; off < len(data); off += 500 {
		f.pieces = append(f.pieces, data[off:off+500])
	}
	r := transport.NewReader(f, 1<<20)
	for off := 0; off < len(data)-1; off = min(off+3000, len(data)-1) {
		for len(r.Buffered()) < min(3001, len(data)-off) { // one byte is always left over
			fill(t, r, 1)
		}
		if got := len(r.Buffered()) + f.rooms[len(f.rooms)-1]; got > 4<<10+500 {
			t.Fatalf("%d bytes unread and room for %d, want 4 KiB in all", len(r.Buffered()), f.rooms[len(f.rooms)-1])
		}
		r.Discard(min(3000, len(data)-1-off))
	}
}

// What is unread must survive every move of the buffer.
func TestReaderKeepsUnreadBytes(t *testing.T) {
	data := bytesOf(60 << 10)
	r := transport.NewReader(iotest.OneByteReader(bytes.NewReader(data)), 10_000)
	off := 0
	for off < len(data)-5000 {
		for len(r.Buffered()) < 5000 {
			fill(t, r, 1)
		}
		if !bytes.Equal(r.Buffered(), data[off:off+len(r.Buffered())]) {
			t.Fatalf("the bytes from %d on are not those sent", off)
		}
		r.Discard(1234)
		off += 1234
	}
}

func TestReaderLimit(t *testing.T) {
	for _, limit := range []int{4096, 4097, 10_000, 100_000} {
		r := transport.NewReader(bytes.NewReader(bytesOf(1<<20)), limit)
		var err error
		for err == nil {
			err = r.Fill()
		}
		if !errors.Is(err, transport.ErrTooLarge) || len(r.Buffered()) != limit {
			t.Errorf("limit %d: Fill = %v with %d bytes unread, want %v with the limit", limit, err, len(r.Buffered()), transport.ErrTooLarge)
		}
		r.Discard(1)
		if err := r.Fill(); err != nil || len(r.Buffered()) != limit {
			t.Errorf("limit %d: Fill after Discard(1) = %v with %d bytes unread, want nil with the limit", limit, err, len(r.Buffered()))
		}
		if got, want := r.Buffered(), bytesOf(1 << 20)[1:limit+1]; !bytes.Equal(got, want) {
			t.Errorf("limit %d: wrong bytes after Discard", limit)
		}
	}
}

func TestReaderDiscardTooMuch(t *testing.T) {
	r := transport.NewReader(strings.NewReader("hello"), 1<<20)
	fill(t, r, 1)
	defer func() {
		if recover() == nil {
			t.Error("Discard of more than is buffered did not panic")
		}
	}()
	r.Discard(6)
}

func TestReaderGoesOnAfterErrors(t *testing.T) {
	f := &feed{pieces: [][]byte{[]byte("a"), nil, nil, []byte("b")}, err: os.ErrDeadlineExceeded}
	r := transport.NewReader(f, 1<<20)
	got := []error{r.Fill(), r.Fill(), r.Fill(), r.Fill(), r.Fill()}
	want := []error{nil, os.ErrDeadlineExceeded, os.ErrDeadlineExceeded, nil, io.EOF}
	for i := range want {
		if !errors.Is(got[i], want[i]) {
			t.Errorf("Fill %d = %v, want %v", i, got[i], want[i])
		}
	}
	if got := string(r.Buffered()); got != "ab" {
		t.Errorf("Buffered = %q, want %q", got, "ab")
	}
}

// A source that returns nothing and no error must not make the Reader spin.
func TestReaderNoProgress(t *testing.T) {
	f := &feed{pieces: [][]byte{nil, nil, []byte("abc")}}
	r := transport.NewReader(f, 1<<20)
	if err := r.Fill(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("Fill = %v, want %v", err, io.ErrNoProgress)
	}
	body, err := r.ReadInto(nil, 3)
	if !errors.Is(err, io.ErrNoProgress) || len(body) != 0 {
		t.Errorf("ReadInto = %q, %v, want nothing and %v", body, err, io.ErrNoProgress)
	}
	if body, err = r.ReadInto(body, 3); err != nil || string(body) != "abc" {
		t.Errorf("ReadInto = %q, %v, want the rest", body, err)
	}
}

// An error beside bytes is not lost, but comes when the bytes are used up.
func TestReaderErrorWithBytes(t *testing.T) {
	r := transport.NewReader(iotest.DataErrReader(strings.NewReader("abcdef")), 1<<20)
	fill(t, r, 1)
	r.Discard(2)
	body, err := r.ReadInto(nil, 4)
	if err != nil || string(body) != "cdef" {
		t.Errorf("ReadInto = %q, %v, want %q and nil", body, err, "cdef")
	}
	if err := r.Fill(); !errors.Is(err, io.EOF) {
		t.Errorf("Fill = %v, want %v", err, io.EOF)
	}
}

func TestReadInto(t *testing.T) {
	tests := []struct {
		name   string
		body   []byte
		n      int
		want   string
		err    error
		remain string
	}{
		{"nothing", nil, 0, "", nil, "buffered"},
		{"from the buffer", nil, 3, "buf", nil, "fered"},
		{"all of the buffer", nil, 8, "buffered", nil, ""},
		{"beyond the buffer", nil, 12, "buffered and", nil, ""},
		{"appended", []byte("pre-"), 7, "pre-buf", nil, "fered"},
		{"complete", []byte("pre"), 3, "pre", nil, "buffered"},
		{"empty and without room", []byte{}, 12, "buffered and", nil, ""},
		{"too short", nil, 100, "buffered and read", io.EOF, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := &feed{pieces: [][]byte{[]byte("buffered"), []byte(" and"), []byte(" read")}}
			r := transport.NewReader(f, 1<<20)
			fill(t, r, 1)
			got, err := r.ReadInto(tt.body, tt.n)
			if string(got) != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("ReadInto(%q, %d) = %q, %v, want %q, %v", tt.body, tt.n, got, err, tt.want, tt.err)
			}
			if got := string(r.Buffered()); got != tt.remain {
				t.Errorf("Buffered = %q, want %q", got, tt.remain)
			}
		})
	}
}

func TestReadIntoEmptyBodyWithNothingBuffered(t *testing.T) {
	r := transport.NewReader(strings.NewReader("hello"), 1<<20)
	if got, err := r.ReadInto([]byte{}, 5); string(got) != "hello" || err != nil {
		t.Errorf("ReadInto([]byte{}, 5) = %q, %v, want hello, nil", got, err)
	}
}

func TestReadIntoResumesAtEveryByte(t *testing.T) {
	const n = 1000
	want := bytesOf(n)
	f := &feed{err: os.ErrDeadlineExceeded}
	for i := range n {
		f.pieces = append(f.pieces, nil, want[i:i+1])
	}
	r := transport.NewReader(f, 1<<20)
	var body []byte
	var err error
	interrupted := 0
	for {
		if body, err = r.ReadInto(body, n); err == nil {
			break
		}
		if interrupted++; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("ReadInto = %v, want %v", err, os.ErrDeadlineExceeded)
		}
	}
	if diff := cmp.Diff(want, body); diff != "" || interrupted != n {
		t.Errorf("after %d interruptions, want %d, the body differs (-want +got):\n%s", interrupted, n, diff)
	}
}

// A peer that announces much and sends little must not get much memory.
func TestReadIntoMemory(t *testing.T) {
	const onWord = 512 << 10
	const n = 1 << 30
	f := &feed{err: os.ErrDeadlineExceeded}
	r := transport.NewReader(f, 1<<20)
	var body, sent []byte
	arrived := 0
	for _, size := range []int{0, 1, 100 << 10, 400 << 10, 1 << 20, 3 << 20} {
		if size > 0 {
			f.pieces = append(f.pieces, bytesOf(size))
			sent = append(sent, bytesOf(size)...)
		}
		f.pieces = append(f.pieces, nil)
		arrived += size
		var err error
		if body, err = r.ReadInto(body, n); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("ReadInto = %v, want %v", err, os.ErrDeadlineExceeded)
		}
		if !bytes.Equal(body, sent) {
			t.Fatalf("%d bytes arrived, the body has %d or others", arrived, len(body))
		}
		if most := max(onWord, 2*arrived); cap(body) > most {
			t.Errorf("%d bytes arrived, memory was taken for %d, want at most %d", arrived, cap(body), most)
		}
	}
}

// A body that fits takes exactly the memory it needs.
func TestReadIntoSmallBody(t *testing.T) {
	r := transport.NewReader(bytes.NewReader(bytesOf(100)), 1<<20)
	if body, err := r.ReadInto(nil, 100); err != nil || cap(body) != 100 {
		t.Errorf("ReadInto(nil, 100) = %d bytes in %d, %v, want no memory to spare", len(body), cap(body), err)
	}
}
