package openrpc

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The bounds of a document that [Decode] takes.
const (
	MaxSize  = 4 << 20 // bytes
	MaxDepth = 64      // arrays and objects inside each other
	// MaxWork bounds the sum of all bytes, each times its depth: decoding a schema
	// reads it once for each level. It takes about a second.
	MaxWork = 32 << 20
)

// ErrInvalid is wrapped by what is wrong with a document.
var ErrInvalid = errors.New("openrpc: invalid document")

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrInvalid, fmt.Errorf(format, args...))
}

// Decode reads a document of version 1 of OpenRPC, follows its references other
// than those between schemas, and does [Document.Validate]. The document may
// come from a server that is not trusted: it is bounded by [MaxSize], [MaxDepth]
// and [MaxWork], names must not appear twice in an object, and references must lead
// to its own components. Members that this package does not know are passed
// over. Descriptors that are referred to are shared, so a document that was
// decoded can be much larger when it is written again.
func Decode(data []byte) (*Document, error) {
	if len(data) > MaxSize {
		return nil, invalid("it has %d bytes, more than %d", len(data), MaxSize)
	}
	if err := shallow(data); err != nil {
		return nil, err
	}
	d := new(Document)
	if err := json.Unmarshal(data, d); err != nil {
		return nil, invalid("%w", err)
	}
	if err := d.resolve(); err != nil {
		return nil, err
	}
	if err := d.Validate(); err != nil {
		return nil, err
	}
	return d, nil
}

// shallow says what is wrong with the nesting of a text, or that it is no JSON.
func shallow(data []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(data))
	work, last := 0, int64(0)
	for {
		_, err := d.ReadToken()
		depth := d.StackDepth()
		work += int(d.InputOffset()-last) * depth
		last = d.InputOffset()
		switch {
		case err != nil:
			return invalid("%w", err)
		case depth > MaxDepth:
			return invalid("it is nested deeper than %d", MaxDepth)
		case work > MaxWork:
			return invalid("it is too large for its depth")
		case depth == 0:
			return nil // json.Unmarshal judges what follows
		}
	}
}

// Append appends the document as JSON text. The same document gives the same
// text.
func (d *Document) Append(dst []byte) ([]byte, error) {
	b := bytes.NewBuffer(dst)
	err := json.MarshalWrite(b, d, json.Deterministic(true))
	return b.Bytes(), err
}
