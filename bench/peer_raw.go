package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"sync"

	"github.com/polyport/polyport/transport/mem"
)

// rawPeers do without RPC: frames of a length, a kind and a body over a
// socket, answers in the order of the requests. What they take is what no
// library can avoid.
func rawPeers() []peer {
	memPipe := func(context.Context) (client, server net.Conn, err error) {
		client, server = mem.Pipe()
		return client, server, nil
	}
	return []peer{
		{
			name: yardstick, open: openRaw(connect, rawJSON{}),
			how: "frames with a length, encoding/json at both ends, no RPC; a caller reads its own answer",
		},
		{name: "raw-json-mem", open: openRaw(memPipe, rawJSON{}), how: "the same in memory, without a kernel"},
		{name: "raw-bytes", open: openRaw(connect, rawBytes{}), how: "the same frames with numbers and text as they are in memory"},
	}
}

// rawCodec encodes the few types that are sent.
type rawCodec interface {
	append(dst []byte, v any) ([]byte, error)
	decode(data []byte, v any) error
}

// The kinds of frames.
const (
	rawSum byte = iota
	rawEcho
	rawNote
	rawBatch
)

// rawHeader is a length of four bytes, which counts the body, and a kind.
const rawHeader = 5

// appendFrame appends a frame with v to dst.
func appendFrame(dst []byte, kind byte, codec rawCodec, v any) ([]byte, error) {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, kind)
	dst, err := codec.append(dst, v)
	if err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-rawHeader))
	return dst, nil
}

// readFrame reads a frame; its body is in buf, if that is large enough.
func readFrame(r *bufio.Reader, buf []byte) (kind byte, body []byte, err error) {
	head, err := r.Peek(rawHeader)
	if err != nil {
		return 0, buf, err
	}
	kind, size := head[4], int(binary.BigEndian.Uint32(head))
	if _, err := r.Discard(rawHeader); err != nil {
		return 0, buf, err
	}
	if cap(buf) < size {
		buf = make([]byte, size)
	}
	body = buf[:size]
	_, err = io.ReadFull(r, body)
	return kind, body, err
}

func openRaw(
	connect func(context.Context) (client, server net.Conn, err error), codec rawCodec,
) func(context.Context, *service) (client, error) {
	return func(ctx context.Context, s *service) (client, error) {
		near, far, err := connect(ctx)
		if err != nil {
			return nil, err
		}
		c := &rawClient{codec: codec, nc: near, reader: bufio.NewReader(near), last: make(chan struct{})}
		close(c.last)
		served := make(chan struct{})
		go func() {
			defer close(served)
			serveRaw(far, codec, s)
		}()
		c.add(func() error { <-served; return far.Close() })
		c.add(near.Close)
		return c, nil
	}
}

// serveRaw serves nc until it ends.
func serveRaw(nc net.Conn, codec rawCodec, s *service) {
	reader := bufio.NewReader(nc)
	var in, out []byte
	for {
		kind, body, err := readFrame(reader, in)
		if err != nil {
			return
		}
		in = body
		result, err := serveFrame(kind, body, codec, s)
		if err != nil {
			return
		}
		if result == nil {
			continue
		}
		if out, err = appendFrame(out[:0], kind, codec, result); err != nil {
			return
		}
		if _, err := nc.Write(out); err != nil {
			return
		}
	}
}

// serveFrame returns the answer to a frame, nil for a notification.
func serveFrame(kind byte, body []byte, codec rawCodec, s *service) (any, error) {
	switch kind {
	case rawSum:
		var terms []float64
		err := codec.decode(body, &terms)
		return s.Sum(terms), err
	case rawEcho:
		var t text
		err := codec.decode(body, &t)
		return s.Echo(t), err
	case rawNote:
		var terms []float64
		err := codec.decode(body, &terms)
		s.Note(terms)
		return nil, err
	case rawBatch:
		var calls [][]float64
		err := codec.decode(body, &calls)
		sums := make([]float64, len(calls))
		for i, terms := range calls {
			sums[i] = s.Sum(terms)
		}
		return sums, err
	default:
		return nil, fmt.Errorf("frame of kind %d", kind)
	}
}

