package handles

import (
	"bytes"
	"crypto/sha256"

	"github.com/go-json-experiment/json/jsontext"
)

// A Call tells calls apart, so that a handle is not used for two.
type Call struct {
	digest [sha256.Size]byte
	// bare is a call without params, or with empty ones: such a call is taken
	// for a question after whatever has the handle.
	bare bool
}

// CallOf returns the Call of a method with params, a JSON text or nil. White
// space, the order of members and the spelling of strings and numbers make no
// difference, unless a name stands twice in an object: then every byte counts.
func CallOf(method, params []byte) Call {
	canonical := jsontext.Value(bytes.Clone(params))
	if err := canonical.Format(
		jsontext.AllowInvalidUTF8(true), jsontext.PreserveRawStrings(false),
		jsontext.CanonicalizeRawFloats(true), jsontext.ReorderRawObjects(true),
	); err != nil {
		canonical = params
	}
	h := sha256.New()
	_, _ = h.Write(method)
	_, _ = h.Write([]byte{0}) // begins no JSON text
	_, _ = h.Write(canonical)
	c := Call{bare: len(params) == 0 || string(canonical) == "[]" || string(canonical) == "{}"}
	h.Sum(c.digest[:0])
	return c
}

// answers reports whether a call c may be answered with what the call other
// comes to.
func (c Call) answers(other Call) bool { return c.digest == other.digest || c.bare }
