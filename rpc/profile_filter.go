package rpc

import (
	"fmt"
	"strings"
)

// The events of oVirt have names of four parts, receiver|component|operation|unique,
// and so have filters of them, in which * stands for any part. A host leaves the
// receiver, which is itself, empty.

const partSeparator = "|"

// parts returns those of the name of an event.
func parts(name string) (all []string, ok bool) {
	all = strings.SplitN(name, partSeparator, 5)
	return all, len(all) == 4
}

// checkParts says what is wrong with a filter of events of four parts.
func checkParts(filter string) error {
	all, ok := parts(filter)
	why := ""
	switch {
	case len(filter) > maxTopic:
		why = fmt.Sprintf("is longer than %d bytes", maxTopic)
	case !ok:
		why = "has not the form receiver|component|operation|unique"
	case filter == "*|*|*|*":
		why = "stands for all events, for which write #"
	}
	for _, part := range all {
		switch {
		case why != "":
		case part == "":
			why = "has an empty part; * stands for any"
		case part != "*" && strings.ContainsAny(part, "*"):
			why = "has * as a part of a part"
		}
	}
	if why == "" {
		return nil
	}
	return fmt.Errorf("%w: the filter %.100q %s", ErrTopic, filter, why)
}

// matchesParts reports whether the parts of a filter, or "#", stand for those of an
// event from a host that goes by these names. Parts are compared place by place. An
// event with a * in a place concerns all there is in it.
func matchesParts(filter, event, names []string) bool {
	if len(filter) == 1 {
		return true
	}
	for i, want := range filter {
		switch is := event[i]; {
		case want == "*" || is == "*" || is == want:
		case i > 0 || is != "" || !among(want, names):
			return false
		}
	}
	return true
}

func among(name string, names []string) bool {
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}
