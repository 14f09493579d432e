package stomp

import (
	"strings"

	"github.com/polyport/polyport/transport"
)

// commands are those of all versions. A client begins with CONNECT or STOMP; one
// that begins with another is told so by Server.
var commands = [...]string{
	"CONNECT", "STOMP", "SEND", "SUBSCRIBE", "UNSUBSCRIBE", "ACK", "NACK", "BEGIN", "COMMIT", "ABORT", "DISCONNECT",
	"CONNECTED", "MESSAGE", "RECEIPT", "ERROR",
}

// Match finds a command and the end of its line, after any number of line ends
// ("STOMP Frames"). No other wire begins with these, so where
// [transport.MatchBytes] do not suffice for the command they count as STOMP's.
func (Transport) Match(prefix []byte) transport.Verdict {
	prefix = prefix[:min(len(prefix), transport.MatchBytes)]
	full := len(prefix) == transport.MatchBytes
	for len(prefix) > 0 && (prefix[0] == '\n' || prefix[0] == '\r') {
		prefix = prefix[1:]
	}
	verdict := transport.No
	for _, c := range commands {
		switch said := string(prefix[:min(len(prefix), len(c))]); {
		case !strings.HasPrefix(c, said):
		case endsLine(prefix[len(said):]):
			return transport.Yes
		case len(said) < len(c) || len(prefix) == len(c) || string(prefix[len(c):]) == "\r":
			verdict = transport.More
		}
	}
	if verdict == transport.More && full {
		return transport.Yes
	}
	return verdict
}

// endsLine reports whether rest begins with the end of a line.
func endsLine(rest []byte) bool {
	return len(rest) > 0 && rest[0] == '\n' || len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n'
}
