// Package envelope reads and writes the outside of JSON-RPC 2.0 messages: it
// finds the id, the method and the raw params of a request without decoding
// them, and appends messages to byte slices. It knows no Go types, no handlers
// and no wire.
//
// # Reading
//
// [Scan] goes once over a body and cuts it into [Message] values whose fields
// alias it. Two things can be wrong with a body, and they are kept apart:
//
//   - The body as a whole cannot be used: it is not one JSON text, or it is an
//     empty batch, or it passes a limit. That is a [Fault], which is answered
//     with one error whose id is null. Nothing of such a body is executed,
//     because Scan checks all of it before it returns any of it.
//   - One message is not what JSON-RPC 2.0 says a message is. That is a
//     Message of the kind [Invalid] among the others, which is answered with
//     [CodeInvalid] and its id if it has one that can be echoed.
//
// # Which kind a message is
//
// What has a method is a [Request] or, without an id, a [Notification]; a null
// id is an id. What has no method but a result or an error is a [Response],
// even if it is malformed: its Reason says so then. A Response must never be
// answered, or two peers that misunderstand each other would answer each
// other's errors for ever. Everything else is [Invalid], also a body or an
// element of a batch that is no object; an Invalid message is answered even
// though it has no id, because nobody can know that it was meant as a
// notification.
//
// # Strictness
//
// Names of members are compared as RFC 8259 strings: exactly, in the case they
// have, after their escapes were resolved. A member of JSON-RPC that stands
// twice in a message makes it malformed, because two readers might disagree on
// which of them counts, and what checks a call may not be what executes it.
// Members with other names are ignored. The names and the strings of the
// envelope itself must be Unicode: UTF-8 without stray surrogates. Inside
// params, result, error and metadata the grammar is checked and the UTF-8 is
// not, since whatever decodes them does that anyway.
//
// An id is a string, a number or null. It is kept as it was written, so that
// 9007199254740993, 1.0 and "\u0031" all come back to their sender byte for
// byte.
//
// # Limits
//
// [Limits] bounds how deep a text is nested, how many elements a batch has and
// how long an id is. The scan does not recurse; what it remembers of the
// nesting is one bit a level. So a hostile body costs time in proportion to
// its size, and no memory in proportion to it.
//
// # Writing
//
// The Append functions work as those of package strconv do: they append to a
// slice, which the caller keeps and uses again, and return it. A message can
// be appended in one piece or in parts, which spares a copy of params or a
// result that the caller encodes in place:
//
//	dst = envelope.AppendRequestHead(dst, id, "Math.Sum")
//	dst = codec.Append(dst, params)
//	dst = envelope.AppendTail(dst)
//
// Raw values that are passed in are not checked. A batch is written by the
// caller: a bracket, the messages with commas between them, a bracket.
package envelope
