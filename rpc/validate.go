package rpc

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/polyport/polyport/rpc/openrpc/schema"
)

// validated returns h's invoke behind a check of the params against what
// [Mux.Document] says of them. The schemas are made here, once.
func (m *Mux) validated(h *method) invoke {
	var set schema.Set
	d := m.describe(h, &set)
	check, next := d.Checker(set.Definitions()), h.invoke
	return func(ctx context.Context, params, dst []byte) ([]byte, error) {
		if found := check.Check(params); found != nil {
			return dst, invalidAt(found)
		}
		return next(ctx, params, dst)
	}
}

// invalidAt is the error for params that are not as the document has them.
func invalidAt(found *schema.Mismatch) error {
	var data strings.Builder
	enc := json.NewEncoder(&data)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(found); err != nil {
		return invalidParams(found.String())
	}
	text := strings.TrimSpace(data.String())
	return &Error{Code: CodeInvalidParams, Message: "invalid params: " + found.String(), Data: json.RawMessage(text)}
}
