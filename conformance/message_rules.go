package conformance

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/polyport/polyport/transport"
)

// messageRules are about what a message is made of.
var messageRules = []Rule{
	{
		Name: "WholeMessage",
		Text: "A Conn moves whole messages in both directions; the body is bytes, any and any number up to the " +
			"limit.",
		check: checkWholeMessage,
	},
	{
		Name:  "Fields",
		Text:  "A message arrives with the fields that it was sent with.",
		check: checkFields,
	},
	{
		Name:  "FieldText",
		Text:  "The text of a field arrives unchanged, or Send returns ErrInvalid because the wire cannot say it.",
		check: checkFieldText,
	},
	{
		Name:  "Headers",
		Text:  "Headers are further fields in order; names may repeat.",
		check: checkHeaders,
	},
	{
		Name:  "IDKinds",
		Text:  "IDs keep the kind that they came in, on a wire that has kinds, and their text on every wire.",
		check: checkIDKinds,
	},
	{
		Name:  "SendCopies",
		Text:  "Send copies what it needs before it returns; the caller may reuse the Message and its Body at once.",
		check: checkSendCopies,
	},
	{
		Name:  "RecvKeeps",
		Text:  "A Message returned by Recv, with its Body and strings, belongs to the receiver for good.",
		check: checkRecvKeeps,
	},
	{
		Name:  "AnySlices",
		Text:  "How the byte stream is cut into reads and writes changes nothing.",
		needs: needsStream,
		check: checkAnySlices,
	},
}

func checkWholeMessage(r *rig) {
	client, server := r.connect(nil)
	limit := client.Info().Limits.Message
	for _, w := range r.ways(client, server) {
		in := r.inbox(w.to)
		for _, n := range []int{0, 1, 255, 256, 64<<10 - 1, 64 << 10, 64<<10 + 1, 1 << 20, limit} {
			if n > limit {
				continue
			}
			body := pattern(n)
			if b := r.h.Broker; b != nil && b.Largest > 0 && n > b.Largest {
				err := w.from.Send(r.soon(), &transport.Message{To: w.dest, Body: body})
				r.wantErr(fmt.Sprintf("%s: Send of %d bytes to a broker that takes %d", w.name, n, b.Largest), err, transport.ErrTooLarge)
				continue
			}
			r.send(w.from, &transport.Message{To: w.dest, Body: body})
			if diff := sameBody(r.next(in).Body, body); diff != "" {
				r.Errorf("%s, %d bytes: %s", w.name, n, diff)
			}
		}
		for _, body := range []string{"\x00", "a\x00b\x00\x00", "\xff\xfe\x80", "\n\r\n\n", `{"jsonrpc":"2.0"}` + "\x00\n"} {
			r.send(w.from, &transport.Message{To: w.dest, Body: []byte(body)})
			if diff := sameBody(r.next(in).Body, []byte(body)); diff != "" {
				r.Errorf("%s, body %q: %s", w.name, body, diff)
			}
		}
	}
}

func checkFields(r *rig) {
	client, server := r.connect(nil)
	for _, w := range r.ways(client, server) {
		want := &transport.Message{
			To: w.dest, ReplyTo: "answers", Subject: "Math.Sum", ContentType: "application/json",
			ID: transport.TextID("id-1"), CorrelationID: transport.TextID("id-0"),
			Expires: time.Now().Add(time.Hour).Truncate(time.Second), Durable: true,
			Headers: []transport.Header{{Name: "traceparent", Value: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}},
			Body:    []byte(`{}`),
		}
		if w.from.Info().Addressed {
			want.ReplyTo = r.replyAddress(w.from)
		}
		r.send(w.from, want)
		got := r.recv(w.to)
		for _, diff := range r.differences(got, want) {
			r.Errorf("%s: %s", w.name, diff)
		}
		if w.from.Info().Addressed && want.ReplyTo != "" { // it may have another name, and still leads back
			r.send(w.to, &transport.Message{To: got.ReplyTo, Body: []byte("answer")})
			r.wantText(w.from, "answer")
		}
	}
}

