package envelope_test

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/rpc/internal/envelope"
)

// Bits of the second argument of FuzzScan.
const (
	fuzzNull   = 1 << iota // tolerate null params
	fuzzScalar             // accept scalar params
	fuzzTiny               // limits that short inputs reach
	fuzzTwo                // accept other spellings of the version
)

func fuzzLimits(flags byte) envelope.Limits {
	l := envelope.Limits{
		Depth: envelope.DefaultDepth, Batch: envelope.DefaultBatch, ID: envelope.DefaultID,
		NullParams: flags&fuzzNull != 0, ScalarParams: flags&fuzzScalar != 0,
		Version2: flags&fuzzTwo != 0,
	}
	if flags&fuzzTiny != 0 {
		l.Depth, l.Batch, l.ID = 4, 3, 8
	}
	return l
}

// FuzzScan compares Scan with an oracle made of jsontext: both must agree on
// what is valid, and on the span of each member.
func FuzzScan(f *testing.F) {
	for _, seed := range seeds() {
		f.Add([]byte(seed), byte(0))
		f.Add([]byte(seed), byte(fuzzTiny|fuzzScalar))
		f.Add([]byte(seed), byte(fuzzTwo|fuzzNull|fuzzScalar))
	}
	f.Fuzz(func(t *testing.T, body []byte, flags byte) {
		limits := fuzzLimits(flags)
		before := bytes.Clone(body)
		prefix := []envelope.Message{{Reason: "kept"}}
		msgs, batch, err := envelope.Scan(body, &limits, prefix)
		if len(msgs) == 0 || msgs[0].Reason != "kept" {
			t.Fatalf("Scan(%q) lost what dst held", body)
		}
		got := outcome{batch: batch, msgs: views(msgs[1:])}
		if err != nil {
			got.code, got.max = err.Code, err.Max
			if err.Offset < 0 || err.Offset > len(body) || err.Reason == "" {
				t.Errorf("Scan(%q): odd fault %+v", body, err)
			}
		}
		for i := range got.msgs {
			if m := &got.msgs[i]; m.Reason != "" {
				m.Reason = "bad" // the oracle has no wording
			}
		}
		want := oracle(body, limits)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(outcome{})); diff != "" {
			t.Errorf("Scan(%q, %+v) (-want +got):\n%s", body, limits, diff)
		}
		for _, m := range msgs[1:] {
			checkParams(t, m.Params)
			checkParams(t, m.Metadata)
		}
		// These are for checked values, but nothing may break them.
		envelope.Elements(body, nil)
		envelope.Members(body, func(_, _ []byte) bool { return true })
		if !bytes.Equal(body, before) {
			t.Errorf("Scan changed the body %q to %q", before, body)
		}
	})
}

// checkParams compares Elements and Members with what jsontext reads.
func checkParams(t *testing.T, raw jsontext.Value) {
	t.Helper()
	var want, got []string
	if raw.Kind() == '[' {
		for _, v := range split(raw, true) {
			want = append(want, string(v))
		}
		for _, v := range envelope.Elements(raw, nil) {
			got = append(got, string(v))
		}
	}
	if raw.Kind() == '{' {
		d := reader(raw)
		_, _ = d.ReadToken()
		for d.PeekKind() != '}' {
			name, _ := d.ReadValue()
			text, _ := unquote(name)
			value, _ := d.ReadValue()
			want = append(want, text, string(value))
		}
		envelope.Members(raw, func(name, value []byte) bool {
			// jsontext replaces bytes that are not UTF-8, Members keeps them.
			got = append(got, string([]rune(string(name))), string(value))
			return true
		})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parts of %q (-want +got):\n%s", raw, diff)
	}
}

// isRaw tells whether s is one JSON value without white space around it.
func isRaw(s string) bool {
	return jsontext.Value(s).IsValid(lenient...) && strings.Trim(s, " \t\r\n") == s
}

// FuzzAppend writes messages and reads them back.
func FuzzAppend(f *testing.F) {
	f.Add(uint64(1), "Math.Sum", "no such method", -32601, `{"a":[1,2]}`, `"x"`)
	f.Add(uint64(math.MaxUint64), "\x00\"\\\n\u2028é😀", "\xff\xed\xa0\x80", 0, `[]`, `-1.5e3`)
	f.Add(uint64(0), "", "", math.MinInt32, `null`, `null`)
	f.Fuzz(func(t *testing.T, number uint64, method, message string, code int, value, token string) {
		quoted, _ := jsontext.AppendQuote(nil, method)
		if got := envelope.AppendString(nil, method); !bytes.Equal(got, quoted) {
			t.Errorf("AppendString(%q) = %s, want %s", method, got, quoted)
		}
		if !isRaw(value) || !isRaw(token) || oracleID(jsontext.Value(token), envelope.DefaultID) != token {
			return
		}
		name := string([]rune(method))
		params := []byte(value)
		back := func(msg []byte) view {
			msgs, batch, err := envelope.Scan(msg, &envelope.Limits{Depth: 20_000, ScalarParams: true}, nil)
			if err != nil || batch || len(msgs) != 1 {
				t.Fatalf("Scan(%q) = %v, %v, %v", msg, views(msgs), batch, err)
			}
			return viewOf(msgs[0])
		}
		check := func(msg []byte, want view) {
			t.Helper()
			if diff := cmp.Diff(want, back(msg)); diff != "" {
				t.Errorf("%q is read back (-want +got):\n%s", msg, diff)
			}
		}
		id := []byte(token)
		check(envelope.AppendResult(nil, id, params), result(token, value))
		check(envelope.AppendTail(append(envelope.AppendResultHead(nil, id), value...)), result(token, value))
		got := back(envelope.AppendError(nil, id, code, message, params))
		if text, _ := jsontext.AppendQuote(nil, message); !strings.Contains(got.Error, string(text)) || got.Reason != "" {
			t.Errorf("AppendError(%q) is read back as %+v", message, got)
		}
		if value == "null" {
			return // not params
		}
		check(envelope.AppendRequest(nil, number, method, params), request(strconv.FormatUint(number, 10), name, value))
		check(envelope.AppendNotification(nil, method, params), notification(name, value))
		check(envelope.AppendTail(append(envelope.AppendRequestHead(nil, id, method), value...)), request(token, name, value))
	})
}
