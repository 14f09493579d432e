package broker_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/polyport/polyport/broker"
)

// naive is the definition: it tries everything.
func naive(filter, topic []string) bool {
	switch {
	case len(filter) == 0:
		return len(topic) == 0
	case filter[0] == "#":
		return naive(filter[1:], topic) || len(topic) > 0 && naive(filter, topic[1:])
	case len(topic) == 0:
		return false
	}
	return (filter[0] == "*" || filter[0] == topic[0]) && naive(filter[1:], topic[1:])
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		filter, topic string
		want          bool
	}{
		{"a", "a", true},
		{"a", "b", false},
		{"a", "a.b", false},
		{"*", "a", true},
		{"*", "a.b", false},
		{"#", "a.b.c", true},
		{"a.#", "a", true},
		{"a.#", "ab", false},
		{"#.c", "a.b.c", true},
		{"#.c", "c", true},
		{"a.*.c", "a.b.c", true},
		{"a.*.c", "a.c", false},
		{"#.b.#.d", "a.b.c.b.d", true},
		{"#.b.#.d", "a.b.c", false},
		// What is asked for a subscription: is all of it within the filter?
		{"a.#", "a.*", true},
		{"a.#", "a.#", true},
		{"a.*", "a.#", false},
		{"a.*", "a.*", true},
		{"a.b", "a.*", false},
		{"#", "#", true},
		{"*", "#", false},
	} {
		if got := broker.Matches(c.filter, c.topic); got != c.want {
			t.Errorf("%s stands for %s: %t, want %t", c.filter, c.topic, got, c.want)
		}
	}
}

func TestOverlap(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"a", "a", true},
		{"a", "b", false},
		{"a.#", "#.b", true},
		{"a.*", "*.b", true},
		{"a.*", "b.*", false},
		{"a.*", "a", false},
		{"a.#", "a", true},
		{"#", "#", true},
		{"#.x", "y.*", true},
		{"#.x", "*.y", false},
		{"secret.#", "#", true},
	} {
		if got := broker.Overlap(c.a, c.b); got != c.want {
			t.Errorf("%s and %s overlap: %t, want %t", c.a, c.b, got, c.want)
		}
		if got := broker.Overlap(c.b, c.a); got != c.want {
			t.Errorf("%s and %s overlap: %t, want %t", c.b, c.a, got, c.want)
		}
	}
}

// The trie and the matcher agree with the definition, and the trie finds each
// subscription once.
func FuzzMatch(f *testing.F) {
	f.Add("a.b.c", "a.#", "#.c", "*.b.*")
	f.Add("a.a.a.a", "#.a.#.a", "a.#.#", "#")
	f.Add("x", "x.#", "#.x.#", "*")
	f.Add("a.b", "a.*.#", "a.b", "#.#.b")
	f.Fuzz(func(t *testing.T, topic, one, two, three string) {
		if broker.BadWords(topic) != "" || len(topic) > 40 || strings.ContainsAny(topic, "*#") {
			t.Skip("no topic, or too long for the naive matcher")
		}
		var filters, want []string
		for _, filter := range []string{one, two, three} {
			if broker.BadWords(filter) != "" || len(filter) > 40 {
				continue
			}
			filters = append(filters, filter)
			match := naive(strings.Split(filter, "."), strings.Split(topic, "."))
			if got := broker.Matches(filter, topic); got != match {
				t.Errorf("%q stands for %q: %t, want %t", filter, topic, got, match)
			}
			if got := broker.Overlap(filter, topic); got != match {
				t.Errorf("%q overlaps %q: %t, want %t", filter, topic, got, match)
			}
			if match {
				want = append(want, filter)
			}
		}
		got := broker.TrieMatch(filters, topic)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("of %q the topic %q is for %q, want %q", filters, topic, got, want)
		}
		if n := broker.TrieLeft(filters); n != 0 {
			t.Errorf("%d words are left in the trie of %q", n, filters)
		}
	})
}

// No filters and no topic take long, however wild they are.
func TestMatchIsQuick(t *testing.T) {
	topic := strings.TrimSuffix(strings.Repeat("a.", 127), ".")
	wild := strings.TrimSuffix(strings.Repeat("#.a.", 63), ".") + ".b"
	var filters []string
	for i := 1; i <= 60; i++ {
		filters = append(filters, strings.Repeat("#.a.", i)+"#", strings.Repeat("*.#.", i)+"a")
	}
	start := time.Now()
	if broker.Matches(wild, topic) {
		t.Error("it matches")
	}
	if got := broker.TrieMatch(filters, topic); len(got) != len(filters) {
		t.Errorf("the topic is for %d of %d", len(got), len(filters))
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}
