package gengo_test

import (
	"bytes"
	"errors"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/polyport/polyport/rpc/openrpc"
	"github.com/polyport/polyport/rpc/openrpc/gengo"
)

var update = flag.Bool("update", false, "write the golden files anew")

func decode(tb testing.TB, text string) *openrpc.Document {
	tb.Helper()
	d, err := openrpc.Decode([]byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// parse fails unless source is Go.
func parse(tb testing.TB, source []byte) *ast.File {
	tb.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "client.go", source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		tb.Fatalf("%v in\n%s", err, source)
	}
	return f
}

func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no documents: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := gengo.Generate(decode(t, string(text)), &gengo.Options{Package: "calc"})
			if err != nil {
				t.Fatal(err)
			}
			compiles(t, got)
			golden := strings.TrimSuffix(file, ".json") + ".go.golden"
			if *update {
				if err := os.WriteFile(golden, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s differs (go test -update writes it anew); got\n%s", golden, got)
			}
			again, err := gengo.Generate(decode(t, string(text)), &gengo.Options{Package: "calc"})
			if err != nil || !bytes.Equal(again, got) {
				t.Errorf("the second text differs, %v", err)
			}
		})
	}
}

func document(methods, schemas string) string {
	return `{"openrpc":"1.4.1","info":{"title":"a","version":"1"},"methods":[` + methods + `],"components":{"schemas":{` + schemas + `}}}`
}

// Texts of a document cannot leave the comments and strings that they are in.
func TestHostileTexts(t *testing.T) {
	for _, text := range []string{
		`a\nfunc init() { panic(1) }`, `*/ func init() {} /*`, `\r\nfunc init() {}`, `\u2028func init() {}`, `\u2029func init() {}`, `\u0000`, `\ufeff`,
		"go:build ignore", `\n+build ignore`, `\ngo:generate rm -rf`, `\u0085x`, `\u202efunc`, "`\\\"'\\\\", `\n//go:linkname a b`, ``, `\ud83d\ude00`, `-`, `,`,
	} {
		name := text + "x"
		m := `{"name":"` + name + `","summary":"` + text + `","description":"` + text + `","params":[` +
			`{"name":"` + name + `","description":"` + text + `","schema":{"type":"object","title":"` + text + `","properties":{"` + text + `":{"description":"` + text + `"},"type":true}}},` +
			`{"name":"` + name + `2","schema":{"type":"string"}}],"result":{"name":"r","schema":{"$ref":"#/components/schemas/` + text + `S"}}}`
		for _, structure := range []string{"by-position", "by-name"} {
			d := `{"openrpc":"1.4.1","info":{"title":"` + name + `","version":"` + name + `"},"methods":[` +
				strings.Replace(m, `"params"`, `"paramStructure":"`+structure+`","params"`, 1) + `],"components":{"schemas":{"` + text + `S":{"type":"object","properties":{"` + name + `":{"type":"string"}}}}}}`
			got, err := gengo.Generate(decode(t, d), nil)
			if err != nil {
				t.Errorf("%s: %v", d, err)
				continue
			}
			harmless(t, got)
		}
	}
}

// harmless fails if there is more in a generated file than there should be.
func harmless(tb testing.TB, source []byte) {
	tb.Helper()
	compiles(tb, source)
	f := parse(tb, source)
	for _, decl := range f.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name != "NewClient" {
				tb.Fatalf("there is a function %s in\n%s", d.Name.Name, source)
			}
		case *ast.GenDecl:
			if d.Tok != token.IMPORT && d.Tok != token.TYPE {
				tb.Fatalf("there is a %s in\n%s", d.Tok, source)
			}
		}
	}
	if len(f.Imports) > 4 {
		tb.Fatalf("there are %d imports in\n%s", len(f.Imports), source)
	}
	for _, group := range f.Comments {
		for _, c := range group.List {
			if !strings.HasPrefix(c.Text, "// ") && !strings.HasPrefix(c.Text, "//\t") && c.Text != "//" {
				tb.Fatalf("there is a comment %q in\n%s", c.Text, source)
			}
		}
	}
}

func TestRefuses(t *testing.T) {
	if _, err := gengo.Generate(&openrpc.Document{}, nil); !errors.Is(err, openrpc.ErrInvalid) {
		t.Errorf("Generate of nothing = %v, want ErrInvalid", err)
	}
	for _, name := range []string{"a b", "func", "1a", "_", "a-b", "a\n"} {
		if _, err := gengo.Generate(decode(t, document("", "")), &gengo.Options{Package: name}); err == nil {
			t.Errorf("Generate for package %q = nil, want an error", name)
		}
	}
	// A small document in which all methods refer to one large descriptor.
	var d strings.Builder
	d.WriteString(`{"openrpc":"1.4.1","info":{"title":"a","version":"1"},"components":{"contentDescriptors":{"C":{"name":"c","schema":{"type":"object","properties":{`)
	for i := range 1000 {
		if i > 0 {
			d.WriteString(",")
		}
		d.WriteString(`"p` + strings.Repeat("x", i) + `":{"type":"string"}`)
	}
	d.WriteString(`}}}}},"methods":[`)
	for i := range 10_000 {
		if i > 0 {
			d.WriteString(",")
		}
		d.WriteString(`{"name":"m` + strings.Repeat("y", i%50) + string(rune(0x4e00+i)) + `","params":[{"$ref":"#/components/contentDescriptors/C"}]}`)
	}
	d.WriteString(`]}`)
	if _, err := gengo.Generate(decode(t, d.String()), nil); !errors.Is(err, gengo.ErrTooLarge) {
		t.Errorf("Generate of what multiplies = %v, want ErrTooLarge", err)
	}
}

func FuzzGenerate(f *testing.F) {
	for _, seed := range []string{
		document(`{"name":"a.b","description":"x\ny","params":[{"name":"a-b","required":true,"schema":{"type":"object","properties":{"c d":{"type":["integer","null"]}}}}],"result":{"name":"r","schema":{"$ref":"#/components/schemas/T"}}}`,
			`"T":{"type":"object","properties":{"t":{"$ref":"#/components/schemas/T"},"l":{"type":"array","items":{"$ref":"#/components/schemas/L"}}}},"L":{"type":"array","items":{"$ref":"#/components/schemas/L"}}`),
		document(`{"name":"func","paramStructure":"by-position","params":[{"name":"type","required":true,"schema":{"type":"string","format":"date-time"}},{"name":"x","schema":{"anyOf":[{"type":"null"},{"type":"boolean"}]}}]}`, ""),
		document(`{"name":"m","params":[],"x-params":{"type":"object","additionalProperties":{"type":"string","contentEncoding":"base64"}},"result":{"name":"r","schema":{"type":"null"}}}`, ""),
	} {
		f.Add([]byte(seed))
	}
	f.Add([]byte(document(`{"name":"m","params":[{"name":"a","schema":{"$ref":"#/components/schemas/A"}}]}`, `"A":{"$ref":"#/components/schemas/B"},"B":{"$ref":"#/components/schemas/A"}`)))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := openrpc.Decode(text)
		if err != nil {
			return
		}
		got, err := gengo.Generate(d, nil)
		if err != nil {
			if !errors.Is(err, gengo.ErrTooLarge) {
				t.Fatalf("Generate = %v of %s", err, text)
			}
			return
		}
		harmless(t, got)
	})
}
