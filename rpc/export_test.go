package rpc

import "strings"

// Matches is what decides whether a filter stands for a topic.
func Matches(filter, topic string) bool {
	return matches(strings.Split(filter, "."), strings.Split(topic, "."))
}

// CheckTopic says what is wrong with a topic.
var CheckTopic = checkTopic

// LiteralPrefix is what a filter's topics begin with.
var LiteralPrefix = literalPrefix

// MatchesParts is what decides whether a filter stands for an event of four parts,
// from a host of that name.
func MatchesParts(filter, method, host string) bool {
	event, ok := parts(method)
	return ok && matchesParts(strings.Split(filter, partSeparator), event, []string{host})
}

// CheckParts says what is wrong with a filter of four parts.
var CheckParts = checkParts
