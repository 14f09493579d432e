package rpc

import "strings"

// Matches is what decides whether a filter stands for a topic.
func Matches(filter, topic string) bool {
	return matches(strings.Split(filter, "."), strings.Split(topic, "."))
}

// CheckFilter and CheckTopic say what cannot be used.
var (
	CheckFilter = checkFilter
	CheckTopic  = checkTopic
)
