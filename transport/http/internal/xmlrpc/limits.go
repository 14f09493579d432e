package xmlrpc

import (
	"cmp"
	"fmt"
	"strings"
)

// Limits bound what is read and written. Zero fields mean the defaults.
type Limits struct {
	// Depth is how many values may be open at once, arrays and structs in each
	// other. Zero means 500, half of what JSON-RPC may have here.
	Depth int
	// Values is how many values a document may have in all. Zero means 1,048,576.
	Values int
	// Bytes is how long a document may be that is read. Zero means 4 MiB.
	Bytes int
}

func (l Limits) withDefaults() Limits {
	return Limits{Depth: cmp.Or(l.Depth, 500), Values: cmp.Or(l.Values, 1<<20), Bytes: cmp.Or(l.Bytes, 4<<20)}
}

// Bounds that nobody needs to change.
const (
	maxTag    = 1 << 10 // bytes of a tag, with attributes such as xmlns:ex
	maxScalar = 1 << 10 // bytes of a number or a time
	maxReason = 200     // bytes of the reason of an error, which may quote a document
)

// An Error says why something cannot be translated.
type Error struct {
	// Code is the one for it in JSON-RPC, which has it from XML-RPC's
	// "Specification for Fault Code Interoperability".
	Code int
	// Message is a sentence for a person.
	Message string
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// The codes of errors.
const (
	CodeParse    = -32700 // it is not XML
	CodeCharset  = -32701 // it is in a character set that is not understood
	CodeInvalid  = -32600 // it is not XML-RPC, or over a limit
	CodeParams   = -32602 // a value has no place in JSON
	CodeInternal = -32603 // a value has no place in XML-RPC
	codeOther    = -32000 // a code that the other side cannot have
)

func errorf(code int, format string, args ...any) *Error {
	return &Error{Code: code, Message: brief(fmt.Sprintf(format, args...))}
}

// brief cuts a text that may quote a document.
func brief(s string) string {
	if len(s) <= maxReason {
		return s
	}
	return strings.ToValidUTF8(s[:maxReason], "") + "…"
}
