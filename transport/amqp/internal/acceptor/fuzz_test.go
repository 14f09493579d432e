package acceptor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	goamqp "github.com/Azure/go-amqp"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp/internal/acceptor"
	"github.com/polyport/polyport/transport/amqp/internal/codec"
	"github.com/polyport/polyport/transport/amqp/internal/frames"
	"github.com/polyport/polyport/transport/mem"
)

// FuzzConnection lets a peer say anything. The server must not fall, and the
// application, which answers and settles in its own time, must get away.
func FuzzConnection(f *testing.F) {
	for _, a := range attacks() {
		if len(a.said) < 10_000 {
			f.Add([]byte(a.said), byte(len(a.name)))
		}
	}
	answers := receive(3, "in", "a", 0) + receive(4, "in2", "a", 1) + receive(5, "in3", "a", 2)
	credit := performative(0, frames.CodeFlow, u32(0), u32(5), u32(0), u32(100), u32(3), u32(0), u32(2), null, yes(true), yes(true))
	request := section(0x73, append([]byte{0xc0, 8, 5, 0x40, 0x40, 0x40, 0x40}, str("a")...)) + data("hello")
	f.Add([]byte(sending()+answers+credit+transfer(0, 0, false, false, request)+
		performative(0, frames.CodeDisposition, yes(true), u32(0), u32(9), yes(true), raw(section(0x24, raw("\x45"))))), byte(3))
	f.Add([]byte(sending()+answers+credit+transfer(0, 0, false, true, request[:9])+transfer(0, 0, false, false, request[9:])+
		performative(0, frames.CodeDetach, u32(3), yes(true))+performative(0, frames.CodeEnd)+performative(0, frames.CodeClose)), byte(7))
	f.Fuzz(func(t *testing.T, said []byte, how byte) {
		near, far := mem.Pipe()
		go func() {
			_, _ = near.Write(said)
			_ = near.(interface{ CloseWrite() error }).CloseWrite()
		}()
		go func() { _, _ = io.Copy(io.Discard, near); _ = near.Close() }()
		c, err := acceptor.Serve(t.Context(), far, &transport.ListenOptions{Options: transport.Options{
			Heartbeat: -1, Linger: time.Millisecond, Limits: transport.Limits{Message: 1 << 16, Unsettled: 4, Subscriptions: 4},
		}})
		if err != nil {
			_ = far.Close()
			return
		}
		fuzzed(c, how)
		_ = c.Close()
		_ = near.Close()
	})
}

// fuzzed is an application.
func fuzzed(c transport.Conn, how byte) {
	if how&1 != 0 {
		c.(transport.Gatherer).Gather()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var late []*transport.Message
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		m, err := c.Recv(ctx)
		if err != nil {
			return
		}
		out := &transport.Message{To: m.ReplyTo, Body: m.Body, Headers: m.Headers}
		switch how >> 1 & 3 {
		case 0:
			_ = c.Send(ended(), out)
		case 1:
			_ = c.(transport.Confirmer).SendConfirmed(ended(), out, func(error) {})
		case 2:
			_ = c.(transport.Publisher).Publish(ended(), out)
		case 3:
			wg.Go(func() { _ = c.Send(ctx, out) })
		}
		late = append(late, m)
		if how&8 == 0 || len(late) > 2 {
			for _, m := range late {
				_ = m.Settle([]transport.Outcome{transport.Accepted, transport.Released, transport.Failed, transport.Rejected("no")}[how>>4&3])
			}
			late = nil
		}
	}
}

