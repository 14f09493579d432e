// Package openrpctest holds OpenRPC documents against the official meta-schema
// of OpenRPC 1.4, in tests.
package openrpctest

import (
	_ "embed" // the meta-schemas
	"encoding/json"
	"fmt"
	"net/url"
	"sync"

	"github.com/google/jsonschema-go/jsonschema"
)

//go:embed testdata/openrpc-1.4.json
var openrpcMeta []byte

//go:embed testdata/json-schema.json
var schemaMeta []byte

const draft7 = "http://json-schema.org/draft-07/schema#"

var meta = sync.OnceValues(func() (*jsonschema.Resolved, error) {
	var document, schema jsonschema.Schema
	if err := json.Unmarshal(openrpcMeta, &document); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(schemaMeta, &schema); err != nil {
		return nil, err
	}
	// They name themselves as what they are written in, and are of draft 7.
	document.Schema, schema.Schema = draft7, draft7
	return document.Resolve(&jsonschema.ResolveOptions{
		BaseURI: "https://meta.open-rpc.org/",
		Loader: func(uri *url.URL) (*jsonschema.Schema, error) {
			if uri.Host != "meta.json-schema.tools" {
				return nil, fmt.Errorf("openrpctest: there is no schema at %s", uri)
			}
			return &schema, nil
		},
	})
})

// Validate returns what is wrong with a document by the meta-schema, or nil.
func Validate(document []byte) error {
	m, err := meta()
	if err != nil {
		return fmt.Errorf("openrpctest: the meta-schema: %w", err)
	}
	var v any
	if err := json.Unmarshal(document, &v); err != nil {
		return err
	}
	return m.Validate(v)
}
