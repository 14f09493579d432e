package envelope_test

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"github.com/polyport/polyport/rpc/internal/envelope"
)

// nested returns a text with n arrays and objects inside each other, an object
// outside.
func nested(n int) string {
	if n%2 == 1 {
		return strings.Repeat(`{"a":[`, n/2) + `{}` + strings.Repeat(`]}`, n/2)
	}
	return strings.Repeat(`{"a":[`, n/2) + strings.Repeat(`]}`, n/2)
}

func TestDepthLimit(t *testing.T) {
	deepest := func(l *envelope.Limits) int {
		if l == nil || l.Depth <= 0 {
			return envelope.DefaultDepth
		}
		return l.Depth
	}
	for _, l := range []*envelope.Limits{nil, {}, {Depth: -1}, {Depth: 1}, {Depth: 2}, {Depth: 63}, {Depth: 64}, {Depth: 65}, {Depth: 66}, {Depth: 128}, {Depth: 129}, {Depth: 5000}} {
		limit := deepest(l)
		for _, batch := range []bool{false, true} {
			fits, over := nested(limit), nested(limit+1)
			if batch {
				fits, over = "["+nested(limit-1)+"]", "["+nested(limit)+"]"
			}
			if limit == 1 && batch {
				fits = "[1]"
			}
			if _, _, err := envelope.Scan([]byte(fits), l, nil); err != nil {
				t.Errorf("Scan of depth %d (batch %v) = %v, want no fault", limit, batch, err)
			}
			_, _, err := envelope.Scan([]byte(over), l, nil)
			if err == nil || err.Code != envelope.CodeInvalid || err.Max != limit {
				t.Errorf("Scan of depth %d (batch %v) = %+v, want CodeInvalid with Max %d", limit+1, batch, err, limit)
			}
		}
	}
}

// TestDepthNeedsNoStack scans what would overflow the stack of a reader that
// recurses, and checks that it finds the right ends and takes no memory to
// speak of.
func TestDepthNeedsNoStack(t *testing.T) {
	const depth = 5_000_000
	// The pattern has a period that is prime to the size of a word.
	open, shut := make([]byte, 0, 3*depth), make([]byte, 0, depth)
	for i := range depth {
		if i%7 < 3 {
			open, shut = append(open, '['), append(shut, ']')
		} else {
			open, shut = append(open, `{"":`...), append(shut, '}')
		}
	}
	mirror := bytes.Clone(shut)
	for i := range shut {
		mirror[i] = shut[len(shut)-1-i]
	}
	body := []byte(`{"params":` + string(open) + `0` + string(mirror) + `}`)
	l := &envelope.Limits{Depth: depth + 1}
	if _, _, err := envelope.Scan(body, l, nil); err != nil {
		t.Errorf("Scan of depth %d = %v, want no fault", depth+1, err)
	}
	last := len(body) - 2
	body[last] ^= ']' ^ '}'
	if _, _, err := envelope.Scan(body, l, nil); err == nil || err.Offset != last {
		t.Errorf("Scan with the wrong end = %+v, want a fault at %d", err, last)
	}
	allocs := testing.AllocsPerRun(10, func() {
		if _, _, err := envelope.Scan(body, nil, nil); err == nil || err.Max != envelope.DefaultDepth {
			t.Errorf("Scan with default limits = %+v, want a fault with Max", err)
		}
	})
	if allocs > 6 {
		t.Errorf("Scan with default limits: %v allocations, want at most 6", allocs)
	}
}

func TestBatchLimit(t *testing.T) {
	array := func(n int) []byte {
		return []byte("[" + strings.TrimSuffix(strings.Repeat("{},", n), ",") + "]")
	}
	for _, l := range []*envelope.Limits{nil, {}, {Batch: -5}, {Batch: 1}, {Batch: 7}} {
		limit := envelope.DefaultBatch
		if l != nil && l.Batch > 0 {
			limit = l.Batch
		}
		dst := make([]envelope.Message, 3) // what is there already does not count
		msgs, batch, err := envelope.Scan(array(limit), l, dst)
		if len(msgs) != limit+3 || !batch || err != nil {
			t.Errorf("Scan of %d elements = %d messages, %v, %v, want %d", limit, len(msgs)-3, batch, err, limit)
		}
		msgs, batch, err = envelope.Scan(array(limit+1), l, dst)
		if len(msgs) != 3 || !batch || err == nil || err.Code != envelope.CodeInvalid || err.Max != limit {
			t.Errorf("Scan of %d elements = %d messages, %v, %+v, want CodeInvalid with Max %d", limit+1, len(msgs)-3, batch, err, limit)
		}
	}
}

