// Package schema says in JSON Schema what JSON a Go type takes and gives, and
// where a JSON value is not what a schema says.
//
// The schemas are those of github.com/google/jsonschema-go, of draft 7, which
// OpenRPC asks for. They are made here and not by that package's For because
// they have to say what the codec of package rpc does: bytes are text, types
// that decode themselves from text are text, the names of fields are matched
// exactly, and a type may contain itself.
//
// # What JSON Schema cannot say
//
// A value that fits the schema of [Params] is taken by the decoder, with these
// exceptions:
//
//   - a whole number written with a fraction or an exponent (1.0, 1e3): the
//     schema takes it, the decoder does not, nor does a [Checker];
//   - an integer that does not fit into 64 bits, which the format says (int64,
//     uint64) and a [Checker] checks, because a float64 cannot hold the bounds;
//   - a number beyond the range of float64, and a key of a map beyond the range
//     of the integer that it becomes;
//   - an object with a name twice, or text that is not valid UTF-8;
//   - text with a syntax of its own: a time, base64, an address. The schema says
//     string with a format at most;
//   - a type with its own UnmarshalJSON, and a field with options of the codec
//     other than omitempty and omitzero: the schema takes anything.
//
// The other way round, the decoder takes null for the zero value of every type,
// and the schema only where Go has a nil that means "none": for pointers and for
// values that can be anything.
package schema
