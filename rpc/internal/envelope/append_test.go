package envelope_test

import (
	"strings"
	"testing"

	"github.com/polyport/polyport/rpc/internal/envelope"
)

func TestAppend(t *testing.T) {
	raw := func(s string) []byte { return []byte(s) }
	cases := []struct {
		name string
		do   func(dst []byte) []byte
		want string
		back view
	}{
		{
			"request", func(d []byte) []byte { return envelope.AppendRequest(d, 1<<64-1, "a", raw(`[1]`)) },
			`{"jsonrpc":"2.0","id":18446744073709551615,"method":"a","params":[1]}`, request("18446744073709551615", "a", "[1]"),
		},
		{
			"request without params", func(d []byte) []byte { return envelope.AppendRequest(d, 0, "a", nil) },
			`{"jsonrpc":"2.0","id":0,"method":"a"}`, request("0", "a", ""),
		},
		{
			"request whose method needs escapes", func(d []byte) []byte { return envelope.AppendRequest(d, 0, "a\"\\\n\xffé", nil) },
			`{"jsonrpc":"2.0","id":0,"method":"a\"\\\n�é"}`, request("0", "a\"\\\n\uFFFDé", ""),
		},
		{
			"notification", func(d []byte) []byte { return envelope.AppendNotification(d, "a", raw(`{}`)) },
			`{"jsonrpc":"2.0","method":"a","params":{}}`, notification("a", "{}"),
		},
		{
			"notification without params", func(d []byte) []byte { return envelope.AppendNotification(d, "", nil) },
			`{"jsonrpc":"2.0","method":""}`, notification("", ""),
		},
		{
			"request in parts", func(d []byte) []byte {
				return envelope.AppendTail(append(envelope.AppendRequestHead(d, raw(`"x"`), "a"), "[2]"...))
			},
			`{"jsonrpc":"2.0","id":"x","method":"a","params":[2]}`, request(`"x"`, "a", "[2]"),
		},
		{
			"notification in parts with metadata", func(d []byte) []byte {
				d = append(envelope.AppendRequestHead(d, nil, "a"), "[2]"...)
				return envelope.AppendTail(envelope.AppendMetadata(d, raw(`{"k":1}`)))
			},
			`{"jsonrpc":"2.0","method":"a","params":[2],"metadata":{"k":1}}`,
			view{Kind: envelope.Notification, Method: "a", Params: "[2]", Metadata: `{"k":1}`},
		},
		{
			"request without params but with metadata", func(d []byte) []byte {
				return envelope.AppendTail(envelope.AppendMetadata(envelope.AppendRequestOpen(d, raw("null"), "a"), raw(`{}`)))
			},
			`{"jsonrpc":"2.0","id":null,"method":"a","metadata":{}}`,
			view{Kind: envelope.Request, ID: "null", Method: "a", Metadata: `{}`},
		},
		{
			"no metadata", func(d []byte) []byte {
				return envelope.AppendTail(envelope.AppendMetadata(envelope.AppendRequestOpen(d, raw("1.0"), "a"), nil))
			},
			`{"jsonrpc":"2.0","id":1.0,"method":"a"}`, request("1.0", "a", ""),
		},
		{
			"result", func(d []byte) []byte { return envelope.AppendResult(d, raw(`1e0`), raw(`{"a":1}`)) },
			`{"jsonrpc":"2.0","id":1e0,"result":{"a":1}}`, result("1e0", `{"a":1}`),
		},
		{
			"nil result", func(d []byte) []byte { return envelope.AppendResult(d, nil, nil) },
			`{"jsonrpc":"2.0","id":null,"result":null}`, result("null", "null"),
		},
		{
			"result in parts", func(d []byte) []byte {
				return envelope.AppendTail(append(envelope.AppendResultHead(d, raw("7")), "true"...))
			},
			`{"jsonrpc":"2.0","id":7,"result":true}`, result("7", "true"),
		},
		{
			"error", func(d []byte) []byte {
				return envelope.AppendError(d, raw("7"), -32601, "no \"x\"", raw(`{"max":1}`))
			},
			`{"jsonrpc":"2.0","id":7,"error":{"code":-32601,"message":"no \"x\"","data":{"max":1}}}`,
			failure("7", `{"code":-32601,"message":"no \"x\"","data":{"max":1}}`),
		},
		{
			"error without id or data", func(d []byte) []byte { return envelope.AppendError(d, nil, 1, "", nil) },
			`{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}`, failure("null", `{"code":1,"message":""}`),
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := string(c.do([]byte("before "))); got != "before "+c.want {
				t.Errorf("appended %s, want %s", got, c.want)
			}
			checkScan(t, scanCase{body: c.want, want: []view{c.back}})
		})
	}
}

