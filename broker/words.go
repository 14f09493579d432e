package broker

import (
	"strings"
	"unicode"
)

// nextWord returns the first of the words of s and what comes after its dot. more
// is false if it is the last one.
func nextWord(s string) (word, rest string, more bool) { return strings.Cut(s, ".") }

func isWild(word string) bool { return word == "*" || word == "#" }

// hasWild reports whether a name has wild words.
func hasWild(name string) bool {
	if !strings.ContainsAny(name, "*#") {
		return false
	}
	for word := range strings.SplitSeq(name, ".") {
		if isWild(word) {
			return true
		}
	}
	return false
}

// badWords says in words what is wrong with the name of a topic or a filter, ""
// if nothing.
func badWords(name string) string {
	for rest, more := name, true; more; {
		var word string
		word, rest, more = nextWord(rest)
		switch {
		case word == "":
			return "has an empty word"
		case !isWild(word) && strings.ContainsAny(word, "*#"):
			return "has * or # as a part of a word"
		case strings.ContainsFunc(word, unicode.IsSpace):
			return "has white space"
		}
	}
	return ""
}

// matches reports whether filter stands for name, whose own * and # are words as
// any other: whether all that name stands for is among what filter stands for,
// save that a * of the filter does not take in a # of the name. It takes no
// memory, and time in proportion to the product of the lengths at most.
func matches(filter, name string) bool {
	var (
		f, t         = filter, name
		fMore, tMore = true, true
		again        bool   // there was a #
		lastF, lastT string // what came after it, and what it has not swallowed yet
		lastFMore    bool
	)
	for tMore {
		fWord, fRest, fNext := nextWord(f)
		tWord, tRest, tNext := nextWord(t)
		switch {
		case fMore && fWord == "#":
			again, lastF, lastFMore, lastT = true, fRest, fNext, t
			f, fMore = fRest, fNext
		case fMore && (fWord == tWord || fWord == "*" && tWord != "#"):
			f, fMore, t, tMore = fRest, fNext, tRest, tNext
		case again:
			_, rest, more := nextWord(lastT)
			lastT, t, tMore = rest, rest, more
			f, fMore = lastF, lastFMore
		default:
			return false
		}
	}
	for fMore {
		var word string
		if word, f, fMore = nextWord(f); word != "#" {
			return false
		}
	}
	return true
}

// overlap reports whether there is a name that both filters stand for.
func overlap(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	// can[j] is whether x[i:] and y[j:] overlap, for the i of the last round.
	can := make([]bool, len(y)+1)
	next := make([]bool, len(y)+1)
	for i := len(x); i >= 0; i-- {
		for j := len(y); j >= 0; j-- {
			endX, endY := i == len(x), j == len(y)
			switch {
			case endX && endY:
				next[j] = true
			case !endX && x[i] == "#":
				next[j] = can[j] || !endY && next[j+1]
			case !endY && y[j] == "#":
				next[j] = next[j+1] || !endX && can[j]
			case endX || endY:
				next[j] = false
			default:
				next[j] = (x[i] == y[j] || x[i] == "*" || y[j] == "*") && can[j+1]
			}
		}
		can, next = next, can
	}
	return can[0]
}
