package main

import (
	"github.com/goccy/go-json/v2"

	"github.com/polyport/polyport/rpc"
)

// goccyCodec is an rpc.Codec that compiles a decoder and an encoder for each
// type. It answers as rpc.JSON does; codec_test.go holds both to that.
type goccyCodec struct{}

var _ rpc.Codec = goccyCodec{}

// Append appends the JSON text of v.
func (goccyCodec) Append(dst []byte, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	return append(dst, text...), err
}

// Decode decodes data into what v points to.
func (goccyCodec) Decode(data []byte, v any) error { return json.Unmarshal(data, v) }

// DecodeStrict refuses members that v has no field for.
func (goccyCodec) DecodeStrict(data []byte, v any) error {
	return json.Unmarshal(data, v, json.RejectUnknownMembers(true))
}
