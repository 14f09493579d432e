package frames

import "github.com/polyport/polyport/transport/amqp/internal/codec"

// Open is the open performative (section 2.7.1).
type Open struct {
	// ContainerID and Hostname are the sender's name, and the virtual host.
	ContainerID, Hostname []byte
	// MaxFrameSize is the most bytes of a frame that the sender takes.
	MaxFrameSize uint32
	// ChannelMax is the highest channel that may be used.
	ChannelMax uint16
	// IdleTimeout is how many milliseconds of silence the sender tolerates; 0
	// means any.
	IdleTimeout uint32
	// Product and Version are properties by which many peers name themselves.
	Product, Version []byte
}

// Parse reads the fields of an open performative.
func (o *Open) Parse(d *codec.Decoder) {
	*o = Open{MaxFrameSize: 1<<32 - 1, ChannelMax: 1<<16 - 1}
	var there bool
	o.ContainerID, there = d.Text()
	d.Require(there, "container-id")
	o.Hostname, _ = d.Text()
	if n, there := d.Uint(); there {
		o.MaxFrameSize = n
	}
	if n, there := d.Ushort(); there {
		o.ChannelMax = n
	}
	o.IdleTimeout, _ = d.Uint()
	for range 4 { // locales and capabilities, both ways
		d.Skip()
	}
	o.properties(d)
}

// properties looks for names among the properties.
func (o *Open) properties(d *codec.Decoder) {
	m := d.Value()
	if k := m.Kind(); k == codec.Null || k == codec.Invalid {
		return
	}
	if err := m.Check(); err != nil {
		d.Failf("properties: %v", err)
		return
	}
	for items := m.Items(); items.More(); {
		name, v := items.Value(), items.Value()
		if v.Kind() != codec.String {
			continue
		}
		switch string(name.Bytes()) {
		case "product":
			o.Product = v.Bytes()
		case "version":
			o.Version = v.Bytes()
		}
	}
}

// Append appends the frame. The capabilities are those that the sender offers.
func (o *Open) Append(dst []byte, capabilities ...string) []byte {
	dst, f := begin(dst, TypeAMQP, 0, CodeOpen)
	dst = codec.AppendString(dst, o.ContainerID)
	dst = codec.AppendNull(dst)
	dst = codec.AppendUint(dst, o.MaxFrameSize)
	dst = codec.AppendUshort(dst, o.ChannelMax)
	if o.IdleTimeout > 0 {
		dst = codec.AppendUint(dst, o.IdleTimeout)
	} else {
		dst = codec.AppendNull(dst)
	}
	dst = codec.AppendNull(codec.AppendNull(dst))
	dst = codec.AppendSymbols(dst, capabilities...)
	dst = codec.AppendNull(dst)
	dst, m := codec.BeginMap(dst)
	dst = codec.AppendString(codec.AppendSymbol(dst, "product"), o.Product)
	return f.end(codec.EndMap(dst, m, 2), 10)
}

// An Error says why something ends or is refused (section 2.8.14).
type Error struct {
	// Condition is one of the specification's symbols.
	Condition string
	// Description is for people.
	Description string
}

// append appends the error, or null for nil.
func (e *Error) append(dst []byte) []byte {
	if e == nil {
		return codec.AppendNull(dst)
	}
	dst, at := codec.BeginList(codec.AppendDescriptor(dst, codeError))
	dst = codec.AppendSymbol(dst, e.Condition)
	return codec.EndList(orNull(dst, e.Description), at, 2)
}

// parseError reads an error field; nil means that there is none.
func parseError(d *codec.Decoder) *Error {
	v := d.Value()
	if k := v.Kind(); k == codec.Null || k == codec.Invalid {
		return nil
	}
	if v.Descriptor() != codeError || v.Inner().Kind() != codec.List {
		d.Failf("an error is not a list of type %#02x", codeError)
		return nil
	}
	fields := v.Items()
	condition, there := fields.Symbol()
	fields.Require(there, "condition")
	description, _ := fields.Text()
	fields.Skip()
	if err := fields.Err(); err != nil {
		d.Failf("error: %v", err)
		return nil
	}
	const most = 500
	return &Error{
		Condition:   string(condition[:min(len(condition), most)]),
		Description: string(description[:min(len(description), most)]),
	}
}

// ParseClose reads the fields of a close or end performative (sections 2.7.9,
// 2.7.8).
func ParseClose(d *codec.Decoder) *Error { return parseError(d) }

// AppendClose appends a close frame; e may be nil.
func AppendClose(dst []byte, e *Error) []byte { return appendEnding(dst, 0, CodeClose, e) }

// AppendEnd appends an end frame; e may be nil.
func AppendEnd(dst []byte, channel uint16, e *Error) []byte {
	return appendEnding(dst, channel, CodeEnd, e)
}

func appendEnding(dst []byte, channel uint16, code byte, e *Error) []byte {
	dst, f := begin(dst, TypeAMQP, channel, code)
	if e == nil {
		return f.end(dst, 0)
	}
	return f.end(e.append(dst), 1)
}
