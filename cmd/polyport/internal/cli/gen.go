package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/polyport/polyport/rpc/openrpc"
	"github.com/polyport/polyport/rpc/openrpc/gengo"
)

type gen struct {
	common

	Language string `arg:"" enum:"go" help:"go"`
	Source   string `arg:"" name:"url|file" help:"A server, or a file with its OpenRPC document; - for standard input."`

	Package string `default:"client" help:"The name of the package."`
	Out     string `placeholder:"FILE" help:"Write there instead of to standard output."`
}

// Help is shown by gen --help.
func (*gen) Help() string {
	return `The client is one Go file that needs only github.com/polyport/polyport/rpc: a method for each of the service, with
types for its params and results.

Example:

    polyport gen go stomp://127.0.0.1:7070 --package calc --out calc/calc.go`
}

func (v *gen) run(ctx context.Context, e *environment) error {
	d, err := v.document(ctx, e)
	if err != nil {
		return err
	}
	source, err := gengo.Generate(d, &gengo.Options{Package: v.Package})
	if err != nil {
		return usageError{err}
	}
	if v.Out == "" {
		_, err = e.stdout.Write(source)
		return err
	}
	return os.WriteFile(v.Out, source, 0o644) //nolint:gosec // source is for everybody
}

// document reads the document from where it is.
func (v *gen) document(ctx context.Context, e *environment) (*openrpc.Document, error) {
	if strings.Contains(v.Source, "://") {
		var to target
		if err := to.UnmarshalText([]byte(v.Source)); err != nil {
			return nil, usageError{err}
		}
		ctx, cancel := v.bound(ctx)
		defer cancel()
		_, d, err := v.fetch(ctx, to)
		return d, err
	}
	text, err := readSource(e, v.Source)
	if err != nil {
		return nil, usageError{err}
	}
	d, err := openrpc.Decode(text)
	if err != nil {
		return nil, usagef("%s: %w", v.Source, err)
	}
	return d, nil
}

// readSource reads a file no further than a document may go.
func readSource(e *environment, name string) ([]byte, error) {
	from := e.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		from = f
	}
	text, err := io.ReadAll(io.LimitReader(from, openrpc.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return text, nil
}
