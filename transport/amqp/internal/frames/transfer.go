package frames

import (
	"encoding/binary"

	"github.com/polyport/polyport/transport/amqp/internal/codec"
)

// Transfer is the transfer performative (section 2.7.5).
type Transfer struct {
	Handle uint32
	// ID is that of the delivery, which the first of its frames has.
	ID    uint32
	HasID bool
	// Tag names the delivery on its link.
	Tag []byte
	// Format is that of the message; 0 is the one of section 3.2.
	Format uint32
	// Settled says that the sender wants no outcome.
	Settled bool
	// More says that the message goes on in the link's next transfer.
	More bool
	// ReceiveMode is the receiver's settlement mode for this delivery.
	ReceiveMode uint8
	// Resume is set in a delivery from before the link was attached anew.
	Resume bool
	// Aborted takes the delivery back.
	Aborted bool
}

// Parse reads the fields of a transfer performative.
func (t *Transfer) Parse(d *codec.Decoder) {
	var there bool
	t.Handle, there = d.Uint()
	d.Require(there, "handle")
	t.ID, t.HasID = d.Uint()
	t.Tag, _ = d.Binary()
	t.Format, _ = d.Uint()
	t.Settled, _ = d.Bool()
	t.More, _ = d.Bool()
	t.ReceiveMode, _ = d.Ubyte()
	d.Skip() // state
	t.Resume, _ = d.Bool()
	t.Aborted, _ = d.Bool()
	_, _ = d.Bool() // batchable
}

// MaxTransferHead is the most that BeginTransfer appends.
const MaxTransferHead = HeadLen + 3 + 3 + 5 + 5 + 6 + 1 + 1 + 1

// BeginTransfer appends the head of a frame with one of the transfers of a
// delivery; a part of the message follows, and End with the same at. The first
// transfer names the delivery, by its id in both ways.
func BeginTransfer(dst []byte, channel uint16, t *Transfer, first bool) (frame []byte, at int) {
	dst, f := begin(dst, TypeAMQP, channel, CodeTransfer)
	dst = codec.AppendUint(dst, t.Handle)
	if first {
		dst = codec.AppendUint(dst, t.ID)
		dst = append(codec.AppendBinaryHead(dst, 4), byte(t.ID>>24), byte(t.ID>>16), byte(t.ID>>8), byte(t.ID))
		dst = codec.AppendUint(dst, t.Format)
	} else {
		dst = codec.AppendNull(codec.AppendNull(codec.AppendNull(dst)))
	}
	dst = codec.AppendBool(dst, t.Settled)
	dst = codec.AppendBool(dst, t.More)
	return codec.EndList(dst, f.list, 6), f.frame
}

// Disposition is the disposition performative (section 2.7.6).
type Disposition struct {
	// Receiver is set if the deliveries are those that the sender of the frame
	// has received.
	Receiver bool
	// First and Last are the ids of the deliveries.
	First, Last uint32
	// Settled says that the sender has forgotten them.
	Settled bool
	// Outcome is one of the constants below.
	Outcome Outcome
	// Error is the reason of Rejected, or nil.
	Error *Error
	// Failed says of Modified that the delivery counts as a failed one, and
	// Undeliverable that it is not to come by this link again.
	Failed, Undeliverable bool
}

// An Outcome is a delivery's state.
type Outcome uint8

// The outcomes (section 3.4). NoOutcome means that the state is absent, or one
// that is none yet.
const (
	NoOutcome Outcome = 0
	Accepted  Outcome = 0x24
	Rejected  Outcome = 0x25
	Released  Outcome = 0x26
	Modified  Outcome = 0x27
)

// Parse reads the fields of a disposition performative.
func (x *Disposition) Parse(d *codec.Decoder) {
	*x = Disposition{}
	var there bool
	x.Receiver, there = d.Bool()
	d.Require(there, "role")
	x.First, there = d.Uint()
	d.Require(there, "first")
	if x.Last, there = d.Uint(); !there {
		x.Last = x.First
	}
	x.Settled, _ = d.Bool()
	x.state(d)
	_, _ = d.Bool() // batchable
}

// state reads the outcome.
func (x *Disposition) state(d *codec.Decoder) {
	v := d.Value()
	if k := v.Kind(); k == codec.Null || k == codec.Invalid {
		return
	}
	if v.Inner().Kind() != codec.List {
		d.Failf("a delivery state is a %v", v.Kind())
		return
	}
	fields := v.Items()
	switch v.Descriptor() {
	case uint64(Accepted):
		x.Outcome = Accepted
	case uint64(Released):
		x.Outcome = Released
	case uint64(Rejected):
		x.Outcome = Rejected
		x.Error = parseError(&fields)
	case uint64(Modified):
		x.Outcome = Modified
		x.Failed, _ = fields.Bool()
		x.Undeliverable, _ = fields.Bool()
	}
	for fields.More() {
		fields.Skip()
	}
	if err := fields.Err(); err != nil {
		d.Failf("delivery state: %v", err)
	}
}

// Append appends the frame.
func (x *Disposition) Append(dst []byte, channel uint16) []byte {
	dst, f := begin(dst, TypeAMQP, channel, CodeDisposition)
	dst = codec.AppendBool(dst, x.Receiver)
	dst = codec.AppendUint(dst, x.First)
	if x.Last == x.First {
		dst = codec.AppendNull(dst)
	} else {
		dst = codec.AppendUint(dst, x.Last)
	}
	dst = codec.AppendBool(dst, x.Settled)
	if x.Outcome == NoOutcome {
		return f.end(dst, 4)
	}
	dst, at := codec.BeginList(codec.AppendDescriptor(dst, byte(x.Outcome)))
	n := 0
	switch {
	case x.Outcome == Rejected && x.Error != nil:
		dst, n = x.Error.append(dst), 1
	case x.Outcome == Modified:
		dst, n = codec.AppendBool(dst, x.Failed), 1
	}
	return f.end(codec.EndList(dst, at, n), 5)
}

// PerformativeLen returns how many bytes the performative at the beginning of b
// takes, as far as b tells: 0 if more of it has to come to know. b begins with
// a frame's body. Only the forms that a descriptor and a list can have are
// known; ok is false for others.
func PerformativeLen(b []byte) (n int, ok bool) {
	if len(b) < 3 {
		return 0, len(b) == 0 || b[0] == 0
	}
	if b[0] != 0 {
		return 0, false
	}
	at := 1
	switch b[1] {
	case 0x44: // ulong 0
		at++
	case 0x53:
		at += 2
	case 0x80:
		at += 9
	case 0xa3:
		at += 2 + int(b[2])
	default:
		return 0, false
	}
	if len(b) <= at {
		return 0, true
	}
	switch b[at] {
	case 0x45:
		return at + 1, true
	case 0xc0:
		if len(b) < at+2 {
			return 0, true
		}
		return at + 2 + int(b[at+1]), true
	case 0xd0:
		if len(b) < at+5 {
			return 0, true
		}
		return at + 5 + int(binary.BigEndian.Uint32(b[at+1:])), true
	}
	return 0, false
}