// differences says which fields of got are not those of want.
func differences(got, want *transport.Message) (diffs []string) {
	for _, f := range []struct{ name, got, want string }{
		{"To", got.To, want.To},
		{"ReplyTo", got.ReplyTo, want.ReplyTo},
		{"Subject", got.Subject, want.Subject},
		{"ContentType", got.ContentType, want.ContentType},
		{"ID", got.ID.String(), want.ID.String()},
		{"CorrelationID", got.CorrelationID.String(), want.CorrelationID.String()},
		{"Expires", got.Expires.UTC().String(), want.Expires.UTC().String()},
		{"Durable", strconv.FormatBool(got.Durable), strconv.FormatBool(want.Durable)},
		{"Headers", fmt.Sprintf("%q", got.Headers), fmt.Sprintf("%q", want.Headers)},
		{"Body", string(got.Body), string(want.Body)},
	} {
		// Without a To the destination is the connection's own, which has some name.
		if f.got != f.want && (f.name != "To" || f.want != "") {
			diffs = append(diffs, fmt.Sprintf("%s = %q, want %q", f.name, f.got, f.want))
		}
	}
	return diffs
}

// texts are what makes encodings stumble.
var texts = []string{
	"plain", "with blanks  inside", " leading and trailing ", "Grüße, 世界, \U0001F600", "a:b", ":", `back\slash`, `\n\c\\`,
	"line\nfeed", "carriage\rreturn", "both\r\n", "nul\x00byte", "tab\t", "\"quotes\"", "%41+&=;", "\x7f\x01",
	strings.Repeat("long ", 200),
}

func checkFieldText(r *rig) {
	client, server := r.connect(nil)
	for _, w := range r.ways(client, server) {
		for _, text := range texts {
			want := &transport.Message{
				To: w.dest, Subject: text, ContentType: text, ID: transport.TextID(text), CorrelationID: transport.TextID(text),
				Headers: []transport.Header{{Name: "x-text", Value: text}, {Name: "x-" + text, Value: "name"}},
			}
			r.sayable(w, want)
		}
		r.works(w)
	}
}

// sayable checks that a message arrives as it is or is refused as one that the
// wire cannot say.
func (r *rig) sayable(w way, want *transport.Message) {
	r.Helper()
	want.ReplyTo = r.replyAddress(w.from)
	err := w.from.Send(r.soon(), want)
	if errors.Is(err, transport.ErrInvalid) && transport.NotSent(err) && want.Subject != "plain" {
		r.splitUp(w, want)
		return
	}
	if err != nil {
		r.Fatalf("%s: Send of a message with fields %q: %v", w.name, want.Subject, err)
	}
	for _, diff := range r.differences(r.recv(w.to), want) {
		r.Errorf("%s: %s", w.name, diff)
	}
}

// splitUp tries each field by itself, since one may be sayable where another
// is not.
func (r *rig) splitUp(w way, all *transport.Message) {
	r.Helper()
	for _, want := range []*transport.Message{
		{Subject: all.Subject},
		{ContentType: all.ContentType},
		{ID: all.ID},
		{CorrelationID: all.CorrelationID},
		{Headers: all.Headers[:1]},
		{Headers: all.Headers[1:]},
	} {
		want.To, want.ReplyTo = all.To, all.ReplyTo
		err := w.from.Send(r.soon(), want)
		switch {
		case err == nil:
			for _, diff := range r.differences(r.recv(w.to), want) {
				r.Errorf("%s: %s", w.name, diff)
			}
		case !errors.Is(err, transport.ErrInvalid) || !transport.NotSent(err):
			r.Errorf("%s: Send of a field %q: err = %v, want none or an ErrInvalid that is NotSent", w.name, all.Subject, err)
		}
	}
}

func checkHeaders(r *rig) {
	client, server := r.connect(nil)
	want := []transport.Header{
		{Name: "b", Value: "1"},
		{Name: "a", Value: "2"},
		{Name: "b", Value: "3"},
		{Name: "empty"},
		{Name: "b", Value: "1"},
		{Name: "Case", Value: "x"},
		{Name: "case", Value: "y"},
	}
	for _, w := range r.ways(client, server) {
		r.send(w.from, &transport.Message{To: w.dest, Headers: want})
		got := r.recv(w.to)
		for _, diff := range r.differences(&transport.Message{Headers: got.Headers}, &transport.Message{Headers: want}) {
			r.Errorf("%s: %s", w.name, diff)
		}
		if v := got.Header("b"); v != "1" {
			r.Errorf("%s: Header(%q) = %q, want the first, %q", w.name, "b", v, "1")
		}
	}
}

