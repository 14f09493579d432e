package interop_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const ovirtDocs = "../docs/ovirt-facts.md"

// TestOVirtTable: the page of oVirt's facts says what the tests say, and the tests that
// it names are there. POLYPORT_UPDATE=1 writes it anew.
func TestOVirtTable(t *testing.T) {
	t.Parallel()
	for _, b := range ovirtChecklist() {
		switch {
		case b.run == nil && b.ours == "" && b.reason == "":
			t.Errorf("%s %s has neither a test nor a reason", b.of, b.name)
		case b.ours != "":
			if err := findTest(b.ours); err != nil {
				t.Errorf("%s %s: %v", b.of, b.name, err)
			}
		}
	}
	want := ovirtPage()
	if os.Getenv("POLYPORT_UPDATE") == "1" {
		if err := os.WriteFile(filepath.FromSlash(ovirtDocs), []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(filepath.FromSlash(ovirtDocs))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the tests say; write it anew with POLYPORT_UPDATE=1 go test -run TestOVirtTable", ovirtDocs)
	}
}

// findTest looks for "DIRECTORY TestName", whose row follows after a slash if it is one
// of oVirt's here.
func findTest(ours string) error {
	dir, name, _ := strings.Cut(ours, " ")
	name, row, rows := strings.Cut(name, "/")
	if rows {
		table, known := map[string][]ovirtCase{"TestOVirtFacts": ovirtFacts, "TestOVirtFeatures": ovirtFeatures}[name]
		if !known || !slices.ContainsFunc(table, func(c ovirtCase) bool { return c.name == row }) {
			return fmt.Errorf("%s has no row %q", name, row)
		}
		return nil
	}
	files, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(dir), "*_test.go"))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if strings.Contains(string(text), "\nfunc "+name+"(t *testing.T)") {
			return nil
		}
	}
	return fmt.Errorf("no test %s in %s", name, dir)
}

// ovirtPage is the text of the page.
func ovirtPage() string {
	var b strings.Builder
	b.WriteString(`# oVirt's contract, fact by fact

Programs of ours speak oVirt's contract as it was measured, with its faults: the engine's Java library
(` + "`interop/testdata/ovirt/engine.py`), vdsm's Python client (`agentclient.py`) and vdsm itself (`vdsm.py`)." + `
` + "`TestOVirtPrograms`" + ` holds them against each other, where they have to fail as the originals do. The tests below hold them
against a server and a client of polyport's. See [ovirt.md](ovirt.md) for how to use both.

This page is written by the tests: ` + "`POLYPORT_UPDATE=1 go test -run TestOVirtTable`" + ` in interop/.

## The facts that decide

Rows of ` + "`TestOVirtFacts`" + `. Besides, ` + "`TestOVirtGone`" + `: a vdsm that is gone without a word is noticed within 1.1 times the heart-beat.

| fact | outcome |
| --- | --- |
`)
	for _, c := range ovirtFacts {
		fmt.Fprintf(&b, "| %s | %s |\n", c.name, c.outcome)
	}
	b.WriteString("\n## The features\n\nRows of `TestOVirtFeatures`.\n\n| feature | outcome |\n| --- | --- |\n")
	for _, c := range ovirtFeatures {
		fmt.Fprintf(&b, "| %s | %s |\n", c.name, c.outcome)
	}
	b.WriteString("\n## What oVirt's own tests check\n\nWithout another name the test is the row of `TestOVirtChecklist`.\n\n| their test | behaviour | ours |\n| --- | --- | --- |\n")
	last := ""
	for _, c := range ovirtChecklist() {
		of, ours := c.of, "none"
		if of == last {
			of = ""
		}
		last = c.of
		switch {
		case c.run != nil:
			ours = "row"
		case c.ours != "":
			dir, name, _ := strings.Cut(c.ours, " ")
			ours = dir + ": `" + name + "`"
		}
		if c.reason != "" {
			ours += ". " + c.reason
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", of, c.name, ours)
	}
	return b.String()
}
