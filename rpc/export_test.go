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