func checkIDKinds(r *rig) {
	client, server := r.connect(nil)
	ids := []transport.ID{
		transport.TextID("abc"), transport.TextID("42"), transport.NumberID(0), transport.NumberID(1<<64 - 1),
		transport.UUIDID([16]byte{0: 0x12, 15: 0xff}), transport.BinaryID([]byte{0, '\n', 0xff}),
		{},
	}
	for _, w := range r.ways(client, server) {
		typed := false
		for _, id := range ids {
			r.send(w.from, &transport.Message{To: w.dest, ID: id, CorrelationID: id})
			got := r.recv(w.to)
			for _, f := range []struct {
				name string
				id   transport.ID
			}{{"ID", got.ID}, {"CorrelationID", got.CorrelationID}} {
				typed = typed || f.id.Kind() > transport.IDText
				if f.id.String() != id.String() || typed && f.id != id {
					r.Errorf("%s: %s = %v of kind %d, want %v of kind %d", w.name, f.name, f.id, f.id.Kind(), id, id.Kind())
				}
			}
		}
	}
}

func checkSendCopies(r *rig) {
	client, server := r.connect(nil)
	for _, w := range r.ways(client, server) {
		in := r.inbox(w.to)
		const count = 200
		m := &transport.Message{Headers: make([]transport.Header, 1)}
		body := make([]byte, 3000)
		for i := range count {
			for j := range body {
				body[j] = byte(i)
			}
			m.To, m.Body = w.dest, body
			m.Subject, m.Headers[0] = strconv.Itoa(i), transport.Header{Name: "n", Value: strconv.Itoa(i)}
			r.send(w.from, m)
		}
		clear(body)
		*m = transport.Message{}
		for i := range count {
			got := r.next(in)
			want := slices.Repeat([]byte{byte(i)}, len(body))
			if diff := sameBody(got.Body, want); diff != "" {
				r.Fatalf("%s: message %d of a reused body: %s", w.name, i, diff)
			}
			if n := strconv.Itoa(i); got.Subject != n || got.Header("n") != n {
				r.Fatalf("%s: message %d of a reused one: subject %q and header %q, want %q", w.name, i, got.Subject, got.Header("n"), n)
			}
		}
	}
}

func checkRecvKeeps(r *rig) {
	client, server := r.connect(nil)
	for _, w := range r.ways(client, server) {
		in := r.inbox(w.to)
		const count = 100
		body := func(i int) []byte { return slices.Repeat([]byte{byte(i + 1)}, 100+i*37) }
		var kept []*transport.Message
		for i := range count {
			r.send(w.from, &transport.Message{To: w.dest, Body: body(i), Subject: fmt.Sprint("subject ", i)})
			kept = append(kept, r.next(in))
		}
		for _, m := range kept {
			_ = append(m.Body, "the receiver's own"...) // what is behind it must not be another's
		}
		for i, m := range kept {
			if diff := sameBody(m.Body, body(i)); diff != "" {
				r.Fatalf("%s: message %d, after %d more were received: %s", w.name, i, count-1-i, diff)
			}
			if want := fmt.Sprint("subject ", i); m.Subject != want {
				r.Fatalf("%s: message %d, after %d more were received: Subject = %q, want %q", w.name, i, count-1-i, m.Subject, want)
			}
		}
	}
}

func checkAnySlices(r *rig) {
	for _, rules := range []string{"read byte 0 slice 0s", "write byte 0 slice 0s", "write byte 0 coalesce 1ms\nread byte 0 coalesce 1ms"} {
		o := r.h.options(nil)
		o.Client, o.Server = r.faulty(rules)
		client, server := r.pair(o)
		for _, w := range r.ways(client, server) {
			in := r.inbox(w.to)
			for _, n := range []int{0, 1, 300, 5000} {
				want := &transport.Message{To: w.dest, Subject: "s", Headers: []transport.Header{{Name: "a", Value: "b"}}, Body: pattern(n)}
				r.send(w.from, want)
				for _, diff := range r.differences(r.next(in), want) {
					r.Errorf("%s, %q: %s", w.name, rules, diff)
				}
			}
		}
	}
}
