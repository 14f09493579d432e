package frames

import "github.com/polyport/polyport/transport/amqp/internal/codec"

// BeginFrame is the begin performative (section 2.7.2).
type BeginFrame struct {
	// RemoteChannel is the channel of the begin that this one answers.
	RemoteChannel uint16
	Answer        bool
	// NextOutgoingID numbers the sender's next transfer frame.
	NextOutgoingID uint32
	// IncomingWindow and OutgoingWindow are how many transfer frames the sender
	// can take, and may send.
	IncomingWindow, OutgoingWindow uint32
	// HandleMax is the highest handle that may be used.
	HandleMax uint32
}

// Parse reads the fields of a begin performative.
func (b *BeginFrame) Parse(d *codec.Decoder) {
	*b = BeginFrame{HandleMax: 1<<32 - 1}
	var there bool
	b.RemoteChannel, b.Answer = d.Ushort()
	b.NextOutgoingID, there = d.Uint()
	d.Require(there, "next-outgoing-id")
	b.IncomingWindow, there = d.Uint()
	d.Require(there, "incoming-window")
	b.OutgoingWindow, there = d.Uint()
	d.Require(there, "outgoing-window")
	if n, there := d.Uint(); there {
		b.HandleMax = n
	}
	for d.More() { // capabilities, properties
		d.Skip()
	}
}

// Append appends the frame.
func (b *BeginFrame) Append(dst []byte, channel uint16) []byte {
	dst, f := begin(dst, TypeAMQP, channel, CodeBegin)
	if b.Answer {
		dst = codec.AppendUshort(dst, b.RemoteChannel)
	} else {
		dst = codec.AppendNull(dst)
	}
	dst = codec.AppendUint(dst, b.NextOutgoingID)
	dst = codec.AppendUint(dst, b.IncomingWindow)
	dst = codec.AppendUint(dst, b.OutgoingWindow)
	return f.end(codec.AppendUint(dst, b.HandleMax), 5)
}

// Flow is the flow performative (section 2.7.4).
type Flow struct {
	// NextIncomingID is set unless the sender has not seen a begin.
	NextIncomingID    uint32
	HasNextIncomingID bool
	IncomingWindow    uint32
	NextOutgoingID    uint32
	OutgoingWindow    uint32
	// Handle is set if the frame is about a link, too.
	Handle    uint32
	HasHandle bool
	// DeliveryCount and LinkCredit are the link's, where they are set.
	DeliveryCount    uint32
	HasDeliveryCount bool
	LinkCredit       uint32
	HasLinkCredit    bool
	// Drain asks the sender to use up the credit; Echo asks for a flow frame.
	Drain, Echo bool
}

// Parse reads the fields of a flow performative.
func (f *Flow) Parse(d *codec.Decoder) {
	var there bool
	f.NextIncomingID, f.HasNextIncomingID = d.Uint()
	f.IncomingWindow, there = d.Uint()
	d.Require(there, "incoming-window")
	f.NextOutgoingID, there = d.Uint()
	d.Require(there, "next-outgoing-id")
	f.OutgoingWindow, there = d.Uint()
	d.Require(there, "outgoing-window")
	f.Handle, f.HasHandle = d.Uint()
	f.DeliveryCount, f.HasDeliveryCount = d.Uint()
	f.LinkCredit, f.HasLinkCredit = d.Uint()
	_, _ = d.Uint() // available
	f.Drain, _ = d.Bool()
	f.Echo, _ = d.Bool()
	for d.More() { // properties
		d.Skip()
	}
}

// Append appends the frame.
func (f *Flow) Append(dst []byte, channel uint16) []byte {
	dst, at := begin(dst, TypeAMQP, channel, CodeFlow)
	dst = codec.AppendUint(dst, f.NextIncomingID)
	dst = codec.AppendUint(dst, f.IncomingWindow)
	dst = codec.AppendUint(dst, f.NextOutgoingID)
	dst = codec.AppendUint(dst, f.OutgoingWindow)
	if !f.HasHandle {
		return at.end(dst, 4)
	}
	dst = codec.AppendUint(dst, f.Handle)
	dst = codec.AppendUint(dst, f.DeliveryCount)
	dst = codec.AppendUint(dst, f.LinkCredit)
	if !f.Drain {
		return at.end(dst, 7)
	}
	return at.end(codec.AppendBool(codec.AppendNull(dst), true), 9)
}
