package openrpc

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The bounds of a document that [Decode] takes. Schemas are decoded once for
// each level that they are nested, so that the two together bound the time.
const (
	MaxSize  = 4 << 20 // bytes
	MaxDepth = 64      // arrays and objects inside each other
)

// ErrInvalid is wrapped by what is wrong with a document.
var ErrInvalid = errors.New("openrpc: invalid document")

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrInvalid, fmt.Errorf(format, args...))
}

// Decode reads a document of version 1 of OpenRPC, follows its references other
// than those between schemas, and does [Document.Validate]. The document may
// come from a server that is not trusted: it is bounded by [MaxSize] and
// [MaxDepth], names must not appear twice in an object, and references must lead
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
	for {
		_, err := d.ReadToken()
		switch depth := d.StackDepth(); {
		case err != nil:
			return invalid("%w", err)
		case depth > MaxDepth:
			return invalid("it is nested deeper than %d", MaxDepth)
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
