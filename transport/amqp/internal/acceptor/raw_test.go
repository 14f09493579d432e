package acceptor_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/polyport/polyport/transport/amqp/internal/codec"
	"github.com/polyport/polyport/transport/amqp/internal/frames"
)

// What a peer says, byte for byte.

const header = "AMQP\x00\x01\x00\x00"

// performative is a frame with a list of any fields.
func performative(channel uint16, code byte, fields ...[]byte) string {
	dst, f := frames.Begin(nil, frames.TypeAMQP, channel)
	dst, at := codec.BeginList(codec.AppendDescriptor(dst, code))
	for _, field := range fields {
		dst = append(dst, field...)
	}
	return string(frames.End(codec.EndList(dst, at, len(fields)), f))
}

var null = codec.AppendNull(nil)

func str(s string) []byte  { return codec.AppendString(nil, s) }
func u32(n uint32) []byte  { return codec.AppendUint(nil, n) }
func yes(b bool) []byte    { return codec.AppendBool(nil, b) }
func bin(s string) []byte  { return codec.AppendBinary(nil, s) }
func raw(s string) []byte  { return []byte(s) }
func ubyte(n uint8) []byte { return codec.AppendUbyte(nil, n) }

// hello opens a connection whose peer bears an hour of silence.
func hello() string {
	return header + performative(0, frames.CodeOpen, str("raw"), null, u32(1<<20), codec.AppendUshort(nil, 1000), u32(3_600_000))
}

// begin opens a session on channel 0.
func begin() string {
	b := frames.BeginFrame{IncomingWindow: 1000, OutgoingWindow: 1000, HandleMax: 1 << 20}
	return hello() + string(b.Append(nil, 0))
}

// attach is a link by which the peer sends.
func attach(handle uint32, name, target string) string {
	a := frames.Attach{
		Name: []byte(name), Handle: handle, SendMode: frames.SendMixed,
		Source: frames.Terminus{Kind: frames.Source}, Target: frames.Terminus{Kind: frames.Target, Address: []byte(target), HasAddress: true},
		HasInitialDeliveryCount: true,
	}
	return string(a.Append(nil, 0))
}

// receive is a link by which the peer receives.
func receive(handle uint32, name, source string, mode uint8) string {
	a := frames.Attach{
		Name: []byte(name), Handle: handle, SendMode: mode, Receiver: true,
		Source: frames.Terminus{Kind: frames.Source, Address: []byte(source), HasAddress: true}, Target: frames.Terminus{Kind: frames.Target},
	}
	return string(a.Append(nil, 0))
}

// sending is a session with a link to rpc on handle 0.
func sending() string { return begin() + attach(0, "out", "rpc") }

// section is a described value of a message.
func section(code byte, value []byte) string {
	return string(append(codec.AppendDescriptor(nil, code), value...))
}

// data is a message with a body alone.
func data(body string) string { return section(0x75, bin(body)) }

// transfer is a frame of a delivery.
func transfer(handle, id uint32, settled, more bool, payload string) string {
	t := frames.Transfer{Handle: handle, ID: id, Settled: settled, More: more}
	dst, at := frames.BeginTransfer(nil, 0, &t, true)
	return string(frames.End(append(dst, payload...), at))
}

// A peer is the raw end of a connection.
type peer struct {
	t  *testing.T
	nc net.Conn
}

func (r *rig) peer() *peer {
	nc := r.dial()
	r.t.Cleanup(func() { _ = nc.Close() })
	return &peer{r.t, nc}
}

// connect opens a connection in good order, and reads until the answer to all of
// what is said has come.
func (r *rig) connect(said string, answers int) *peer {
	p := r.peer()
	p.say(said)
	for range answers {
		p.next()
	}
	return p
}

func (p *peer) say(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p.nc, s); err != nil {
		p.t.Fatalf("write: %v", err)
	}
}

// A said is a frame of the server.
type said struct {
	frames.Head
	code    uint64
	fields  codec.Decoder
	payload []byte
}

// read reads a frame; headers of protocols are passed over, as are signs of
// life.
func (p *peer) read() (x said, err error) {
	for {
		var head [8]byte
		if _, err := io.ReadFull(p.nc, head[:]); err != nil {
			return x, err
		}
		if string(head[:4]) == "AMQP" {
			continue
		}
		x.Head = frames.ParseHead(head[:])
		body := make([]byte, int(x.Size)-8)
		if _, err := io.ReadFull(p.nc, body); err != nil {
			return x, err
		}
		if len(body) == 0 {
			continue
		}
		d := codec.NewDecoder(body)
		v := d.Value()
		if err := errors.Join(d.Err(), v.Check()); err != nil {
			return x, fmt.Errorf("the server's frame % x: %w", body, err)
		}
		x.code, x.fields, x.payload = v.Descriptor(), v.Items(), d.Rest()
		return x, nil
	}
}

// next is read for what must come.
func (p *peer) next() said {
	p.t.Helper()
	_ = p.nc.SetReadDeadline(time.Now().Add(20 * time.Second))
	x, err := p.read()
	if err != nil {
		p.t.Fatalf("expected a frame: %v", err)
	}
	return x
}

// want is next for a performative of this code.
func (p *peer) want(code uint64) said {
	p.t.Helper()
	x := p.next()
	if x.code != code {
		p.t.Fatalf("got the performative %#x, want %#x", x.code, code)
	}
	return x
}

// quiet checks that nothing comes.
func (p *peer) quiet() {
	p.t.Helper()
	_ = p.nc.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if x, err := p.read(); err == nil {
		p.t.Fatalf("got the performative %#x, want nothing", x.code)
	}
}

// verdict reads until the server has refused something, and returns what: the
// performative and the condition, such as "end amqp:session:handle-in-use"; or
// until it closes: "close". A peer that is only waited for is "nothing".
func (p *peer) verdict() (verdict, description string) {
	_ = p.nc.SetReadDeadline(time.Now().Add(20 * time.Second))
	for {
		x, err := p.read()
		switch {
		case err != nil && strings.Contains(err.Error(), "timeout"):
			return "nothing", ""
		case err != nil:
			return "close", ""
		}
		var e *frames.Error
		name := ""
		switch x.code {
		case frames.CodeSASLOutcome:
			if code, _ := x.fields.Ubyte(); code != 0 {
				return fmt.Sprint("sasl ", code), ""
			}
		case frames.CodeClose:
			name, e = "close", frames.ParseClose(&x.fields)
		case frames.CodeEnd:
			name, e = "end", frames.ParseClose(&x.fields)
		case frames.CodeDetach:
			var d frames.Detach
			d.Parse(&x.fields)
			name, e = "detach", d.Error
		case frames.CodeDisposition:
			var d frames.Disposition
			if d.Parse(&x.fields); d.Outcome == frames.Rejected {
				name, e = "rejected", d.Error
			}
		}
		if e != nil {
			return name + " " + e.Condition, e.Description
		}
	}
}

// frameOf is a frame that says to have n bytes.
func frameOf(n uint32, typ byte, body string) string {
	return string(binary.BigEndian.AppendUint32(nil, n)) + "\x02" + string(typ) + "\x00\x00" + body
}
