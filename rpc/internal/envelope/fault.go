package envelope

import (
	"fmt"
	"strconv"
)

// A Fault is the one error that answers a whole body, with id null and not in
// an array, whatever the body held: none of it may be executed.
type Fault struct { //nolint:errname // it is about a whole body; rpc has an Error of its own
	// Code is [CodeParse] or [CodeInvalid].
	Code int
	// Reason tells a person in one short phrase what is wrong. It repeats at
	// most one byte of the body.
	Reason string
	// Offset is the index of the byte of the body where the scan stopped.
	Offset int
	// Max is the limit that the body passed, for the member max of
	// error.data; zero when no limit was passed.
	Max int
}

// Error returns the reason with its position.
func (f *Fault) Error() string {
	return fmt.Sprintf("envelope: %s at byte %d", f.Reason, f.Offset)
}

// stop is what the functions of a scanner return for an index after they have
// recorded a fault.
const stop = -1

// want records that the byte at i is not what the grammar wants there.
func (s *scanner) want(i int, what string) int {
	reason := "the text ends where " + what + " should be"
	if i < len(s.body) {
		reason = describe(s.body[i]) + " where " + what + " should be"
	}
	return s.fail(&Fault{Code: CodeParse, Reason: reason, Offset: i})
}

// tooMuch records that a limit is passed at i.
func (s *scanner) tooMuch(i int, what string, limit int) int {
	reason := what + " " + strconv.Itoa(limit)
	return s.fail(&Fault{Code: CodeInvalid, Reason: reason, Offset: i, Max: limit})
}

func (s *scanner) fail(f *Fault) int {
	s.fault = f
	return stop
}

func describe(c byte) string {
	if c < ' ' || c > '~' {
		return fmt.Sprintf("byte 0x%02x", c)
	}
	return strconv.QuoteRune(rune(c))
}
