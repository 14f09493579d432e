package rpc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxTopic is how many bytes a topic or a filter may have.
const maxTopic = 255

// ErrTopic says that a topic or a filter cannot be used.
var ErrTopic = errors.New("rpc: unusable topic")

// checkTopic says what is wrong with a topic.
func checkTopic(topic string) error {
	if strings.HasPrefix(topic, reserved) {
		return fmt.Errorf("%w: %.100q begins with %q, which is reserved", ErrTopic, topic, reserved)
	}
	if why := badWords(topic, false); why != "" {
		return fmt.Errorf("%w: %.100q %s", ErrTopic, topic, why)
	}
	return nil
}

// CheckFilter says what is wrong with a filter of [Client.Subscribe], before it
// is used; nil if nothing. The error wraps [ErrTopic]. It takes both forms that a
// filter may have, of which a connection has one.
func CheckFilter(filter string) error {
	err := checkWords(filter)
	if err != nil && strings.Count(filter, partSeparator) == 3 {
		return checkParts(filter)
	}
	return err
}

// checkWords says what is wrong with a filter of words.
func checkWords(filter string) error {
	if why := badWords(filter, true); why != "" {
		return fmt.Errorf("%w: the filter %.100q %s", ErrTopic, filter, why)
	}
	return nil
}

// badWords says in words what is wrong with words between dots, "" if nothing.
// Of a filter they may be wild.
func badWords(text string, wild bool) string {
	switch {
	case text == "":
		return "is empty"
	case len(text) > maxTopic:
		return fmt.Sprintf("is longer than %d bytes", maxTopic)
	case !utf8.ValidString(text):
		return "is not UTF-8"
	}
	for word := range strings.SplitSeq(text, ".") {
		switch {
		case word == "":
			return "has an empty word"
		case wild && isWild(word):
		case strings.ContainsAny(word, "*#") && wild:
			return "has * or # as a part of a word"
		case strings.ContainsAny(word, "*#"):
			return "has * or #, which are for filters"
		case strings.ContainsFunc(word, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
			return "has white space or a control character"
		}
	}
	return ""
}

func isWild(word string) bool { return word == "*" || word == "#" }

// isPattern reports whether a filter stands for other topics than its own text.
func isPattern(filter string) bool { return strings.ContainsAny(filter, "*#") }

// matches reports whether the words of a filter stand for those of a topic. It
// takes time in proportion to the product of their numbers at most: of several
// # only the last one seen may have to stand for more words.
func matches(filter, topic []string) bool {
	f, t := 0, 0
	last, from := -1, 0 // the last #, and the first word that it does not stand for yet
	for t < len(topic) {
		switch {
		case f < len(filter) && filter[f] == "#":
			last, from = f, t
			f++
		case f < len(filter) && (filter[f] == "*" || filter[f] == topic[t]):
			f++
			t++
		case last >= 0:
			from++
			f, t = last+1, from
		default:
			return false
		}
	}
	for f < len(filter) && filter[f] == "#" {
		f++
	}
	return f == len(filter)
}

// literalPrefix is the longest text with which every topic begins that a filter
// stands for.
func literalPrefix(filter string) string {
	var prefix strings.Builder
	words := strings.Split(filter, ".")
	for i, word := range words {
		if isWild(word) {
			if i > 0 && slices.ContainsFunc(words[i:], func(w string) bool { return w != "#" }) {
				prefix.WriteByte('.') // for at least one more word comes
			}
			break
		}
		if i > 0 {
			prefix.WriteByte('.')
		}
		prefix.WriteString(word)
	}
	return prefix.String()
}
