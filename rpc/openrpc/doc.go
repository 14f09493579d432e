// Package openrpc is the document that describes a JSON-RPC service: OpenRPC
// 1.4 (https://spec.open-rpc.org). [Decode] reads one, also from a server that
// is not trusted, [Document.Append] writes one, and [Method.Check] finds what is
// wrong with the params of a call.
//
// # What the document cannot say
//
// OpenRPC describes params one by one. A method that takes any number of values,
// any names, or whatever it is given has no such description, so there is an
// extension: the member "x-params" of a method is the JSON Schema of the params
// as a whole, an array or an object. Where it is there it is exact; the member
// "params" then says what can be said for those who do not know it.
package openrpc
