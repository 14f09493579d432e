package envelope_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/polyport/polyport/rpc/internal/envelope"
)

// places are where a value can stand; %s is the value.
var places = map[string]string{
	"alone":        `%s`,
	"element":      `[%s]`,
	"id":           `{"id":%s}`,
	"params":       `{"params":%s,"x":0}`,
	"unknown":      `{"x":%s}`,
	"in an array":  `{"params":[0,%s,0]}`,
	"in an object": `{"params":{"a":0,"b":%s}}`,
	"last":         `{"params":[[{"a":%s}]]}`,
	"padded":       "{\"params\":[ \t%s\r\n,0]}",
}

func TestGrammarAccepts(t *testing.T) {
	values := []string{
		`0`, `-0`, `1`, `-12`, `1234567890`, `0.5`, `-1.25`, `1e5`, `1E+5`, `1.5e-10`, `0e0`, `1e400`, `10`,
		`true`, `false`, `null`,
		`""`, `"a"`, `"1234567"`, `"12345678"`, `"123456789"`, `"\""`, `"\\"`, `"\/\b\f\n\r\t"`, `"\u0000\uFfFf"`, `"\ud800"`,
		"\"\x7f\"", `"é"`, "\"\xff\"", `"` + strings.Repeat("x", 100) + `"`,
		`[]`, `[ ]`, `{}`, `{ }`, `[[]]`, `[{}]`, `{"":{}}`, `{"a":[]}`, `[1,[2,{"a":[{}]}],"]"]`, `{"a":1,"a":2}`, "{ \"a\" : 1 , \"b\" :\n[ 1 , 2 ] }",
		`{"a\u0062":"}"}`, "{\"\xff\":0}",
	}
	for place, format := range places {
		for _, v := range values {
			body := strings.Replace(format, "%s", v, 1)
			if place == "alone" && strings.HasPrefix(v, "[") {
				continue // that is a batch
			}
			if _, _, err := envelope.Scan([]byte(body), nil, nil); err != nil {
				t.Errorf("Scan(%q) = %v, want no fault", body, err)
			}
		}
	}
}

