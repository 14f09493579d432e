package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"sync"
)

// amqpWire is AMQP 1.0 by a client as cheap as stompWire: transfers that were
// encoded before but for their number, counted as they come, and one disposition
// for all that came together.
type amqpWire struct{}

// What AMQP 1.0 calls its performatives (part 2, section 2.7).
const (
	amqpOpen        = 0x10
	amqpBegin       = 0x11
	amqpAttach      = 0x12
	amqpFlow        = 0x13
	amqpTransfer    = 0x14
	amqpDisposition = 0x15
)

const (
	amqpFrameMax = hubReadSize
	amqpWindow   = 1 << 30
	// amqpCredit is what a subscriber of a topic grants.
	amqpCredit = 8 * hubBatch * hubBatches
)

// frame appends a frame of channel 0. Fields are nil, bool, byte, uint32, string, or
// []byte for what is encoded already.
func appendAMQP(dst []byte, performative byte, fields ...any) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, 2, 0, 0, 0)
	dst = appendAMQPList(dst, performative, fields...)
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start))
	return dst
}

func appendAMQPList(dst []byte, descriptor byte, fields ...any) []byte {
	dst = append(dst, 0, 0x53, descriptor, 0xd0)
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, byte(len(fields)))
	for _, f := range fields {
		switch f := f.(type) {
		case nil:
			dst = append(dst, 0x40)
		case bool:
			dst = append(dst, map[bool]byte{true: 0x41, false: 0x42}[f])
		case byte:
			dst = append(dst, 0x50, f)
		case uint32:
			dst = binary.BigEndian.AppendUint32(append(dst, 0x70), f)
		case string:
			dst = append(append(dst, 0xa1, byte(len(f))), f...)
		case []byte:
			dst = append(dst, f...)
		}
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

// amqpNumbers reads the first so many fields of a performative as numbers; what is
// none of them is 0.
func amqpNumbers(list []byte, out []uint32) error {
	if len(list) < 12 {
		return errors.New("a performative ends early")
	}
	var count uint32
	switch p := list[3:]; p[0] {
	case 0xc0:
		count, list = uint32(p[2]), p[3:]
	case 0xd0:
		count, list = binary.BigEndian.Uint32(p[5:]), p[9:]
	default:
		return fmt.Errorf("a performative is a %#x", p[0])
	}
	clear(out)
	for i := range out[:min(int(count), len(out))] {
		if len(list) < 5 {
			return errors.New("a performative ends early")
		}
		size := 0
		switch list[0] {
		case 0x40, 0x41, 0x42, 0x43:
		case 0x50, 0x52, 0x56:
			out[i], size = uint32(list[1]), 1
		case 0x70:
			out[i], size = binary.BigEndian.Uint32(list[1:]), 4
		default:
			return fmt.Errorf("field %d is a %#x", i, list[0])
		}
		list = list[1+size:]
	}
	return nil
}

// connect opens a connection, a session and a link, of which attach says the
// rest, and returns it when the other side has attached as well. What it has said
// before that is in the reader.
func (amqpWire) connect(ctx context.Context, address string, attach ...any) (net.Conn, *bufio.Reader, error) {
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, nil, err
	}
	out := []byte("AMQP\x00\x01\x00\x00")
	out = appendAMQP(out, amqpOpen, "bench", "localhost", uint32(amqpFrameMax))
	out = appendAMQP(out, amqpBegin, nil, uint32(0), uint32(amqpWindow), uint32(amqpWindow))
	out = appendAMQP(out, amqpAttach, append([]any{"bench", uint32(0)}, attach...)...)
	r := bufio.NewReaderSize(nc, amqpFrameMax)
	err = func() error {
		if _, err := nc.Write(out); err != nil {
			return err
		}
		if _, err := r.Discard(8); err != nil {
			return err
		}
		for {
			f, err := peekAMQP(r)
			if err != nil {
				return err
			}
			if len(f) > 11 && f[10] != amqpOpen && f[10] != amqpBegin {
				if f[10] != amqpAttach {
					return fmt.Errorf("instead of an attach there came %q", f)
				}
				_, err := r.Discard(len(f))
				return err
			}
			if _, err := r.Discard(len(f)); err != nil {
				return err
			}
		}
	}()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("AMQP: %w", err), nc.Close())
	}
	return nc, r, nil
}

// peekAMQP waits for a frame, which is valid until the next use of r.
func peekAMQP(r *bufio.Reader) ([]byte, error) {
	head, err := r.Peek(4)
	if err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head)
	if size < 8 || size > amqpFrameMax {
		return nil, fmt.Errorf("a frame of %d bytes", size)
	}
	return r.Peek(int(size))
}

