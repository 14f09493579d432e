package gengo

import (
	"go/token"
	"go/types"
	"strconv"
	"strings"
	"unicode"
)

// maxName bounds identifiers, in runes.
const maxName = 64

// A scope is the names that are taken, each with the number to try next.
type scope map[string]int

// take returns name, with a number behind it if it is taken, and takes it.
func (s scope) take(name string) string {
	free := name
	for s[free] > 0 {
		free = name + strconv.Itoa(max(s[name], 2))
		s[name] = max(s[name], 2) + 1
	}
	s[free] = max(s[free], 1)
	return free
}

// words returns the runs of letters and digits in a name.
func words(name string) []string {
	all := strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	left := maxName
	for i, w := range all {
		runes := []rune(w)
		if len(runes) >= left {
			all[i] = string(runes[:left])
			return all[:i+1]
		}
		left -= len(runes)
	}
	return all
}

// exported makes an exported identifier of any name.
func exported(name string) string {
	var b strings.Builder
	for _, w := range words(name) {
		runes := []rune(w)
		b.WriteRune(unicode.ToUpper(runes[0]))
		b.WriteString(string(runes[1:]))
	}
	if out := b.String(); token.IsExported(out) && token.IsIdentifier(out) {
		return out
	}
	return "X" + b.String()
}

// own are the names that generated functions use.
var own = map[string]bool{"c": true, "ctx": true, "params": true, "rpc": true, "json": true, "time": true, "context": true}

// unexported makes an identifier for an argument of any name.
func unexported(name string) string {
	out := exported(name)
	runes := []rune(out)
	runes[0] = unicode.ToLower(runes[0])
	if out == strings.ToUpper(out) {
		runes = []rune(strings.ToLower(out))
	}
	out = string(runes)
	if !token.IsIdentifier(out) || types.Universe.Lookup(out) != nil || own[out] {
		return out + "_"
	}
	return out
}

// taggable reports whether a member of that name can be a struct's field: the
// codec of package rpc knows no way to write others into a tag.
func taggable(name string) bool { return name != "" && !strings.ContainsAny(name, ",\\'\"`") }

// tag returns a field's tag for a member that is taggable.
func tag(name string, optional bool) string {
	switch {
	case optional:
		name += ",omitzero"
	case name == "-":
		name += ",case:strict" // which changes nothing, but without an option the field is passed over
	}
	text := "json:" + strconv.Quote(name)
	if strconv.CanBackquote(text) {
		return "`" + text + "`"
	}
	return strconv.Quote(text)
}
