package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/rpc/openrpc"
)

// explainWithin bounds how long an explanation is waited for: the answer is
// there already.
const explainWithin = 2 * time.Second

// wrongParams reports an answer that params are invalid, then asks the server
// for its document and says to the person what the method takes. It returns err
// if there is nothing more to be said of it.
func (v *call) wrongParams(ctx context.Context, e *environment, c *rpc.Client, err error) error {
	answer, ok := err.(*rpc.Error) //nolint:errorlint // what Call returns is not wrapped
	if !ok || answer.Code != rpc.CodeInvalidParams || v.JSON {
		return err
	}
	writeJSON(e.stderr, errorObject(answer))
	ctx, cancel := context.WithTimeout(ctx, explainWithin)
	defer cancel()
	_, d, err := describe(ctx, c)
	if err != nil {
		return errReported // it was about the answer, which has been told
	}
	m := d.Method(v.Method)
	if m == nil {
		return errReported
	}
	var params []byte
	if v.Params != "" {
		params = []byte(strings.TrimSpace(v.Params))
	}
	who := "polyport call"
	if found := m.Checker(d.Schemas()).Check(params); found != nil {
		path := found.Path
		if path == "" {
			path = "params"
		}
		fmt.Fprintf(e.stderr, "%s: %s: expected %s, got %s\n", who, visible(path), visible(found.Expected), visible(found.Got))
	} else {
		fmt.Fprintf(e.stderr, "%s: the params are as the server's document has them, yet it refuses them\n", who)
	}
	fmt.Fprintf(e.stderr, "    %s takes %s\n", visible(m.Name), visible(signature(m)))
	if len(m.Examples) > 0 {
		if example := m.Examples[0].Call(); len(example) > 0 && len(example) < 200 {
			fmt.Fprintf(e.stderr, "    for example: %s\n", visible(string(example)))
		}
	}
	return errReported
}

// signature says what a method takes.
func signature(m *openrpc.Method) string {
	switch {
	case len(m.Params) == 0 && m.ParamsSchema == nil:
		return "no params"
	case len(m.Params) == 0:
		return compact(m.ParamsSchema)
	}
	parts := make([]string, 0, len(m.Params))
	for _, p := range m.Params[:min(len(m.Params), 16)] {
		part := fmt.Sprintf("%s: %s", p.Name, compact(p.Schema))
		if !p.Required {
			part += " (optional)"
		}
		if about := p.Description; about != "" {
			part += ", " + about
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "; ")
}

func compact(schema any) string {
	text, err := json.Marshal(schema)
	if err != nil {
		return "?"
	}
	if string(text) == "true" {
		return "anything"
	}
	return string(text)
}

// visible returns a stranger's text as it can be shown in one line of a
// terminal.
func visible(text string) string {
	if runes := []rune(text); len(runes) > 500 {
		text = string(runes[:500]) + "…"
	}
	return strings.Map(func(r rune) rune {
		if r == ' ' || unicode.IsGraphic(r) && !unicode.IsSpace(r) {
			return r
		}
		return '\uFFFD'
	}, text)
}
