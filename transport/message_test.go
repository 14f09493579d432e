package transport_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/transport"
)

func TestMessageHeader(t *testing.T) {
	m := transport.Message{Headers: []transport.Header{{"a", "1"}, {"A", "2"}, {"a", "3"}, {"empty", ""}}}
	for name, want := range map[string]string{"a": "1", "A": "2", "empty": "", "none": ""} {
		if got := m.Header(name); got != want {
			t.Errorf("Header(%q) = %q, want %q", name, got, want)
		}
	}
	if got := new(transport.Message).Header("a"); got != "" {
		t.Errorf("Header of the zero Message = %q, want none", got)
	}
}

// settled notes the calls of a Settler.
type settled struct {
	err   error
	calls []string
}

func (s *settled) SettleMessage(token uint64, o transport.Outcome) error {
	s.calls = append(s.calls, string(rune('a'+token))+" "+o.String()+" "+o.Reason())
	return s.err
}

func TestMessageSettle(t *testing.T) {
	s := &settled{err: errEnd}
	var m transport.Message
	if err := m.Settle(transport.Accepted); err != nil {
		t.Errorf("Settle without a Settler = %v, want nil", err)
	}
	m.SetSettler(s, 7)
	if err := m.Settle(transport.Rejected("too loud")); !errors.Is(err, errEnd) {
		t.Errorf("Settle = %v, want what the Settler returned", err)
	}
	for range 2 {
		if err := m.Settle(transport.Failed); err != nil {
			t.Errorf("Settle again = %v, want nil", err)
		}
	}
	if diff := cmp.Diff([]string{"h rejected too loud"}, s.calls); diff != "" {
		t.Errorf("the Settler was told (-want +got):\n%s", diff)
	}
}

func TestOutcome(t *testing.T) {
	tests := []struct {
		outcome  transport.Outcome
		text     string
		rejected bool
		reason   string
	}{
		{transport.Outcome{}, "accepted", false, ""},
		{transport.Accepted, "accepted", false, ""},
		{transport.Released, "released", false, ""},
		{transport.Failed, "failed", false, ""},
		{transport.Rejected(""), "rejected", true, ""},
		{transport.Rejected("why"), "rejected", true, "why"},
	}
	for _, tt := range tests {
		o := tt.outcome
		if o.String() != tt.text || o.IsRejected() != tt.rejected || o.Reason() != tt.reason {
			t.Errorf("outcome = %q, rejected %v, reason %q, want %q, %v, %q",
				o, o.IsRejected(), o.Reason(), tt.text, tt.rejected, tt.reason)
		}
	}
	if zero := (transport.Outcome{}); zero != transport.Accepted {
		t.Error("the zero Outcome is not Accepted")
	}
	a, same, b := transport.Rejected("a"), transport.Rejected("a"), transport.Rejected("b")
	if a != same || a == b {
		t.Error("outcomes are not comparable by kind and reason")
	}
}

func TestID(t *testing.T) {
	uuid := [16]byte{0x12, 0x3e, 0x45, 0x67, 0xe8, 0x9b, 0x12, 0xd3, 0xa4, 0x56, 0x42, 0x66, 0x14, 0x17, 0x40, 0x00}
	tests := []struct {
		name   string
		id     transport.ID
		kind   transport.IDKind
		zero   bool
		text   string
		number uint64
		bytes  []byte
	}{
		{"zero", transport.ID{}, transport.IDNone, true, "", 0, nil},
		{"empty text", transport.TextID(""), transport.IDNone, true, "", 0, nil},
		{"text", transport.TextID("42"), transport.IDText, false, "42", 0, nil},
		{"number", transport.NumberID(42), transport.IDNumber, false, "42", 42, nil},
		{"number zero", transport.NumberID(0), transport.IDNumber, false, "0", 0, nil},
		{"large number", transport.NumberID(1<<64 - 1), transport.IDNumber, false, "18446744073709551615", 1<<64 - 1, nil},
		{"uuid", transport.UUIDID(uuid), transport.IDUUID, false, "123e4567-e89b-12d3-a456-426614174000", 0, uuid[:]},
		{"bytes", transport.BinaryID([]byte{0, 0xff}), transport.IDBinary, false, "00ff", 0, []byte{0, 0xff}},
		{"no bytes", transport.BinaryID(nil), transport.IDBinary, false, "", 0, []byte{}},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			id := tt.id
			if id.Kind() != tt.kind || id.IsZero() != tt.zero || id.String() != tt.text || id.Number() != tt.number {
				t.Errorf("id = kind %v, zero %v, %q, %d, want %v, %v, %q, %d",
					id.Kind(), id.IsZero(), id, id.Number(), tt.kind, tt.zero, tt.text, tt.number)
			}
			if diff := cmp.Diff(tt.bytes, id.Bytes()); diff != "" {
				t.Errorf("Bytes (-want +got):\n%s", diff)
			}
			for j, other := range tests {
				if same := id == other.id; same != (i == j || id.IsZero() && other.id.IsZero()) {
					t.Errorf("id == that of %q: %v", other.name, same)
				}
			}
		})
	}
}

func TestIDOwnsItsBytes(t *testing.T) {
	b := []byte{1, 2}
	id := transport.BinaryID(b)
	b[0] = 9
	id.Bytes()[1] = 9
	if diff := cmp.Diff([]byte{1, 2}, id.Bytes()); diff != "" {
		t.Errorf("Bytes after changes outside (-want +got):\n%s", diff)
	}
	if u := transport.UUIDID([16]byte{1}); u.Bytes()[0] != 1 || u == transport.UUIDID([16]byte{2}) {
		t.Error("a UUID is not that of its bytes")
	}
}

