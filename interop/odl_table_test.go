package interop_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// An odlRow is a line of docs/opendaylight-facts.md: something that OpenDaylight's
// bus does, and what becomes of it here.
type odlRow struct {
	name string // of the test below that of the table
	fact string // what they do
	here string // what polyport does about it, or why nothing
	run  func(t *testing.T, f *odlField)
	// elsewhere are the tests that show it in other packages, "rpc.TestName", with
	// the directory as they are named in the repository.
	elsewhere []string
}

// odlTables are the tables of the page, by the tests that run their rows.
var odlTables = []struct {
	test, title, intro string
	rows               []odlRow
}{
	{"TestODLFacts", "Ten facts", "What matters most about OpenDaylight's bus, and what a polyport server or client makes of it.", odlFacts},
	{"TestODLSwitches", "Switches", "What the profile `odl` changes, beside what happens without it.", odlSwitches},
	{"TestODLAsync", "The asynchronous extension", "Its historic clients and servers, and the faults of the first implementation ([docs/async.md](async.md)) where such a peer shows them.", odlAsync},
	{"TestODLChecklist", "What OpenDaylight tests itself", "The behaviours that its own tests are about, and those that they leave out.", odlChecklist},
}

const odlPage = "../docs/opendaylight-facts.md"

// odlPageHead is what the page begins with.
const odlPageHead = `# OpenDaylight, fact by fact

These tables are made of the rows of the tests in ` + "`interop`" + `, and checked by ` + "`TestODLPage`" + ` there; ` + "`POLYPORT_UPDATE=1`" + ` writes them anew. The programs that stand
for OpenDaylight, in ` + "`interop/testdata/odl`" + `, do on the wire what its bus and its Python counterpart do, faults included, and are themselves held to that by
` + "`TestODLPrograms`" + `. How the batches of the specification fare is in ` + "`TestODLBatch`" + `.
`

// TestODLPage holds the page to the rows.
func TestODLPage(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(odlPageHead)
	for _, table := range odlTables {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| | OpenDaylight | polyport | test |\n| --- | --- | --- | --- |\n", table.title, table.intro)
		for _, r := range table.rows {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.name, r.fact, r.here, r.test(table.test))
		}
	}
	if os.Getenv("POLYPORT_UPDATE") == "1" {
		if err := os.WriteFile(filepath.FromSlash(odlPage), []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(filepath.FromSlash(odlPage))
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != b.String() {
		t.Errorf("%s is not what the rows are; write it anew with POLYPORT_UPDATE=1", odlPage)
	}
}

// test names the tests that show a row.
func (r odlRow) test(table string) string {
	var all []string
	if r.run != nil {
		all = append(all, fmt.Sprintf("`interop.%s/%s`", table, strings.ReplaceAll(r.name, " ", "_")))
	}
	for _, e := range r.elsewhere {
		all = append(all, "`"+e+"`")
	}
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}

// testODLRows runs those of a table.
func testODLRows(t *testing.T, rows []odlRow) {
	f := newODLField(t)
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			for _, e := range r.elsewhere {
				exists(t, e)
			}
			switch {
			case r.run != nil:
				f.in(t, r.run)
			case len(r.elsewhere) == 0 && !strings.HasPrefix(r.here, "Not here: "):
				t.Error("the row has no test, and does not say why")
			}
		})
	}
}

// exists checks that there is a test elsewhere, "transport/zmq.TestName".
func exists(t *testing.T, name string) {
	t.Helper()
	dot := strings.LastIndexByte(name, '.')
	files, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(name[:dot]), "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`(?m)^func ` + regexp.QuoteMeta(name[dot+1:]) + `\(`)
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if declared.Match(text) {
			return
		}
	}
	t.Errorf("there is no %s", name)
}
