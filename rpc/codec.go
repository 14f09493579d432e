package rpc

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A Codec encodes and decodes params and results, but not the messages around
// them. It is safe for concurrent use.
type Codec interface {
	// Append appends the JSON text of v to dst and returns it. On an error what
	// was appended is thrown away.
	Append(dst []byte, v any) ([]byte, error)
	// Decode decodes one JSON text into what v points to. It must refuse what
	// is not valid JSON in valid UTF-8. It must not keep data, nor let v refer
	// to it.
	Decode(data []byte, v any) error
	// DecodeStrict is Decode, but refuses members that v has no field for.
	DecodeStrict(data []byte, v any) error
}

// JSON returns the Codec that is used when none is given. It has the semantics
// of encoding/json/v2: names match exactly, duplicate names and invalid UTF-8
// are errors.
func JSON() Codec { return jsonCodec{} }

type jsonCodec struct{}

var strict = json.RejectUnknownMembers(true)

var errNotJSON = errors.New("rpc: raw value is not valid JSON")

func (jsonCodec) Append(dst []byte, v any) ([]byte, error) {
	switch raw := v.(type) {
	case stdjson.RawMessage:
		return appendRaw(dst, raw)
	case *stdjson.RawMessage:
		return appendRaw(dst, *raw)
	}
	if dst, ok := appendPlain(dst, v); ok {
		return dst, nil
	}
	b := writers.Get().(*bytes.Buffer)
	*b = *bytes.NewBuffer(dst)
	err := json.MarshalWrite(b, v)
	dst = b.Bytes()
	*b = bytes.Buffer{}
	writers.Put(b)
	return dst, err
}

func appendRaw(dst []byte, raw stdjson.RawMessage) ([]byte, error) {
	if len(raw) == 0 {
		return append(dst, "null"...), nil
	}
	if !jsontext.Value(raw).IsValid() {
		return dst, errNotJSON
	}
	return append(dst, raw...), nil
}

func (jsonCodec) Decode(data []byte, v any) error {
	if raw, ok := v.(*stdjson.RawMessage); ok {
		return decodeRaw(data, raw)
	}
	if decodePlain(data, v) {
		return nil
	}
	return json.Unmarshal(data, v)
}

func (jsonCodec) DecodeStrict(data []byte, v any) error {
	if raw, ok := v.(*stdjson.RawMessage); ok {
		return decodeRaw(data, raw)
	}
	if decodePlain(data, v) {
		return nil
	}
	return json.Unmarshal(data, v, strict)
}

func decodeRaw(data []byte, raw *stdjson.RawMessage) error {
	if !jsontext.Value(data).IsValid() {
		return errNotJSON
	}
	*raw = append((*raw)[:0], data...)
	return nil
}

var writers = sync.Pool{New: func() any { return new(bytes.Buffer) }}
