package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// quoted matches a block of code that says which file it is.
var quoted = regexp.MustCompile("(?s)<!-- file: (\\S+) -->\n```\\w+\n(.*?)```")

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestReadmeQuotes demands that code in the README is that of the compiled and
// tested file it names, from its func main or its first import on.
func TestReadmeQuotes(t *testing.T) {
	blocks := quoted.FindAllStringSubmatch(readme(t), -1)
	if len(blocks) == 0 {
		t.Fatal("README.md quotes no file")
	}
	for _, b := range blocks {
		text, err := os.ReadFile(filepath.Join(root, b[1]))
		if err != nil {
			t.Error(err)
			continue
		}
		if !strings.HasSuffix(string(text), b[2]) || strings.TrimSpace(b[2]) == "" {
			t.Errorf("README.md quotes %s, but the file does not end in the code quoted", b[1])
		}
	}
}

// TestReadmeLength keeps the first page one.
func TestReadmeLength(t *testing.T) {
	const most = 180
	if n := strings.Count(readme(t), "\n"); n > most {
		t.Errorf("README.md has %d lines, at most %d are read", n, most)
	}
}
