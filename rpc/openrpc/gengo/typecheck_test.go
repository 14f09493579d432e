package gengo_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/polyport/polyport/rpc/openrpc/gengo"
)

// stubs are what generated files import, as far as they use it.
var stubs = map[string]string{
	"context":       `package context; type Context interface{ Done() <-chan struct{} }`,
	"time":          `package time; type Time struct{}; func (Time) IsZero() bool { return true }`,
	"encoding/json": `package json; type RawMessage []byte`,
	"github.com/polyport/polyport/rpc": `package rpc; import "context"; type Client struct{}
func (*Client) Notify(ctx context.Context, method string, params any) error { return nil }
func (*Client) Call(ctx context.Context, method string, params, result any) error { return nil }
func Call[R any](ctx context.Context, c *Client, method string, params any) (r R, err error) { return }`,
}

type stubImporter struct {
	mu   sync.Mutex
	made map[string]*types.Package
}

func (i *stubImporter) Import(path string) (*types.Package, error) {
	if p := i.made[path]; p != nil {
		return p, nil
	}
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path+".go", stubs[path], 0)
	if err != nil {
		return nil, err
	}
	p, err := (&types.Config{Importer: i}).Check(path, fset, []*ast.File{f}, nil)
	if err == nil {
		i.made[path] = p
	}
	return p, err
}

var importer = &stubImporter{made: map[string]*types.Package{}}

// compiles fails unless source is Go that compiles.
func compiles(tb testing.TB, source []byte) {
	tb.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "client.go", source, parser.SkipObjectResolution)
	if err != nil {
		tb.Fatal(err)
	}
	importer.mu.Lock()
	defer importer.mu.Unlock()
	if _, err := (&types.Config{Importer: importer}).Check("client", fset, []*ast.File{f}, nil); err != nil {
		tb.Fatalf("%v in\n%s", err, source)
	}
}

// The tag of a field says the name that the member has, whatever that is.
func TestTags(t *testing.T) {
	for _, name := range []string{
		"a", "a b", "", "-", "it's", `"`, `\`, "`", "a,omitempty", ",", "é", "\u2028", "\x00", "\n", "a'b\"c`d\\e", "'", "''", "\ufeff", "😀", "-a", "a.b", "a:b", "string",
	} {
		text, err := json.Marshal(name)
		if err != nil {
			t.Fatal(err)
		}
		d := document(`{"name":"m","params":[],"result":{"name":"r","schema":{"type":"object","required":[`+string(text)+`],"properties":{`+string(text)+`:{"type":"boolean"}}}}}`, "")
		source, err := gengo.Generate(decode(t, d), nil)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		ast.Inspect(parse(t, source), func(n ast.Node) bool {
			f, ok := n.(*ast.Field)
			if !ok || f.Tag == nil {
				return true
			}
			tag, err := strconv.Unquote(f.Tag.Value)
			if err != nil {
				t.Fatal(err)
			}
			v := reflect.New(reflect.StructOf([]reflect.StructField{{Name: "X", Type: reflect.TypeFor[bool](), Tag: reflect.StructTag(tag)}}))
			got, err := json.Marshal(v.Interface())
			if want := "{" + string(text) + ":false}"; err != nil || strings.ReplaceAll(string(got), " ", "") != strings.ReplaceAll(want, " ", "") {
				t.Errorf("the tag of %q is %s, which writes %s, %v", name, tag, got, err)
			}
			found = true
			return true
		})
		if impossible := name == "" || strings.ContainsAny(name, "\"`',\\"); found == impossible {
			t.Errorf("%q became a field: %t", name, found)
		}
	}
}