func TestIDLimit(t *testing.T) {
	const long = `member "id" is too long`
	call := func(id string) string { return `{"jsonrpc":"2.0","id":` + id + `,"method":"a"}` }
	text := func(n int) string { return `"` + strings.Repeat("x", n-2) + `"` }
	number := func(n int) string { return strings.Repeat("1", n) }
	short := &envelope.Limits{ID: 3}
	runScan(t, []scanCase{
		{name: "text of 256", body: call(text(256)), want: []view{request(text(256), "a", "")}},
		{name: "text of 257", body: call(text(257)), want: []view{invalid("", long)}},
		{name: "number of 256", body: call(number(256)), want: []view{request(number(256), "a", "")}},
		{name: "number of 257", body: call(number(257)), want: []view{invalid("", long)}},
		{name: "escapes count as written", body: call(`"` + strings.Repeat(`\u0041`, 50) + `"`), want: []view{invalid("", long)}},
		{name: "response", body: `{"jsonrpc":"2.0","id":` + text(257) + `,"result":1}`, want: []view{answer("", "1", "", long)}},
		{name: "own limit, fits", body: call(`"x"`), limits: short, want: []view{request(`"x"`, "a", "")}},
		{name: "own limit, over", body: call(`"xy"`), limits: short, want: []view{invalid("", long)}},
		{name: "null is never too long", body: call(`null`), limits: short, want: []view{request(`null`, "a", "")}},
		{name: "long escaped id within a larger limit", body: call(`"` + strings.Repeat(`\u0041`, 50) + `"`), limits: &envelope.Limits{ID: 1000}, want: []view{request(`"`+strings.Repeat(`\u0041`, 50)+`"`, "a", "")}},
		{name: "negative means default", body: call(text(256)), limits: &envelope.Limits{ID: -1}, want: []view{request(text(256), "a", "")}},
	})
}

// TestLimitFirst: a body that is both too large and broken gets the fault that
// comes first, so that refusing it takes no time.
func TestLimitFirst(t *testing.T) {
	runScan(t, []scanCase{
		{name: "limit, then nonsense", body: `[1,1,1,?`, limits: &envelope.Limits{Batch: 3}, batch: true, code: -32600, reason: "the batch has more elements than 3", max: 3},
		{name: "nonsense, then limit", body: `[1,?,1,1`, limits: &envelope.Limits{Batch: 3}, batch: true, code: -32700, reason: "'?' where a value should be"},
	})
}

// TestAliasing checks what the contract of Message says about the bytes.
func TestAliasing(t *testing.T) {
	body := []byte(`[{"jsonrpc":"2.0","id":"i","method":"m","params":[1,2],"metadata":{}},{"jsonrpc":"2.0","id":2,"result":[3]},{"jsonrpc":"2.0","method":"\u006d","id":4,"params":{"a":1,"b":2}}]`)
	before := string(body)
	msgs, _, err := envelope.Scan(body, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range msgs {
		for _, raw := range [][]byte{m.ID, m.Method, m.Params, m.Result, m.Error, m.Metadata} {
			_ = append(raw, '#')
		}
		for _, raw := range envelope.Elements(m.Params, nil) {
			_ = append(raw, '#')
		}
		envelope.Members(m.Params, func(name, value []byte) bool {
			_, _ = append(name, '#'), append(value, '#')
			return true
		})
	}
	if string(body) != before {
		t.Errorf("appending to the fields changed the body: %s", body)
	}
	for i := range body {
		body[i] = '#'
	}
	want := []string{"###|#", "#|", "#|m"}
	for i, m := range msgs {
		if got := string(m.ID) + "|" + string(m.Method); got != want[i] {
			t.Errorf("message %d after the body changed: %q, want %q", i, got, want[i])
		}
	}
}

// TestAllocations checks that reading costs no memory once dst has room.
func TestAllocations(t *testing.T) {
	bodies := map[string]string{
		"request":        `{"jsonrpc":"2.0","id":123,"method":"Math.Sum","params":[1,2,3],"metadata":{"a":"\n"}}`,
		"response":       `{"jsonrpc":"2.0","id":"x","result":{"a":[true,false,null,-1.5e3]}}`,
		"invalid":        `{"jsonrpc":"1.0","id":[1]}`,
		"escaped names":  `{"\u006asonrpc":"\u0032.0","i\u0064":"\n","method":"a","\u0000":1}`,
		"batch":          `[` + strings.Repeat(`{"jsonrpc":"2.0","method":"a"},1,`, 4) + `[]]`,
		"64 deep":        nested(64),
		"beyond ASCII":   `{"jsonrpc":"2.0","id":"é","method":"ü","params":["漢字"]}`,
		"a long text":    `{"jsonrpc":"2.0","method":"a","params":["` + strings.Repeat("x", 10000) + `"]}`,
		"scalar message": `12`,
	}
	for name, body := range bodies {
		raw, dst := []byte(body), make([]envelope.Message, 0, 10)
		allocs := testing.AllocsPerRun(10, func() {
			if _, _, err := envelope.Scan(raw, nil, dst); err != nil {
				t.Errorf("%s: Scan = %v", name, err)
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations, want 0", name, allocs)
		}
	}
}

// TestReuse checks that nothing of an earlier message shows in a later one.
func TestReuse(t *testing.T) {
	full := []byte(`{"jsonrpc":"2.0","id":1,"method":"a","params":[1],"metadata":{}}`)
	var msgs []envelope.Message
	for i, body := range []string{`{"jsonrpc":"2.0","method":"b"}`, `{"jsonrpc":"2.0","id":2,"result":1}`, `{}`, `1`} {
		var err *envelope.Fault
		if msgs, _, err = envelope.Scan(full, nil, msgs[:0]); err != nil {
			t.Fatal(err)
		}
		if msgs, _, err = envelope.Scan([]byte(body), nil, msgs[:0]); err != nil {
			t.Fatal(err)
		}
		fresh, _, _ := envelope.Scan([]byte(body), nil, nil)
		if viewOf(msgs[0]) != viewOf(fresh[0]) {
			t.Errorf("case %s: %+v in a used slice, want %+v", strconv.Itoa(i), viewOf(msgs[0]), viewOf(fresh[0]))
		}
	}
}