// FuzzMessage writes a message that go-amqp must read alike, and so must we.
func FuzzMessage(f *testing.F) {
	f.Add("to", "reply", "subject", "text/plain", "name", "value", []byte("id"), uint64(1), byte(1), int64(1), []byte("body"))
	f.Add("", "", "", "", "", "", []byte(nil), uint64(0), byte(0), int64(0), []byte(nil))
	f.Fuzz(func(t *testing.T, to, replyTo, subject, contentType, name, value string, id []byte, n uint64, kind byte, expires int64, body []byte) {
		want := &transport.Message{To: to, ReplyTo: replyTo, Subject: subject, ContentType: contentType, Durable: kind&1 != 0, Body: body}
		switch kind >> 1 & 3 {
		case 0:
			want.ID, want.CorrelationID = transport.TextID(string(id)), transport.NumberID(n)
		case 1:
			want.ID = transport.BinaryID(id)
		case 2:
			want.CorrelationID = transport.UUIDID([16]byte(append(bytes.Clone(id), make([]byte, 16)...)))
		}
		if expires > 0 {
			want.Expires = time.UnixMilli(expires)
		}
		if name != "" {
			want.Headers = []transport.Header{{Name: name, Value: value}}
		}
		b, size, err := acceptor.AppendMessage(nil, want)
		if err != nil {
			if !errors.Is(err, transport.ErrInvalid) && !errors.Is(err, transport.ErrTooLarge) {
				t.Fatalf("it cannot be said: %v", err)
			}
			return
		}
		if len(b) > size {
			t.Fatalf("%d bytes, expected %d at most", len(b), size)
		}
		got, err := acceptor.ReadMessage(b)
		if err != nil {
			t.Fatalf("it cannot be read: %v", err)
		}
		if same, wanted := fmt.Sprintf("%+v", fields(got)), fmt.Sprintf("%+v", fields(want)); same != wanted {
			t.Fatalf("it was read as %s, want %s", same, wanted)
		}
		var theirs goamqp.Message
		if err := theirs.UnmarshalBinary(b); err != nil {
			t.Fatalf("go-amqp cannot read it: %v", err)
		}
		p := theirs.Properties
		if !bytes.Equal(theirs.GetData(), body) || deref(p.To) != to || deref(p.ReplyTo) != replyTo || deref(p.Subject) != subject ||
			deref(p.ContentType) != contentType || theirs.ApplicationProperties[name] != nil && theirs.ApplicationProperties[name] != value {
			t.Fatalf("go-amqp has read %+v", p)
		}
	})
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// fields are those of a message that travel.
func fields(m *transport.Message) []any {
	return []any{m.To, m.ReplyTo, m.Subject, m.ContentType, m.ID, m.CorrelationID, m.Expires.UnixMilli(), m.Durable, m.Headers, string(m.Body)}
}

// FuzzReadMessage reads anything, as go-amqp does if it does not fall over it.
func FuzzReadMessage(f *testing.F) {
	f.Add([]byte(data("x")))
	f.Add([]byte(annotated(0x72, codec.AppendSymbol(nil, "k"))))
	f.Add([]byte(annotated(0x74, str("k"))))
	f.Add([]byte(section(0x70, raw("\xc0\x07\x05\x41\x50\x04\x43\x41\x43")) + section(0x77, str("value"))))
	b, _, _ := acceptor.AppendMessage(nil, &transport.Message{
		To: "to", ReplyTo: "r", Subject: "s", ContentType: "c", ID: transport.NumberID(7), CorrelationID: transport.UUIDID([16]byte{}),
		Expires: time.Unix(1, 0), Durable: true, Headers: []transport.Header{{Name: "n", Value: "v"}}, Body: []byte("body"),
	})
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := acceptor.ReadMessage(b)
		if err != nil {
			return
		}
		for _, s := range []string{m.To, m.ReplyTo, m.Subject, m.ContentType} {
			if !utf8.ValidString(s) {
				t.Fatalf("%q is not UTF-8", s)
			}
		}
		var theirs goamqp.Message
		if understood(&theirs, b) && theirs.Properties != nil {
			p := theirs.Properties
			if deref(p.To) != m.To || deref(p.ReplyTo) != m.ReplyTo || deref(p.Subject) != m.Subject || deref(p.ContentType) != m.ContentType {
				t.Fatalf("go-amqp has read %+v, we %+v", p, fields(m))
			}
		}
	})
}

// understood lets go-amqp read a message; some messages make it panic.
func understood(m *goamqp.Message, b []byte) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return m.UnmarshalBinary(b) == nil
}
