package rpc_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/polyport/polyport/rpc"
)

func TestFilters(t *testing.T) {
	long := strings.Repeat("x", 255)
	for _, tt := range []struct {
		name, filter string
		yes, no      []string
	}{
		{"a topic stands for itself", "task.7", []string{"task.7"}, []string{"task", "task.8", "task.7.x", "Task.7"}},
		{"a star stands for one word", "task.*", []string{"task.7", "task.é"}, []string{"task", "task.7.x", "clock"}},
		{"a star may be anywhere", "*.a.*", []string{"x.a.y"}, []string{"a", "a.a", "x.b.y", "x.a.y.z"}},
		{"a hash stands for any number of words", "task.#", []string{"task", "task.7", "task.7.x"}, []string{"tasks", "x.task"}},
		{"a hash alone stands for all", "#", []string{"a", "a.b.c", long}, nil},
		{"a hash may be first", "#.end", []string{"end", "a.end", "end.end", "a.b.end"}, []string{"end.a", "endx"}},
		{"a hash may be in the middle", "a.#.z", []string{"a.z", "a.b.z", "a.z.z"}, []string{"a", "a.b", "z"}},
		{"hashes give back words", "#.a.#.b", []string{"a.b", "x.a.a.y.b", "b.a.b"}, []string{"b.a", "a.b.c"}},
		{"a hash and a star need one word", "#.*", []string{"a", "a.b"}, nil},
		{"two hashes are one", "#.#", []string{"a", "a.b"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := rpc.CheckFilter(tt.filter); err != nil {
				t.Errorf("CheckFilter(%q) = %v, want nil", tt.filter, err)
			}
			for _, topic := range append(tt.yes, tt.no...) {
				if err := rpc.CheckTopic(topic); err != nil {
					t.Errorf("CheckTopic(%q) = %v, want nil", topic, err)
				}
			}
			for _, topic := range tt.yes {
				if !rpc.Matches(tt.filter, topic) {
					t.Errorf("%q does not match %q", tt.filter, topic)
				}
			}
			for _, topic := range tt.no {
				if rpc.Matches(tt.filter, topic) {
					t.Errorf("%q matches %q", tt.filter, topic)
				}
			}
		})
	}
}

func TestUnusableTopics(t *testing.T) {
	for _, tt := range []struct {
		name, text, why string
		filter          bool // may be one
	}{
		{"nothing", "", "is empty", false},
		{"an empty word", "a..b", "empty word", false},
		{"a dot at the beginning", ".a", "empty word", false},
		{"a dot at the end", "a.", "empty word", false},
		{"white space", "a b", "white space", false},
		{"a control character", "a\x00", "control character", false},
		{"no UTF-8", "a\xff", "not UTF-8", false},
		{"256 bytes", strings.Repeat("x", 256), "longer than 255 bytes", false},
		{"a part of a word that is wild", "a*.b", "* or #", false},
		{"a wild word", "a.*", "for filters", true},
		{"wild words", "#", "for filters", true},
		{"a reserved name", "rpc.events.end", "reserved", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := rpc.CheckTopic(tt.text)
			if !errors.Is(err, rpc.ErrTopic) || !strings.Contains(err.Error(), tt.why) {
				t.Errorf("CheckTopic(%q) = %v, want an ErrTopic with %q", tt.text, err, tt.why)
			}
			err = rpc.CheckFilter(tt.text)
			if tt.filter != (err == nil) || err != nil && (!errors.Is(err, rpc.ErrTopic) || !strings.Contains(err.Error(), tt.why)) {
				t.Errorf("CheckFilter(%q) = %v, want usable %t, else an ErrTopic with %q", tt.text, err, tt.filter, tt.why)
			}
		})
	}
}

// matchesNaively says by trying all ways what a filter stands for.
func matchesNaively(filter, topic []string) bool {
	switch {
	case len(filter) == 0:
		return len(topic) == 0
	case filter[0] == "#":
		return matchesNaively(filter[1:], topic) || len(topic) > 0 && matchesNaively(filter, topic[1:])
	case len(topic) == 0:
		return false
	}
	return (filter[0] == "*" || filter[0] == topic[0]) && matchesNaively(filter[1:], topic[1:])
}

func TestFilterModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		filter := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "*", "#"}), 1, 7).Draw(t, "filter")
		topic := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 1, 7).Draw(t, "topic")
		got, want := rpc.Matches(strings.Join(filter, "."), strings.Join(topic, ".")), matchesNaively(filter, topic)
		if got != want {
			t.Fatalf("%v matches %v = %t, want %t", filter, topic, got, want)
		}
	})
}

// FuzzFilter compares with a regular expression, which takes linear time.
func FuzzFilter(f *testing.F) {
	f.Add("task.*", "task.7")
	f.Add("#.a.#.b.*", "x.a.y.b.z")
	f.Add("#.#.#.#.#.#.#.a", strings.Repeat("a.", 100)+"b")
	f.Fuzz(func(t *testing.T, filter, topic string) {
		if rpc.CheckFilter(filter) != nil || rpc.CheckTopic(topic) != nil {
			return
		}
		var expr strings.Builder
		for word := range strings.SplitSeq(filter, ".") {
			switch word {
			case "#":
				expr.WriteString(`(?:[^.]+\.)*`)
			case "*":
				expr.WriteString(`[^.]+\.`)
			default:
				expr.WriteString(regexp.QuoteMeta(word) + `\.`)
			}
		}
		want := regexp.MustCompile(`^` + expr.String() + `$`).MatchString(topic + ".")
		if got := rpc.Matches(filter, topic); got != want {
			t.Errorf("%q matches %q = %t, want %t", filter, topic, got, want)
		}
	})
}