// A rawClient sends under a lock; its callers read in the order in which they
// sent, each its own answer.
type rawClient struct {
	closers
	codec  rawCodec
	nc     net.Conn
	reader *bufio.Reader
	bodies sync.Pool

	mu   sync.Mutex
	out  []byte
	last chan struct{} // is closed when the caller that sent last has read
}

// send sends a frame. If answered it returns whose turn to read comes before
// and after that of the caller.
func (c *rawClient) send(kind byte, v any, answered bool) (before, after chan struct{}, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out, err = appendFrame(c.out[:0], kind, c.codec, v); err != nil {
		return nil, nil, err
	}
	if _, err := c.nc.Write(c.out); err != nil {
		return nil, nil, err
	}
	if answered {
		before, after = c.last, make(chan struct{})
		c.last = after
	}
	return before, after, nil
}

func (c *rawClient) call(kind byte, params, result any) error {
	before, after, err := c.send(kind, params, true)
	if err != nil {
		return err
	}
	<-before
	body, _ := c.bodies.Get().(*[]byte)
	if body == nil {
		body = new([]byte)
	}
	_, *body, err = readFrame(c.reader, *body)
	close(after)
	if err != nil {
		return err
	}
	err = c.codec.decode(*body, result)
	c.bodies.Put(body)
	return err
}

// Sum is a call.
func (c *rawClient) Sum(_ context.Context, terms []float64) (sum float64, err error) {
	err = c.call(rawSum, terms, &sum)
	return sum, err
}

// Echo is a call.
func (c *rawClient) Echo(_ context.Context, t text) (result text, err error) {
	err = c.call(rawEcho, t, &result)
	return result, err
}

// Note sends a frame that has no answer.
func (c *rawClient) Note(_ context.Context, terms []float64) error {
	_, _, err := c.send(rawNote, terms, false)
	return err
}

// SumBatch sends one frame with all.
func (c *rawClient) SumBatch(_ context.Context, calls [][]float64) (sums []float64, err error) {
	err = c.call(rawBatch, calls, &sums)
	return sums, err
}

// rawJSON is encoding/json.
type rawJSON struct{}

func (rawJSON) append(dst []byte, v any) ([]byte, error) {
	body, err := json.Marshal(v)
	return append(dst, body...), err
}

func (rawJSON) decode(data []byte, v any) error { return json.Unmarshal(data, v) }

// rawBytes copies.
type rawBytes struct{}

func (rawBytes) append(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case float64:
		return appendFloats(dst, v), nil
	case []float64:
		return appendFloats(dst, v...), nil
	case [][]float64:
		for _, terms := range v {
			dst = appendFloats(append(dst, byte(len(terms))), terms...)
		}
		return dst, nil
	case text:
		return append(dst, v.Text...), nil
	default:
		return nil, fmt.Errorf("cannot encode %T", v)
	}
}

func (rawBytes) decode(data []byte, v any) error {
	switch v := v.(type) {
	case *float64:
		*v = floatAt(data)
	case *[]float64:
		*v = floats(data)
	case *[][]float64:
		for len(data) > 0 {
			end := 1 + 8*int(data[0])
			*v = append(*v, floats(data[1:end]))
			data = data[end:]
		}
	case *text:
		v.Text = string(data)
	default:
		return fmt.Errorf("cannot decode %T", v)
	}
	return nil
}

// appendFloats appends eight bytes for each number.
func appendFloats(dst []byte, numbers ...float64) []byte {
	for _, n := range numbers {
		dst = binary.BigEndian.AppendUint64(dst, math.Float64bits(n))
	}
	return dst
}

func floats(data []byte) []float64 {
	numbers := make([]float64, len(data)/8)
	for i := range numbers {
		numbers[i] = floatAt(data[8*i:])
	}
	return numbers
}

func floatAt(data []byte) float64 { return math.Float64frombits(binary.BigEndian.Uint64(data)) }
