package frames_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/transport/amqp/internal/codec"
	"github.com/polyport/polyport/transport/amqp/internal/frames"
)

// body takes a frame apart.
func body(t *testing.T, frame []byte, code uint64) (head frames.Head, fields codec.Decoder, rest []byte) {
	t.Helper()
	head = frames.ParseHead(frame)
	if int(head.Size) != len(frame) || head.Offset != frames.HeadLen {
		t.Fatalf("the head says %+v of %d bytes", head, len(frame))
	}
	b := frame[head.Offset:]
	d := codec.NewDecoder(b)
	fields = d.Composite(code)
	if err := fields.Err(); err != nil {
		t.Fatalf("% x: %v", frame, err)
	}
	n, ok := frames.PerformativeLen(b)
	if !ok || n != len(b)-len(d.Rest()) {
		t.Errorf("PerformativeLen = %d, %v, want %d", n, ok, len(b)-len(d.Rest()))
	}
	for some := range n {
		if got, ok := frames.PerformativeLen(b[:some]); !ok || got != 0 && got != n {
			t.Errorf("PerformativeLen of %d bytes = %d, %v, want %d or 0", some, got, ok, n)
		}
	}
	return head, fields, d.Rest()
}

// same compares what was read with what was written.
func same(t *testing.T, got, want any, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%T: %v", want, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%T has come as another one (-want +got):\n%s", want, diff)
	}
}

func TestOpen(t *testing.T) {
	want := frames.Open{ContainerID: []byte("c"), MaxFrameSize: 1 << 20, ChannelMax: 7, IdleTimeout: 5000, Product: []byte("p")}
	_, fields, _ := body(t, want.Append(nil, "A", "B"), frames.CodeOpen)
	var got frames.Open
	got.Parse(&fields)
	same(t, got, want, fields.Err())
}

func TestBegin(t *testing.T) {
	for _, want := range []frames.BeginFrame{
		{NextOutgoingID: 1, IncomingWindow: 2, OutgoingWindow: 300, HandleMax: 1 << 31},
		{RemoteChannel: 9, Answer: true, HandleMax: 1},
	} {
		head, fields, _ := body(t, want.Append(nil, 300), frames.CodeBegin)
		var got frames.BeginFrame
		got.Parse(&fields)
		same(t, got, want, fields.Err())
		if head.Channel != 300 {
			t.Errorf("channel %d, want 300", head.Channel)
		}
	}
}

func TestAttach(t *testing.T) {
	for _, want := range []frames.Attach{
		{
			Name: []byte("n"), Handle: 3, Receiver: true, SendMode: frames.SendSettled, ReceiveMode: 1,
			Source: frames.Terminus{Kind: frames.Source, Address: []byte("a"), HasAddress: true, Dynamic: true},
			Target: frames.Terminus{Kind: frames.Target},
		},
		{
			Name: []byte("n"), Source: frames.Terminus{Kind: frames.Source}, MaxMessageSize: 1 << 40,
			Target: frames.Terminus{Kind: frames.Target, Address: []byte("rpc"), HasAddress: true}, InitialDeliveryCount: 5, HasInitialDeliveryCount: true,
		},
		{Name: []byte("n"), SendMode: frames.SendMixed},
		{
			Name: []byte("n"),
			Source: frames.Terminus{
				Kind: frames.Source, Address: []byte("a"), HasAddress: true, Copy: true, Capabilities: frames.Topic | frames.TemporaryTopic,
			},
			Target: frames.Terminus{
				Kind: frames.Target, Address: []byte("b"), HasAddress: true, Dynamic: true, Capabilities: frames.Queue | frames.TemporaryQueue,
			},
		},
	} {
		_, fields, _ := body(t, want.Append(nil, 0), frames.CodeAttach)
		var got frames.Attach
		got.Parse(&fields)
		same(t, got, want, fields.Err())
	}
}

func TestFlow(t *testing.T) {
	for _, want := range []frames.Flow{
		{HasNextIncomingID: true, IncomingWindow: 1, NextOutgoingID: 2, OutgoingWindow: 3},
		{NextIncomingID: 9, HasNextIncomingID: true, HasHandle: true, DeliveryCount: 4, HasDeliveryCount: true, LinkCredit: 7, HasLinkCredit: true},
		{HasNextIncomingID: true, Handle: 500, HasHandle: true, HasDeliveryCount: true, HasLinkCredit: true, Drain: true},
	} {
		_, fields, _ := body(t, want.Append(nil, 0), frames.CodeFlow)
		var got frames.Flow
		got.Parse(&fields)
		same(t, got, want, fields.Err())
	}
}

func TestTransfer(t *testing.T) {
	for _, id := range []uint32{0, 1, 255, 256, 1<<32 - 1} {
		want := frames.Transfer{
			Handle: id, ID: id, HasID: true, Tag: []byte{byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)}, Settled: true, More: true,
		}
		frame, at := frames.BeginTransfer(nil, 65535, &want, true)
		if len(frame) > frames.MaxTransferHead {
			t.Errorf("%d bytes before the message, want at most %d", len(frame), frames.MaxTransferHead)
		}
		_, fields, rest := body(t, frames.End(append(frame, "message"...), at), frames.CodeTransfer)
		var got frames.Transfer
		got.Parse(&fields)
		same(t, got, want, fields.Err())
		if string(rest) != "message" {
			t.Errorf("the message is %q", rest)
		}
		frame, at = frames.BeginTransfer(nil, 0, &want, false)
		_, fields, _ = body(t, frames.End(frame, at), frames.CodeTransfer)
		got.Parse(&fields)
		same(t, got, frames.Transfer{Handle: id, Settled: true, More: true}, fields.Err())
	}
}

