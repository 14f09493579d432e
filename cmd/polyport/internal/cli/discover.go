package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/rpc/openrpc"
)

type discover struct {
	common

	URL target `arg:"" help:"SCHEME://[USER:PASSWORD@]HOST:PORT[/DESTINATION]"`
}

// Help is shown by discover --help.
func (*discover) Help() string {
	return `The document is OpenRPC, as the method rpc.discover returns it. One that is malformed is not printed; to
see it all the same: polyport call URL rpc.discover

Example:

    polyport discover stomp://127.0.0.1:7070`
}

func (v *discover) run(ctx context.Context, e *environment) error {
	ctx, cancel := v.bound(ctx)
	defer cancel()
	text, _, err := v.fetch(ctx, v.URL)
	if err != nil {
		return err
	}
	if v.JSON {
		return printJSON(e, text)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, text, "", "  "); err != nil {
		return err
	}
	out.WriteByte('\n')
	_, err = e.stdout.Write(out.Bytes())
	return err
}

// fetch dials to and returns the document of the server there.
func (c *common) fetch(ctx context.Context, to target) (json.RawMessage, *openrpc.Document, error) {
	client, err := c.dial(ctx, to, nil)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = client.Close() }()
	text, d, err := describe(ctx, client)
	return text, d, callError(err, to)
}

// describe returns the document of the server that c is connected to. Its error
// is one of the call, or says what is wrong with the document.
func describe(ctx context.Context, c *rpc.Client) (json.RawMessage, *openrpc.Document, error) {
	text, err := rpc.Call[json.RawMessage](ctx, c, "rpc.discover", nil)
	if err != nil {
		return nil, nil, err
	}
	d, err := openrpc.Decode(text)
	if err != nil {
		return nil, nil, documentError{fmt.Errorf("the server's document cannot be used: %w", err)}
	}
	return text, d, nil
}

// A documentError is about a document that came.
type documentError struct{ error }

func (e documentError) Unwrap() error { return e.error }
