package cli_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/polyport/polyport/app"
)

var update = flag.Bool("update", false, "write the golden files anew")

const program = `package main

import (
	"context"
	"fmt"
	"os"

	"github.com/polyport/polyport/rpc"
	_ "github.com/polyport/polyport/transport/stomp"

	"example.org/caller/calc"
)

func main() {
	ctx := context.Background()
	conn, err := rpc.Dial(ctx, os.Args[1], nil)
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	c := calc.NewClient(conn)
	fmt.Println(c.MathSum(ctx, []float64{1, 2, 3}))
	fmt.Println(c.Sleep(ctx, calc.SleepParams{Ms: 2}))
	echo, err := c.Echo(ctx, []string{"a"})
	fmt.Println(string(echo), err)
	_, err = c.Fail(ctx, calc.FailParams{Code: 7, Message: "no"})
	fmt.Println(err)
}
`

// A client for the sample server is as it is in the golden file, and what go
// builds and vets of it calls the server.
func TestGen(t *testing.T) {
	url := serve(t, app.Config{})
	dir := t.TempDir()
	client := filepath.Join(dir, "calc", "calc.go")
	if err := os.Mkdir(filepath.Dir(client), 0o700); err != nil {
		t.Fatal(err)
	}
	if o := run(t, "gen", "go", url, "--package", "calc", "--out", client); o != (outcome{}) {
		t.Fatalf("gen = %+v", o)
	}
	source, err := os.ReadFile(client)
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "sample.go.golden")
	if *update {
		if err := os.WriteFile(golden, source, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(golden); err != nil || !bytes.Equal(want, source) {
		t.Errorf("%s differs (%v; go test -update writes it anew); got\n%s", golden, err, source)
	}

	// From a file, and from standard input, it is the same.
	document := run(t, "discover", url).stdout
	for _, args := range [][]string{{file(t, "openrpc.json", document)}, {"-"}} {
		o := runWith(t, document, append([]string{"gen", "go", "--package", "calc"}, args...)...)
		if o.code != 0 || o.stdout != string(source) {
			t.Errorf("gen go %s = %+v", args, o)
		}
	}

	module(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	goRun(t, dir, "vet", "./...")
	goRun(t, dir, "build", "-o", "caller", ".")
	out, err := exec.CommandContext(t.Context(), filepath.Join(dir, "caller"), url).CombinedOutput()
	const want = "6 <nil>\n2 <nil>\n[\"a\"] <nil>\nno (7)\n"
	if err != nil || string(out) != want {
		t.Errorf("the program prints %q, %v, want %q", out, err, want)
	}
}

// module makes dir a module that uses this one, and needs no network for it.
func module(t *testing.T, dir string) {
	t.Helper()
	root, err := filepath.Abs("../../../..")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?m)^module .*$`).ReplaceAllString(string(mod), "module example.org/caller")
	text += "\nrequire github.com/polyport/polyport v0.0.0\n\nreplace github.com/polyport/polyport => " + root + "\n"
	for name, content := range map[string]string{"go.mod": text, "go.sum": string(sum)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func goRun(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestGenRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no file", []string{"go", "no/such.json"}, 2, "no/such.json"},
		{"no document", []string{"go", file(t, "x.json", "{}")}, 2, "invalid document"},
		{"no language of ours", []string{"rust", "x"}, 2, `must be one of "go"`},
		{"no package", []string{"go", file(t, "y.json", `{"openrpc":"1.4.1","info":{"title":"a","version":"1"},"methods":[]}`), "--package", "a b"}, 2, "no name for a package"},
		{"no scheme of ours", []string{"go", "gopher://x:1"}, 2, "unknown scheme"},
		{"nobody there", []string{"go", "stomp://" + refusing(t)}, 3, "connection refused"},
	} {
		if o := run(t, append([]string{"gen"}, tt.args...)...); o.code != tt.code || o.stdout != "" || !strings.Contains(o.stderr, tt.want) {
			t.Errorf("%s: gen %s = %+v, want %d and %q", tt.name, tt.args, o, tt.code, tt.want)
		}
	}
}
