package frames

import "github.com/polyport/polyport/transport/amqp/internal/codec"

// The settlement modes of a link's sender (section 2.8.2).
const (
	SendUnsettled = 0
	SendSettled   = 1
	SendMixed     = 2
)

// ReceiveSecond is the settlement mode of a receiver that settles after the
// sender (section 2.8.3); the other mode is 0.
const ReceiveSecond = 1

// The kinds of [Terminus].
const (
	NoTerminus = iota
	Source
	Target
	Coordinator
)

// A Terminus is one end of a link: a source (section 3.5.3), a target (3.5.4)
// or a coordinator of transactions (4.5.1).
type Terminus struct {
	// Kind is NoTerminus where the field is null.
	Kind int
	// Address is that of the node. HasAddress tells null from empty.
	Address    []byte
	HasAddress bool
	// Dynamic asks for a node to be made, or says that it was.
	Dynamic bool
	// Copy says of a source that messages are read and stay there (section
	// 3.5.6).
	Copy bool
	// Capabilities are those of the node that are known here.
	Capabilities Capability
}

// fields is how many fields a source or target has, of which the last are the
// capabilities.
func (t *Terminus) fields() int {
	if t.Kind == Source {
		return 11
	}
	return 7
}

// parseTerminus reads a source or target field.
func parseTerminus(d *codec.Decoder) (t Terminus) {
	v := d.Value()
	if k := v.Kind(); k == codec.Null || k == codec.Invalid {
		return t
	}
	if err := v.Check(); err != nil {
		d.Failf("terminus: %v", err)
		return t
	}
	if v.Inner().Kind() != codec.List {
		d.Failf("a terminus is a %v", v.Kind())
		return t
	}
	switch code := v.Descriptor(); code {
	case codeSource:
		t.Kind = Source
	case codeTarget:
		t.Kind = Target
	case codeCoordinator:
		t.Kind = Coordinator
		return t
	default:
		d.Failf("a terminus is of the unknown type %#02x", code)
		return t
	}
	fields := v.Items()
	t.Address, t.HasAddress = fields.Text()
	fields.Skip() // durable
	fields.Skip() // expiry-policy
	fields.Skip() // timeout
	t.Dynamic, _ = fields.Bool()
	fields.Skip() // dynamic-node-properties
	if t.Kind == Source {
		t.Copy = string(fields.Value().Bytes()) == distributionCopy
		fields.Skip() // filter
		fields.Skip() // default-outcome
		fields.Skip() // outcomes
	}
	t.Capabilities = parseCapabilities(&fields)
	if err := fields.Err(); err != nil {
		d.Failf("terminus: %v", err)
	}
	return t
}

// append appends the terminus, or null for none.
func (t *Terminus) append(dst []byte) []byte {
	code := byte(codeTarget)
	switch t.Kind {
	case NoTerminus:
		return codec.AppendNull(dst)
	case Source:
		code = codeSource
	}
	dst, at := codec.BeginList(codec.AppendDescriptor(dst, code))
	if !t.HasAddress {
		return codec.EndList(dst, at, 0)
	}
	dst = codec.AppendString(dst, t.Address)
	n := 1
	nulls := func(until int) {
		for ; n < until; n++ {
			dst = codec.AppendNull(dst)
		}
	}
	if t.Dynamic {
		nulls(4)
		dst, n = codec.AppendBool(dst, true), 5
	}
	if t.Copy {
		nulls(6)
		dst, n = codec.AppendSymbol(dst, distributionCopy), 7
	}
	if t.Capabilities != 0 {
		nulls(t.fields() - 1)
		dst, n = t.Capabilities.append(dst), t.fields()
	}
	return codec.EndList(dst, at, n)
}

// Attach is the attach performative (section 2.7.3).
type Attach struct {
	// Name is the link's, and Handle its number in the sender's frames.
	Name   []byte
	Handle uint32
	// Receiver is set if the sender of the frame is the link's receiver.
	Receiver bool
	// SendMode and ReceiveMode are the settlement modes.
	SendMode, ReceiveMode uint8
	Source, Target        Terminus
	// InitialDeliveryCount is set by a link's sender.
	InitialDeliveryCount    uint32
	HasInitialDeliveryCount bool
	// MaxMessageSize is the most bytes of a message; 0 means any number.
	MaxMessageSize uint64
}

// Parse reads the fields of an attach performative.
func (a *Attach) Parse(d *codec.Decoder) {
	*a = Attach{SendMode: SendMixed}
	var there bool
	a.Name, there = d.Text()
	d.Require(there, "name")
	a.Handle, there = d.Uint()
	d.Require(there, "handle")
	a.Receiver, there = d.Bool()
	d.Require(there, "role")
	if n, there := d.Ubyte(); there {
		a.SendMode = n
	}
	a.ReceiveMode, _ = d.Ubyte()
	if a.SendMode > SendMixed || a.ReceiveMode > ReceiveSecond {
		d.Failf("unknown settlement mode %d or %d", a.SendMode, a.ReceiveMode)
	}
	a.Source = parseTerminus(d)
	a.Target = parseTerminus(d)
	if a.Source.Kind == Target || a.Target.Kind == Source || a.Source.Kind == Coordinator {
		d.Failf("the source or target is of the wrong type")
	}
	d.Skip()        // unsettled
	_, _ = d.Bool() // incomplete-unsettled
	a.InitialDeliveryCount, a.HasInitialDeliveryCount = d.Uint()
	a.MaxMessageSize, _ = d.Ulong()
	for d.More() { // capabilities, properties
		d.Skip()
	}
}

// Append appends the frame.
func (a *Attach) Append(dst []byte, channel uint16) []byte {
	dst, f := begin(dst, TypeAMQP, channel, CodeAttach)
	dst = codec.AppendString(dst, a.Name)
	dst = codec.AppendUint(dst, a.Handle)
	dst = codec.AppendBool(dst, a.Receiver)
	dst = codec.AppendUbyte(dst, a.SendMode)
	dst = codec.AppendUbyte(dst, a.ReceiveMode)
	dst = a.Source.append(dst)
	dst = a.Target.append(dst)
	dst = codec.AppendNull(codec.AppendNull(dst))
	if a.HasInitialDeliveryCount {
		dst = codec.AppendUint(dst, a.InitialDeliveryCount)
	} else {
		dst = codec.AppendNull(dst)
	}
	if a.MaxMessageSize == 0 {
		return f.end(dst, 10)
	}
	return f.end(codec.AppendUlong(dst, a.MaxMessageSize), 11)
}

// Detach is the detach performative (section 2.7.7).
type Detach struct {
	Handle uint32
	// Closed ends the link for good, not only its attachment.
	Closed bool
	Error  *Error
}

// Parse reads the fields of a detach performative.
func (x *Detach) Parse(d *codec.Decoder) {
	var there bool
	x.Handle, there = d.Uint()
	d.Require(there, "handle")
	x.Closed, _ = d.Bool()
	x.Error = parseError(d)
}

// Append appends the frame.
func (x *Detach) Append(dst []byte, channel uint16) []byte {
	dst, f := begin(dst, TypeAMQP, channel, CodeDetach)
	dst = codec.AppendUint(dst, x.Handle)
	dst = codec.AppendBool(dst, x.Closed)
	if x.Error == nil {
		return f.end(dst, 2)
	}
	return f.end(x.Error.append(dst), 3)
}