// TestCapabilities: those known are found in either form of the field, and others
// do no harm.
func TestCapabilities(t *testing.T) {
	for _, c := range []struct {
		name  string
		field []byte
		want  frames.Capability
	}{
		{"null", codec.AppendNull(nil), 0},
		{"symbol", codec.AppendSymbol(nil, "queue"), frames.Queue},
		{"array", codec.AppendSymbols(nil, "x", "temporary-topic", "topic"), frames.Topic | frames.TemporaryTopic},
		{"unknown", codec.AppendSymbol(nil, "shared"), 0},
		{"string", codec.AppendString(nil, "queue"), 0},
		{"number", codec.AppendUint(nil, 7), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dst, at := codec.BeginList(codec.AppendDescriptor(nil, 0x12)) // attach
			dst = codec.AppendString(dst, "n")
			dst = codec.AppendBool(codec.AppendUint(dst, 0), false)
			dst = append(dst, 0x40, 0x40, 0x40)
			target, inner := codec.BeginList(codec.AppendDescriptor(nil, 0x29))
			target = append(codec.AppendString(target, "a"), 0x40, 0x40, 0x40, 0x40, 0x40)
			target = codec.EndList(append(target, c.field...), inner, 7)
			dst = codec.EndList(append(dst, target...), at, 7)
			d := codec.NewDecoder(dst)
			fields := d.Composite(frames.CodeAttach)
			var a frames.Attach
			a.Parse(&fields)
			if err := fields.Err(); err != nil || a.Target.Capabilities != c.want || string(a.Target.Address) != "a" {
				t.Errorf("capabilities %v, address %q, %v; want %v", a.Target.Capabilities, a.Target.Address, err, c.want)
			}
		})
	}
}

func TestDisposition(t *testing.T) {
	why := &frames.Error{Condition: "amqp:decode-error", Description: "why"}
	for _, want := range []frames.Disposition{
		{Receiver: true, First: 1, Last: 300, Settled: true, Outcome: frames.Accepted},
		{First: 1, Last: 1, Settled: true},
		{Receiver: true, Outcome: frames.Released},
		{Receiver: true, Outcome: frames.Modified, Failed: true},
		{Receiver: true, Outcome: frames.Rejected, Error: why},
		{Receiver: true, Outcome: frames.Rejected},
	} {
		_, fields, _ := body(t, want.Append(nil, 0), frames.CodeDisposition)
		var got frames.Disposition
		got.Parse(&fields)
		same(t, got, want, fields.Err())
	}
}

func TestEndings(t *testing.T) {
	for _, e := range []*frames.Error{nil, {Condition: "c"}, {Condition: "c", Description: "d"}} {
		want := frames.Detach{Handle: 7, Closed: true, Error: e}
		_, fields, _ := body(t, want.Append(nil, 0), frames.CodeDetach)
		var got frames.Detach
		got.Parse(&fields)
		same(t, got, want, fields.Err())
		_, fields, _ = body(t, frames.AppendEnd(nil, 5, e), frames.CodeEnd)
		same(t, frames.ParseClose(&fields), e, fields.Err())
		_, fields, _ = body(t, frames.AppendClose(nil, e), frames.CodeClose)
		same(t, frames.ParseClose(&fields), e, fields.Err())
	}
}

func TestSASL(t *testing.T) {
	head, fields, _ := body(t, frames.AppendSASLMechanisms(nil, "PLAIN", "ANONYMOUS"), frames.CodeSASLMechanisms)
	if v := fields.Value(); head.Type != frames.TypeSASL || v.Len() != 2 || v.Kind() != codec.Array {
		t.Errorf("mechanisms: %+v, %d of %v", head, v.Len(), v.Kind())
	}
	_, fields, _ = body(t, frames.AppendSASLOutcome(nil, frames.SASLAuth), frames.CodeSASLOutcome)
	if code, _ := fields.Ubyte(); code != frames.SASLAuth {
		t.Errorf("outcome %d", code)
	}
}

// TestMandatoryFields: a performative without a field that it must have is
// malformed, and so is one whose field is of another type.
func TestMandatoryFields(t *testing.T) {
	parse := map[string]func(*codec.Decoder){
		"open":        new(frames.Open).Parse,
		"begin":       new(frames.BeginFrame).Parse,
		"attach":      new(frames.Attach).Parse,
		"flow":        new(frames.Flow).Parse,
		"transfer":    new(frames.Transfer).Parse,
		"disposition": new(frames.Disposition).Parse,
		"detach":      new(frames.Detach).Parse,
		"sasl-init":   new(frames.SASLInit).Parse,
	}
	for name, f := range parse {
		for _, fields := range []string{"", "\x40\x40\x40\x40", "\x72\x00\x00\x00\x00", "\x45"} {
			d := codec.NewDecoder([]byte(fields))
			if f(&d); d.Err() == nil {
				t.Errorf("%s of % x was taken", name, fields)
			}
		}
	}
}
