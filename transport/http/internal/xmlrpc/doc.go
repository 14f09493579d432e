// Package xmlrpc translates between documents of XML-RPC and messages of JSON-RPC
// 2.0, for both ends of a call:
//
//	server: a methodCall → [ReadCall] → a request …… its answer → [Call.Answer] → a methodResponse
//	client: a request → [NewQuestion] → a methodCall …… a methodResponse → [Question.Answer] → the answer
//
// A system.multicall is a batch, and a batch a system.multicall. What XML-RPC has
// no words for is left out (notifications are calls whose answer is dropped) or is
// an [Error] that says so.
//
// # Values
//
//	of XML-RPC                becomes
//	i4, int, i8, …            a whole number
//	double                    a number with a point
//	boolean                   true, false
//	string, or no type        a string
//	dateTime.iso8601          a string as in RFC 3339
//	base64                    a string of base64
//	struct, array             an object, an array
//	nil                       null
//
//	of JSON                   becomes
//	a whole number            int, or i8 if it has more than 32 bits
//	one of more than 64 bits  double, if that holds it exactly
//	any other number          double
//	{"$dateTime": RFC 3339}   dateTime.iso8601, in UTC
//	{"$base64": base64}       base64
//	all others                what is above in their row
//
// A time without a zone is taken for UTC. An object is a time or bytes if the
// tag is its only member and a string. Characters that XML has not, control
// characters above all, and numbers that a double has not are errors, never
// replaced; in the text of a fault they are.
//
// # Params
//
// Params are by position. A param that is alone, and a struct with the only member
// $params, a struct, holds params by name; a request with params by name becomes a
// call with one param, a struct without that wrapping, as servers of XML-RPC expect
// it. A call without params is a request without, too.
//
// # Hostile documents
//
// Documents are read token by token by encoding/xml, along the grammar of XML-RPC:
// an element that it does not have ends the reading. There is no tree of the
// document, and what is made of it is at most twice as long. Document types,
// processing instructions and entities of the document's own are refused, and
// [Limits] bound the rest.
package xmlrpc
