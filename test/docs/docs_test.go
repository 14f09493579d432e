// Package docs_test holds the repository's documentation to its word: links
// lead somewhere, and every decision is in the index.
package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

var (
	// link matches the target of an inline Markdown link, without its fragment.
	link = regexp.MustCompile(`\]\(([^)#\s]+)[^)]*\)`)
	// code matches what looks like a link to link but is Go: NewPromise[T](v).
	code = regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
)

// links returns the targets of the links in file that name another file.
func links(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var targets []string
	for _, m := range link.FindAllSubmatch(code.ReplaceAll(text, nil), -1) {
		if target := string(m[1]); !strings.Contains(target, ":") { // a URL leads out of the repository
			targets = append(targets, target)
		}
	}
	return targets
}

func TestLinks(t *testing.T) {
	found := 0
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata"):
			return filepath.SkipDir
		case filepath.Ext(file) != ".md":
			return nil
		}
		for _, target := range links(t, file) {
			found++
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), target)); err != nil {
				t.Errorf("%s links to %s, which is not there", file, target)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found == 0 {
		t.Error("no Markdown file has a link; the test looks in the wrong place")
	}
}

func TestDecisionsInIndex(t *testing.T) {
	adr := filepath.Join(root, "docs", "adr")
	listed := map[string]bool{}
	for _, target := range links(t, filepath.Join(adr, "README.md")) {
		listed[target] = true
	}
	files, err := filepath.Glob(filepath.Join(adr, "[0-9]*.md"))
	if err != nil || len(files) == 0 {
		t.Fatalf("found %d decisions, err = %v", len(files), err)
	}
	for _, file := range files {
		if !listed[filepath.Base(file)] {
			t.Errorf("docs/adr/README.md does not list %s", filepath.Base(file))
		}
	}
}