func (w amqpWire) consume(ctx context.Context, at hubPlace, body []byte, ready func(), got func(right, wrong int)) error {
	settled, credit := byte(1), uint32(amqpCredit)
	if at.queue {
		settled, credit = 0, hubPrefetch
	}
	nc, r, err := w.connect(ctx, at.address, true, settled, byte(0),
		appendAMQPList(nil, 0x28, at.stomp()), appendAMQPList(nil, 0x29))
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = nc.Close() })()
	defer func() { _ = nc.Close() }()
	c := &amqpConsumer{nc: nc, r: r, acks: at.queue, body: body, credit: credit}
	err = c.grant()
	if err == nil {
		ready()
		err = c.run(got)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

type amqpConsumer struct {
	nc     net.Conn
	r      *bufio.Reader
	acks   bool
	body   []byte
	credit uint32
	count  uint32 // deliveries
	since  uint32 // the last grant
	out    []byte
}

// grant appends what renews the credit, and writes all.
func (c *amqpConsumer) grant() error {
	c.since = 0
	c.out = appendAMQP(c.out, amqpFlow, c.count, uint32(amqpWindow), uint32(0), uint32(amqpWindow), uint32(0), c.count, c.credit)
	return c.write()
}

func (c *amqpConsumer) write() error {
	_, err := c.nc.Write(c.out)
	c.out = c.out[:0]
	return err
}

func (c *amqpConsumer) run(got func(right, wrong int)) error {
	for {
		var all amqpBurst
		for more := true; more; more = wholeAMQP(c.r) {
			f, err := peekAMQP(c.r)
			if err == nil {
				err = all.add(f, c.body)
			}
			if err == nil {
				_, err = c.r.Discard(len(f))
			}
			if err != nil {
				return err
			}
		}
		if err := c.settle(&all); err != nil {
			return err
		}
		got(all.right, all.wrong)
	}
}

// settle accepts what has come, and renews the credit when half of it is used up.
func (c *amqpConsumer) settle(all *amqpBurst) error {
	n := uint32(all.right + all.wrong)
	c.count, c.since = c.count+n, c.since+n
	if c.acks && n > 0 {
		c.out = appendAMQP(c.out, amqpDisposition, true, all.first, all.last, true, []byte{0, 0x53, 0x24, 0x45})
	}
	switch {
	case c.since >= c.credit/2:
		return c.grant()
	case len(c.out) > 0:
		return c.write()
	}
	return nil
}

// An amqpBurst is what has come together.
type amqpBurst struct {
	right, wrong int
	first, last  uint32 // delivery-ids
}

func (b *amqpBurst) add(f, body []byte) error {
	if len(f) < 12 || f[10] == amqpFlow {
		return nil
	}
	if f[10] != amqpTransfer {
		return fmt.Errorf("instead of a transfer there came %q", f)
	}
	var fields [2]uint32
	if err := amqpNumbers(f[8:], fields[:]); err != nil {
		return err
	}
	if b.last = fields[1]; b.right+b.wrong == 0 {
		b.first = b.last
	}
	if bytes.HasSuffix(f, body) {
		b.right++
	} else {
		b.wrong++
	}
	return nil
}

// wholeAMQP reports whether a whole frame has been read already.
func wholeAMQP(r *bufio.Reader) bool {
	if r.Buffered() < 4 {
		return false
	}
	head, _ := r.Peek(4)
	return uint32(r.Buffered()) >= binary.BigEndian.Uint32(head)
}

// amqpProducer sends settled transfers, as many as the server has granted.
type amqpProducer struct {
	net.Conn
	one, many []byte
	sent      uint32

	mu      sync.Mutex
	room    sync.Cond
	granted uint32 // transfers that may have been sent in all, by link and session
	err     error
}

// The places of the numbers in a transfer.
const (
	amqpIDAt  = 8 + 12 + 5 + 1
	amqpTagAt = amqpIDAt + 4 + 2
)

func (w amqpWire) produce(ctx context.Context, at hubPlace, body []byte) (hubProducer, error) {
	nc, r, err := w.connect(ctx, at.address, false, byte(2), byte(0),
		appendAMQPList(nil, 0x28), appendAMQPList(nil, 0x29, at.stomp()), nil, nil, uint32(0))
	if err != nil {
		return nil, err
	}
	p := &amqpProducer{Conn: nc}
	p.room.L = &p.mu
	p.one = appendAMQP(nil, amqpTransfer, uint32(0), uint32(0), []byte{0xa0, 4, 0, 0, 0, 0}, uint32(0), true)
	p.one = append(p.one, 0, 0x53, 0x75, 0xb0)
	p.one = binary.BigEndian.AppendUint32(p.one, uint32(len(body)))
	p.one = append(p.one, body...)
	binary.BigEndian.PutUint32(p.one, uint32(len(p.one)))
	go p.listen(r)
	return p, nil
}

// listen waits for credit.
func (p *amqpProducer) listen(r *bufio.Reader) {
	for {
		f, err := peekAMQP(r)
		if err == nil && len(f) > 11 {
			switch f[10] {
			case amqpFlow:
				var n [7]uint32
				if err = amqpNumbers(f[8:], n[:]); err == nil {
					p.grant(min(n[0]+n[1], n[5]+n[6]))
				}
			case amqpDisposition:
			default:
				err = fmt.Errorf("instead of a flow there came %q", f)
			}
		}
		if err == nil {
			_, err = r.Discard(len(f))
		}
		if err != nil {
			p.mu.Lock()
			p.err = err
			p.mu.Unlock()
			p.room.Broadcast()
			return
		}
	}
}

func (p *amqpProducer) grant(upTo uint32) {
	p.mu.Lock()
	p.granted = max(p.granted, min(upTo, math.MaxInt32))
	p.mu.Unlock()
	p.room.Broadcast()
}

func (p *amqpProducer) send(n int) error {
	for len(p.many) < n*len(p.one) {
		p.many = append(p.many, p.one...)
	}
	for n > 0 {
		now, err := p.wait(n)
		if err != nil {
			return err
		}
		for i := range now {
			f := p.many[i*len(p.one):]
			binary.BigEndian.PutUint32(f[amqpIDAt:], p.sent)
			binary.BigEndian.PutUint32(f[amqpTagAt:], p.sent)
			p.sent++
		}
		if _, err := p.Write(p.many[:now*len(p.one)]); err != nil {
			return err
		}
		n -= now
	}
	return nil
}

// wait waits until one transfer may be sent, and returns how many of n may.
func (p *amqpProducer) wait(n int) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.granted <= p.sent && p.err == nil {
		p.room.Wait()
	}
	if p.err != nil && !errors.Is(p.err, io.EOF) {
		return 0, p.err
	}
	return min(n, int(p.granted-p.sent)), p.err
}
