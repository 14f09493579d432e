// Package gengo writes Go clients from OpenRPC documents.
//
// A client is a struct around an [rpc.Client] with a Go method for each method
// of the document. Params by name are a struct, params by position arguments;
// schemas with members are structs, references between schemas types with names.
// A member that may be left out is left out when it is zero; one that may be null
// is a pointer. What has no simple Go type is json.RawMessage.
//
// The document may come from a server that is not trusted. Its texts end up in
// comments and quoted strings only, its names in identifiers made of their letters
// and digits. The same document gives the same text.
//
// [rpc.Client]: https://pkg.go.dev/github.com/polyport/polyport/rpc#Client
package gengo