func TestGrammarRefuses(t *testing.T) {
	values := []string{
		``, `,`, `:`, `]`, `}`, `x`, `'a'`, `/**/1`, `//`, `NaN`, `Infinity`, `undefined`, `+1`, `.5`, `-`, `-a`, `-01`, `00`, `01`, `1.`, `1.e1`, `.`, `1e`, `1e+`, `1ee1`, `1.2.3`, `0x1`, `1_000`, `--1`,
		`t`, `tru`, `truE`, `truex`, `True`, `nul`, `nulL`, `fals`, `falsy`, `nullnull`,
		`"`, `"a`, `"\`, `"\"`, `"\x"`, `"\u"`, `"\u12"`, `"\u123"`, `"\u123g"`, `"\u12G4"`, `"\U0041"`, `"\u 123"`, `"\'"`,
		"\"\n\"", "\"\x00\"", "\"\x1f\"", "\"1234567\x01\"", "\"12345678\x1f\"", "\"\t\"",
		`[`, `{`, `[1`, `[1,`, `[1,]`, `[,1]`, `[,]`, `[1 2]`, `[1:2]`, `[1}`, `[1}]`, `[[]`, `[]]`,
		`{]`, `{"a"}`, `{"a":}`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{,}`, `{,"a":1}`, `{"a":1 "b":2}`, `{"a":1:"b"}`, `{a:1}`, `{1:1}`, `{"a" 1}`, `{"a",1}`, `{"a":1]`, `{"a"`, `{"a":`, `{}}`, `{"a":{}`, `{"a":1,1}`, `{null:1}`,
		"\xef\xbb\xbf1", "\x0b1", "\x0c", "\u00a0", "\x00", "1\x00", "\xff",
	}
	for _, format := range places {
		for _, v := range values {
			body := strings.Replace(format, "%s", v, 1)
			if body == `[]` {
				continue // the empty batch, which is JSON
			}
			msgs, _, err := envelope.Scan([]byte(body), nil, nil)
			if err == nil || err.Code != envelope.CodeParse || msgs != nil {
				t.Errorf("Scan(%q) = %v, fault %v, want a parse error", body, views(msgs), err)
			}
		}
	}
}

// TestEveryTruncation cuts a good body everywhere: no part of it is a body.
func TestEveryTruncation(t *testing.T) {
	body := `[{"jsonrpc":"2.0","id":"\u00311","method":"a\nb","params":[1.5e+3,true,{"k":null,"l":false}],"metadata":{}}]`
	for i := range len(body) {
		_, _, err := envelope.Scan([]byte(body[:i]), nil, nil)
		if err == nil || err.Code != envelope.CodeParse || err.Offset != i {
			t.Errorf("Scan(%q): fault = %+v, want a parse error at %d", body[:i], err, i)
		}
	}
}

// TestStringsByByte puts each byte at each place of the first words of a
// string, because strings are read several bytes at a time.
func TestStringsByByte(t *testing.T) {
	for at := range 48 {
		for c := range 256 {
			checkText(t, append(append(bytes.Repeat([]byte{'a'}, at), byte(c)), "bcdefghi"...))
		}
	}
}

// TestShortStrings puts each byte at each place of a body that is shorter than
// a word, or ends soon after one.
func TestShortStrings(t *testing.T) {
	for length := 1; length < 20; length++ {
		for at := range length {
			for c := range 256 {
				text := bytes.Repeat([]byte{' '}, length)
				text[at] = byte(c)
				_, _, err := envelope.Scan([]byte(`"`+string(text)+`"`), nil, nil)
				if want := c >= ' ' && c != '"' && c != '\\'; want != (err == nil) {
					t.Fatalf("Scan of the string %q = %v, want it accepted: %v", text, err, want)
				}
			}
		}
	}
}

// TestStringsByPair tries each pair of bytes, because what one byte does to
// the arithmetic of a word must not change what is seen of the next.
func TestStringsByPair(t *testing.T) {
	for c := range 256 {
		for d := range 256 {
			text := append(bytes.Repeat([]byte{'~'}, (c+d)%25), byte(c), byte(d))
			checkText(t, append(text, "bcdefghi"...))
		}
	}
}

// checkText scans a string that holds text and compares where the scan stops
// with what a reader of single bytes finds.
func checkText(t *testing.T, text []byte) {
	t.Helper()
	const before, after = `{"x":"`, `"}`
	body := append(append([]byte(before), text...), after...)
	_, _, err := envelope.Scan(body, nil, nil)
	got := len(body)
	if err != nil {
		got = err.Offset
	}
	bad, closed := firstBad(body, len(before))
	switch {
	case !closed:
		if got != bad {
			t.Fatalf("Scan(%q) stops at %d, want %d", body, got, bad)
		}
	case bad == len(body)-len(after):
		if err != nil {
			t.Fatalf("Scan(%q) = %v, want no fault", body, err)
		}
	case got <= bad || got == len(body):
		t.Fatalf("Scan(%q) stops at %d, want some byte after %d", body, got, bad)
	}
}

// firstBad returns the index of the byte that ends the string whose text
// begins at i, and whether that is a quote.
func firstBad(body []byte, i int) (end int, closed bool) {
	for ; ; i++ {
		switch c := body[i]; {
		case c == '"':
			return i, true
		case c < ' ':
			return i, false
		case c != '\\':
			continue
		}
		i++
		if body[i] == 'u' {
			for range 4 {
				if i++; strings.IndexByte("0123456789abcdefABCDEF", body[i]) < 0 {
					return i, false
				}
			}
		} else if strings.IndexByte(`"\/bfnrt`, body[i]) < 0 {
			return i, false
		}
	}
}

func TestFaultError(t *testing.T) {
	_, _, err := envelope.Scan([]byte(`{"a" 1}`), nil, nil)
	if err == nil {
		t.Fatal("Scan = nil, want a fault")
	}
	want := `envelope: '1' where a colon should be at byte 5`
	if got := err.Error(); got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
}

func TestKindString(t *testing.T) {
	want := map[envelope.Kind]string{
		envelope.Invalid: "invalid", envelope.Request: "request",
		envelope.Notification: "notification", envelope.Response: "response", 99: "invalid",
	}
	for k, name := range want {
		if got := k.String(); got != name {
			t.Errorf("Kind(%d).String() = %q, want %q", k, got, name)
		}
	}
}
