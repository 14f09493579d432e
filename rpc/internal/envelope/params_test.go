package envelope_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/rpc/internal/envelope"
)

func TestElements(t *testing.T) {
	cases := []struct {
		name, array string
		want        []string
	}{
		{"empty", `[]`, nil},
		{"blank", `[ ]`, nil},
		{"scalars", `[1,"a",true,null,-1.5]`, []string{"1", `"a"`, "true", "null", "-1.5"}},
		{"nested", `[[1,2],{"a":[3]},[]]`, []string{"[1,2]", `{"a":[3]}`, "[]"}},
		{"blanks", "[ 1 ,\n[ 2 ]\t]", []string{"1", "[ 2 ]"}},
		{"commas in a string", `[",],",1]`, []string{`",],"`, "1"}},
		{"not an array", `{"a":1}`, nil},
		{"nothing", ``, nil},
		{"cut", `[1,2`, []string{"1", "2"}},
		{"broken", `[1,2,?,3]`, []string{"1", "2"}},
		{"no comma", `[1 2]`, []string{"1"}},
		{"only a bracket", `[`, nil},
		{"more after it", `[1]2`, []string{"1"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := []string{"kept"}
			for _, e := range envelope.Elements([]byte(c.array), [][]byte{[]byte("kept")})[1:] {
				got = append(got, string(e))
			}
			if diff := cmp.Diff(append([]string{"kept"}, c.want...), got); diff != "" {
				t.Errorf("Elements(%q) (-want +got):\n%s", c.array, diff)
			}
		})
	}
}

func TestMembers(t *testing.T) {
	cases := []struct {
		name, object string
		want         []string // names and values by turns
	}{
		{"empty", `{}`, nil},
		{"blank", `{ }`, nil},
		{"some", `{"a":1,"b":[2,{}],"":"x"}`, []string{"a", "1", "b", "[2,{}]", "", `"x"`}},
		{"blanks", "{ \"a\" : 1 ,\n\"b\":{ } }", []string{"a", "1", "b", "{ }"}},
		{"escaped names", `{"\u0061\n\ud83d\ude00":1,"\ud83d":2}`, []string{"a\n😀", "1", "\uFFFD", "2"}},
		{"twice", `{"a":1,"a":2}`, []string{"a", "1", "a", "2"}},
		{"stray byte", "{\"\xff\":1}", []string{"\xff", "1"}},
		{"not an object", `[1]`, nil},
		{"nothing", ``, nil},
		{"cut in a name", `{"a":1,"b`, []string{"a", "1"}},
		{"cut after a name", `{"a":1,"b"`, []string{"a", "1"}},
		{"cut in a value", `{"a":1,"b":"`, []string{"a", "1"}},
		{"cut after a value", `{"a":1`, []string{"a", "1"}},
		{"no comma", `{"a":1 "b":2}`, []string{"a", "1"}},
		{"only a brace", `{`, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			envelope.Members([]byte(c.object), func(name, value []byte) bool {
				got = append(got, string(name), string(value))
				return true
			})
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("Members(%q) (-want +got):\n%s", c.object, diff)
			}
		})
	}
}

func TestMembersStops(t *testing.T) {
	n := 0
	envelope.Members([]byte(`{"a":1,"b":2,"c":3}`), func(_, _ []byte) bool {
		n++
		return n < 2
	})
	if n != 2 {
		t.Errorf("Members called yield %d times, want 2", n)
	}
}

func TestIsArrayIsObject(t *testing.T) {
	for raw, want := range map[string][2]bool{
		`[]`: {true, false}, `{}`: {false, true}, `"["`: {}, `1`: {}, `null`: {}, ``: {},
	} {
		if got := [2]bool{envelope.IsArray([]byte(raw)), envelope.IsObject([]byte(raw))}; got != want {
			t.Errorf("IsArray, IsObject(%q) = %v, want %v", raw, got, want)
		}
	}
	if envelope.IsArray(nil) || envelope.IsObject(nil) {
		t.Error("IsArray or IsObject of nil = true, want false")
	}
}

func TestNumber(t *testing.T) {
	for raw, want := range map[string]int{
		"": 0, "0": 1, "-": 0, "-0": 2, "12": 2, "12,": 2, "01": 0, "1.5e+7]": 6, "1.": 0, "1.x": 0, "1e": 0, "-a": 0, "+1": 0, "true": 0, `"1"`: 0, "[1]": 0,
	} {
		if got := envelope.Number([]byte(raw)); got != want {
			t.Errorf("Number(%q) = %d, want %d", raw, got, want)
		}
	}
}

func TestCutString(t *testing.T) {
	long := strings.Repeat("long ", 2000)
	cases := []struct {
		raw, text, rest string
		ok              bool
	}{
		{`""`, "", "", true},
		{`"a",1`, "a", ",1", true},
		{`"a\n\"\u00e9\ud83d\ude00"]`, "a\n\"é😀", "]", true},
		{`"` + long + `\n` + long + `"x`, long + "\n" + long, "x", true},
		{raw: ``},
		{raw: `"`},
		{raw: `"a`},
		{raw: `"a\`},
		{raw: `"\x"`},
		{raw: "\"\n\""},
		{raw: `1`},
		{raw: `"\ud83d"`},
		{raw: "\"\xff\""},
		{raw: "\"\\n\xff\""},
	}
	for _, c := range cases {
		text, rest, ok := envelope.CutString([]byte(c.raw))
		if ok != c.ok || ok && (text != c.text || string(rest) != c.rest) {
			t.Errorf("CutString(%.40q) = %.40q, %q, %v, want %.40q, %q, %v", c.raw, text, rest, ok, c.text, c.rest, c.ok)
		}
	}
}
