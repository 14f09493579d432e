package docs_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// proof matches the name of a test in docs/proofs.md.
var proof = regexp.MustCompile("`([\\w/]+): (Test\\w*)(?:/([^`]+))?`")

// tested is what a package's test files declare: functions, and texts, which
// are the names of subtests among others.
type tested struct{ funcs, texts map[string]bool }

func testsOf(t *testing.T, dir string) tested {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("found %d test files of package %s, err = %v", len(files), dir, err)
	}
	found := tested{make(map[string]bool), make(map[string]bool)}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv == nil {
					found.funcs[n.Name.Name] = true
				}
			case *ast.BasicLit:
				if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
					found.texts[text] = true
				}
			}
			return true
		})
	}
	return found
}

// TestProofsExist demands that each test that docs/proofs.md names is there, and
// that no row of the batch table is missing.
func TestProofsExist(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "proofs.md"))
	if err != nil {
		t.Fatal(err)
	}
	packages := make(map[string]tested)
	names := proof.FindAllStringSubmatch(string(text), -1)
	for _, name := range names {
		dir, fn, sub := name[1], name[2], name[3]
		if _, read := packages[dir]; !read {
			packages[dir] = testsOf(t, dir)
		}
		if have := packages[dir]; !have.funcs[fn] || sub != "" && !have.texts[sub] {
			t.Errorf("docs/proofs.md names %s, which is not there", name[0])
		}
	}
	for row := 1; row <= 36; row++ {
		if !strings.Contains(string(text), fmt.Sprintf("| %d | ", row)) || !strings.Contains(string(text), fmt.Sprintf("/row %d: ", row)) {
			t.Errorf("docs/proofs.md has no proof of row %d", row)
		}
	}
	if len(names) < 36 {
		t.Errorf("docs/proofs.md names %d tests; the test looks for the wrong thing", len(names))
	}
}