func TestAppendAllocations(t *testing.T) {
	buf, id, value := make([]byte, 0, 1024), []byte(`"x"`), []byte(`{"a":1}`)
	for name, do := range map[string]func(){
		"request":      func() { envelope.AppendRequest(buf, 7, "Math.Sum", value) },
		"notification": func() { envelope.AppendNotification(buf, "a\n\xff", value) },
		"parts":        func() { envelope.AppendTail(envelope.AppendMetadata(envelope.AppendRequestHead(buf, id, "a"), value)) },
		"result":       func() { envelope.AppendResult(buf, id, value) },
		"error":        func() { envelope.AppendError(buf, id, -32000, "é", value) },
	} {
		if n := testing.AllocsPerRun(10, do); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}

func TestAppendString(t *testing.T) {
	cases := []struct{ name, in, want string }{
		{"empty", "", `""`},
		{"plain", "Math.Sum", `"Math.Sum"`},
		{"quote and backslash", `a"b\c`, `"a\"b\\c"`},
		{"slash and markup stay", "</&>'", `"</&>'"`},
		{"short escapes", "\b\f\n\r\t", `"\b\f\n\r\t"`},
		{"long escapes", "\x00\x01\x0b\x1f", `"\u0000\u0001\u000b\u001f"`},
		{"delete stays", "\x7f", "\"\x7f\""},
		{"beyond ASCII", "é漢😀\u2028", "\"é漢😀\u2028\""},
		{"U+FFFD stays", "a\uFFFD", "\"a\uFFFD\""},
		{"stray bytes, one each", "a\xff\xfeb", "\"a\uFFFD\uFFFDb\""},
		{"cut rune", "a\xe2\x82", "\"a\uFFFD\uFFFD\""},
		{"overlong", "\xc0\xaf", "\"\uFFFD\uFFFD\""},
		{"surrogate in UTF-8", "\xed\xa0\x80", "\"\uFFFD\uFFFD\uFFFD\""},
		{"stray byte beside escapes", "\n\xff\"", `"\n` + "\uFFFD" + `\""`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := string(envelope.AppendString([]byte("x"), c.in)); got != "x"+c.want {
				t.Errorf("AppendString(x, %q) = %s, want x%s", c.in, got, c.want)
			}
		})
	}
}

// TestAppendStringEverywhere puts each byte that is escaped at each place of
// the first words, because strings are read several bytes at a time.
func TestAppendStringEverywhere(t *testing.T) {
	for at := range 40 {
		for c := range 0x80 {
			s := strings.Repeat("a", at) + string(rune(c)) + strings.Repeat("z", 12)
			body := envelope.AppendNotification(nil, s, nil)
			msgs, _, err := envelope.Scan(body, nil, nil)
			if err != nil || string(msgs[0].Method) != s {
				t.Fatalf("AppendNotification(%q) = %s, which is read as %q, %v", s, body, views(msgs), err)
			}
		}
	}
}

func TestAppendErrorHead(t *testing.T) {
	got := string(envelope.AppendTail(append(envelope.AppendErrorHead(nil, []byte(`"a"`)), `{"code":1,"message":""}`...)))
	if want := `{"jsonrpc":"2.0","id":"a","error":{"code":1,"message":""}}`; got != want {
		t.Errorf("AppendErrorHead() = %s, want %s", got, want)
	}
}

// What some peers send in the place of an acknowledgement is no message, but
// whoever waits for one can recognize it.
func TestScanBareAcknowledgement(t *testing.T) {
	for body, want := range map[string]string{
		`{"jsonrpc":"2.0","id":1,"metadata":{"async":true}}`:     `{"async":true}`,
		`{"jsonrpc":"2.0","id":1,"metadata":1}`:                  "",
		`{"jsonrpc":"1.0","id":1,"metadata":{"async":true}}`:     "",
		`{"jsonrpc":"2.0","id":[],"metadata":{"a":1}}`:           `{"a":1}`,
		`{"jsonrpc":"2.0","id":1,"metadata":{},"metadata":{}}`:   "",
		`{"jsonrpc":"2.0","id":1,"method":1,"metadata":{"a":1}}`: "",
	} {
		msgs, _, err := envelope.Scan([]byte(body), nil, nil)
		if err != nil || msgs[0].Kind != envelope.Invalid || string(msgs[0].Metadata) != want {
			t.Errorf("Scan(%s) = %+v, %v, want invalid with metadata %q", body, msgs, err, want)
		}
	}
}
