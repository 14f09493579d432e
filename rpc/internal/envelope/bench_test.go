package envelope_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	jsonx "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/polyport/polyport/rpc/internal/envelope"
)

const small = `{"jsonrpc":"2.0","id":123,"method":"Math.Sum","params":[1,2,3]}`

// bodies are what the scanners are measured with.
func bodies() []struct{ name, body string } {
	text := func(size int) string {
		const words = "The quick brown fox jumps over the lazy dog, again and again. "
		s := strings.Repeat(words, size/len(words)+1)[:size]
		return `{"jsonrpc":"2.0","id":123,"method":"Echo","params":{"text":"` + s + `"}}`
	}
	const item = `{"name":"node-17","up":true,"load":[0.25,0.5,12],"at":{"x":-1,"y":null}},`
	nested := strings.Repeat(item, 16<<10/len(item))
	return []struct{ name, body string }{
		{"small", small},
		{"text1K", text(1 << 10)},
		{"text16K", text(16 << 10)},
		{"nested16K", `{"jsonrpc":"2.0","id":123,"method":"Echo","params":[` + nested[:len(nested)-1] + `]}`},
		{"batch100", "[" + strings.Repeat(small+",", 99) + small + "]"},
	}
}

func BenchmarkScan(b *testing.B) {
	for _, bench := range bodies() {
		body := []byte(bench.body)
		b.Run(bench.name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			var msgs []envelope.Message
			for b.Loop() {
				var err *envelope.Fault
				msgs, _, err = envelope.Scan(body, nil, msgs[:0])
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// object is what encoding/json decodes a message into, to measure them beside
// Scan.
type object struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  *string         `json:"method"`
	Params  json.RawMessage `json:"params"`
	Result  json.RawMessage `json:"result"`
	Error   json.RawMessage `json:"error"`
}

// objectX is object for go-json-experiment.
type objectX struct {
	Version string         `json:"jsonrpc"`
	ID      jsontext.Value `json:"id"`
	Method  *string        `json:"method"`
	Params  jsontext.Value `json:"params"`
	Result  jsontext.Value `json:"result"`
	Error   jsontext.Value `json:"error"`
}

func BenchmarkEncodingJSON(b *testing.B) {
	benchCodec[object](b, json.Unmarshal)
}

func BenchmarkJSONExperiment(b *testing.B) {
	benchCodec[objectX](b, func(data []byte, v any) error { return jsonx.Unmarshal(data, v) })
}

// benchCodec does with a codec what comes closest to Scan: it decodes into
// structs that keep the values raw.
func benchCodec[T any](b *testing.B, unmarshal func([]byte, any) error) {
	b.Helper()
	for _, bench := range bodies() {
		body := []byte(bench.body)
		b.Run(bench.name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			batch := bytes.HasPrefix(body, []byte("["))
			for b.Loop() {
				var err error
				if batch {
					err = unmarshal(body, new([]T))
				} else {
					err = unmarshal(body, new(T))
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	text := []byte(`{"text":"` + strings.Repeat("x", 16<<10) + `"}`)
	id, dst, long := []byte("123"), []byte(nil), string(text)
	for _, bench := range []struct {
		name string
		do   func()
	}{
		{"request", func() { dst = envelope.AppendRequest(dst[:0], 123, "Math.Sum", []byte(`[1,2,3]`)) }},
		{"result", func() { dst = envelope.AppendResult(dst[:0], id, []byte(`6`)) }},
		{"result16K", func() { dst = envelope.AppendResult(dst[:0], id, text) }},
		{"error", func() { dst = envelope.AppendError(dst[:0], id, -32601, "Method not found", nil) }},
		{"string16K", func() { dst = envelope.AppendString(dst[:0], long) }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bench.do()
			}
			b.SetBytes(int64(len(dst)))
		})
	}
}
