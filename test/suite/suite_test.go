package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	main "github.com/polyport/polyport/test/suite"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// account returns what an account prints for the given events, one a line.
func account(t *testing.T, events string) string {
	t.Helper()
	var out strings.Builder
	a := main.NewAccount(&out)
	if err := a.Read(strings.NewReader(events)); err != nil {
		t.Fatalf("Read: %v", err)
	}
	a.Print(1500 * time.Millisecond)
	return out.String()
}

func TestAccount(t *testing.T) {
	tests := []struct {
		name, events, want string
	}{
		{"a package that passes shows its result only", `
{"Action":"start","Package":"p"}
{"Action":"output","Package":"p","Output":"noise of TestMain\n"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"noise\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- PASS: TestA (0.00s)\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}
{"Action":"pass","Package":"p"}`, `
ok  	p	0.1s

1 tests passed, 0 skipped, 0 failed in 1 packages (1.5s)
`},
		{"a package without tests", `
{"Action":"output","Package":"p","Output":"?   \tp\t[no test files]\n"}
{"Action":"skip","Package":"p"}`, `
?   	p	[no test files]

0 tests passed, 0 skipped, 0 failed in 1 packages (1.5s)
`},
		{"a skipped test gives its reason", `
{"Action":"output","Package":"p","Test":"TestA/b","Output":"    a_test.go:5: no peer\n"}
{"Action":"output","Package":"p","Test":"TestA/b","Output":"        on this machine\n"}
{"Action":"output","Package":"p","Test":"TestA/b","Output":"--- SKIP: TestA/b (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestA/b"}
{"Action":"pass","Package":"p"}`, `

0 tests passed, 1 skipped, 0 failed in 1 packages (1.5s)
skipped  p TestA/b: a_test.go:5: no peer on this machine
`},
		{"a skipped test without a reason is told apart", `
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:5: \n"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB","Output":"--- SKIP: TestB (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"pass","Package":"p"}`, `

0 tests passed, 2 skipped, 0 failed in 1 packages (1.5s)
skipped  p TestA: a_test.go:5: NO REASON GIVEN
skipped  p TestB: NO REASON GIVEN
`},
		{"a failed test shows its output", `
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:5: f(1) = 2, want 3\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- FAIL: TestA (0.00s)\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}
{"Action":"fail","Package":"p"}`, `
    a_test.go:5: f(1) = 2, want 3
--- FAIL: TestA (0.00s)
FAIL	p	0.1s

0 tests passed, 0 skipped, 1 failed in 1 packages (1.5s)
FAILED   p TestA
`},
		{"a test that never ended is failed", `
{"Action":"output","Package":"p","Test":"TestA","Output":"panic: oh\n"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}
{"Action":"fail","Package":"p"}`, `
panic: oh
FAIL	p	0.1s

0 tests passed, 0 skipped, 1 failed in 1 packages (1.5s)
FAILED   p TestA
`},
		{"a package that fails by itself", `
{"Action":"output","Package":"p","Output":"goleak: a goroutine is left\n"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}
{"Action":"fail","Package":"p"}`, `
goleak: a goroutine is left
FAIL	p	0.1s

0 tests passed, 0 skipped, 1 failed in 1 packages (1.5s)
FAILED   p (the package itself)
`},
		{"a build that fails, and a line that is no event", `
go: a message
{"ImportPath":"p","Action":"build-output","Output":"a.go:1: undefined: x\n"}
{"ImportPath":"p","Action":"build-fail"}
{"Action":"fail","Package":"p","FailedBuild":"p"}`, `
go: a message
a.go:1: undefined: x

0 tests passed, 0 skipped, 1 failed in 1 packages (1.5s)
FAILED   p (the package itself)
`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := account(t, strings.TrimPrefix(tt.events, "\n"))
			if diff := cmp.Diff(strings.TrimPrefix(tt.want, "\n"), got); diff != "" {
				t.Errorf("account differs (-want +got):\n%s", diff)
			}
		})
	}
}

// module writes a module with one test file of the given functions and
// returns its root.
func module(t *testing.T, functions string) string {
	t.Helper()
	dir := t.TempDir()
	for file, text := range map[string]string{
		"go.mod":    "module m\n\ngo 1.26.0\n",
		"m_test.go": "package m\n\nimport \"testing\"\n\n" + functions,
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestMainModules runs go test on real modules: one that passes with a skip
// and one that fails, so that the second's result is seen after the first.
func TestMainModules(t *testing.T) {
	good := module(t, "func TestGood(t *testing.T) {}\nfunc TestNot(t *testing.T) { t.Skip(\"no peer\") }\n")
	bad := module(t, "func TestBad(t *testing.T) { t.Error(\"got 1, want 2\") }\n")
	tests := []struct {
		name string
		dirs []string
		code int
		want []string
	}{
		{"pass", []string{good}, 0, []string{
			"ok  \tm\t", "1 tests passed, 1 skipped, 0 failed in 1 packages", "skipped  m TestNot: m_test.go:6: no peer",
		}},
		{"fail", []string{bad, good}, 1, []string{
			"m_test.go:5: got 1, want 2", "FAIL\tm\t", "1 tests passed, 1 skipped, 1 failed in 2 packages", "FAILED   m TestBad",
		}},
		{"no module", []string{t.TempDir()}, 1, []string{"0 tests passed"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out, errs strings.Builder
			args := append([]string{"-count=1", "--"}, tt.dirs...)
			if code := main.Main(args, &out, &errs); code != tt.code {
				t.Errorf("Main(%q) = %d, want %d; stderr: %s", args, code, tt.code, errs.String())
			}
			for _, want := range tt.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("Main(%q) wrote %q, want it to contain %q", args, out.String(), want)
				}
			}
			if (errs.String() != "") != (tt.code != 0) {
				t.Errorf("Main(%q) wrote %q to stderr with status %d", args, errs.String(), tt.code)
			}
		})
	}
}

func TestMainUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"."}, {"-race", "--"}} {
		var out, errs strings.Builder
		if code := main.Main(args, &out, &errs); code != 2 {
			t.Errorf("Main(%q) = %d, want 2", args, code)
		}
		if !strings.HasPrefix(errs.String(), "usage: ") {
			t.Errorf("Main(%q) wrote %q to stderr, want the usage", args, errs.String())
		}
	}
}