// wrapper shows the Conn below it.
type wrapper struct{ transport.Conn }

func (w wrapper) Unwrap() transport.Conn { return w.Conn }

func TestAs(t *testing.T) {
	stub := newStub("a")
	tests := []struct {
		name string
		conn transport.Conn
		ok   bool
	}{
		{"nil", nil, false},
		{"itself", stub, true},
		{"wrapped", wrapper{stub}, true},
		{"wrapped twice", wrapper{wrapper{stub}}, true},
		{"hidden", plain{stub}, false},
		{"hidden below a wrapper", wrapper{plain{stub}}, false},
		{"wrapper of nothing", wrapper{nil}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := transport.As[transport.Subscriber](tt.conn)
			if ok != tt.ok || ok && got != transport.Subscriber(stub) || !ok && got != nil {
				t.Errorf("As[Subscriber] = %v, %v, want %v", got, ok, tt.ok)
			}
			if _, ok := transport.As[transport.Crediter](tt.conn); ok {
				t.Error("As[Crediter] found one")
			}
		})
	}
	outer := wrapper{able{stub}}
	if c, ok := transport.As[wrapper](wrapper{outer}); !ok || c != (wrapper{outer}) {
		t.Errorf("As[wrapper] = %v, %v, want the outermost", c, ok)
	}
}

func TestOpErrorText(t *testing.T) {
	tests := []struct {
		err  transport.OpError
		want string
	}{
		{transport.OpError{Op: "send", Scheme: "stomp", Addr: "host:1", Err: errEnd}, "send stomp://host:1: the end"},
		{transport.OpError{Op: "listen", Scheme: "stomp", Err: errEnd}, "listen stomp: the end"},
		{transport.OpError{Op: "accept", Addr: "host:1", Err: errEnd}, "accept host:1: the end"},
		{transport.OpError{Op: "dial", Err: errEnd}, "dial: the end"},
	}
	for _, tt := range tests {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("Error() = %q, want %q", got, tt.want)
		}
		if !errors.Is(&tt.err, errEnd) {
			t.Errorf("errors.Is(%v, its cause) = false, want true", &tt.err)
		}
	}
}

func TestNotSent(t *testing.T) {
	sent := &transport.OpError{Op: "send", MaybeSent: true, Err: transport.ErrClosed}
	unsent := &transport.OpError{Op: "send", Err: transport.ErrClosed}
	tests := []struct {
		name string
		err  error
		want bool
	}{
		{"nil", nil, false},
		{"unknown error", errEnd, false},
		{"sentinel", transport.ErrClosed, false},
		{"maybe sent", sent, false},
		{"not sent", unsent, true},
		{"maybe sent, wrapped", transport.WithReason(sent, "why"), false},
		{"not sent, wrapped", errors.Join(errEnd, transport.WithReason(unsent, "why")), true},
	}
	for _, tt := range tests {
		if got := transport.NotSent(tt.err); got != tt.want {
			t.Errorf("%s: NotSent(%v) = %v, want %v", tt.name, tt.err, got, tt.want)
		}
	}
}

func TestReason(t *testing.T) {
	err := transport.WithReason(transport.ErrRefused, "wrong password")
	tests := []struct {
		err  error
		want string
	}{
		{err, "wrong password"},
		{&transport.OpError{Op: "dial", Err: err}, "wrong password"},
		{transport.WithReason(err, "outer"), "outer"},
		{transport.ErrClosed, "closed"},
		{errEnd, "the end"},
	}
	for _, tt := range tests {
		if got := transport.Reason(tt.err); got != tt.want {
			t.Errorf("Reason(%v) = %q, want %q", tt.err, got, tt.want)
		}
	}
	if got, want := err.Error(), "transport: refused by the peer: wrong password"; got != want || !errors.Is(err, transport.ErrRefused) {
		t.Errorf("WithReason = %q, want %q that is findable", got, want)
	}
}

// TestUnsettled: a message is unsettled if its peer waits for a settlement, by a
// subscription or straight, until it has got it.
func TestUnsettled(t *testing.T) {
	for _, c := range []struct {
		name         string
		subscription string
		settler, set bool
		want         bool
	}{
		{name: "nothing"},
		{name: "a settler alone", settler: true},
		{name: "a subscription alone", subscription: "s"},
		{name: "without a settler", set: true},
		{name: "by a subscription", subscription: "s", settler: true, want: true},
		{name: "straight", settler: true, set: true, want: true},
	} {
		m := &transport.Message{Subscription: c.subscription}
		if c.settler {
			m.SetSettler(settles{}, 1)
		}
		if c.set {
			m.SetUnsettled()
		}
		if got := m.Unsettled(); got != c.want {
			t.Errorf("%s: Unsettled = %v, want %v", c.name, got, c.want)
		}
		if err := m.Settle(transport.Accepted); err != nil || m.Unsettled() {
			t.Errorf("%s: after Settle = %v Unsettled is %v", c.name, err, m.Unsettled())
		}
	}
}

// settles is a Settler that has nothing to do.
type settles struct{}

func (settles) SettleMessage(uint64, transport.Outcome) error { return nil }
