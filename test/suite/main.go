// Command suite runs the tests of several modules as go test does and ends
// with one account of them, in which every test that was skipped stands with
// its reason: a green run never hides what did not run.
//
//	go run ./test/suite [go test flags] -- DIR...
//
// Each DIR is the root of a module. The exit status is 0 if every module's
// tests passed, 1 if not, and 2 for wrong usage.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"time"
)

func main() {
	os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr))
}

// Main runs the command with args, which do not include the program's name,
// and returns its exit status.
func Main(args []string, stdout, stderr io.Writer) int {
	end := slices.Index(args, "--")
	if end < 0 || end == len(args)-1 {
		fmt.Fprintln(stderr, "usage: suite [go test flags] -- DIR...")
		return 2
	}
	flags, dirs := args[:end], args[end+1:]

	start := time.Now()
	account := NewAccount(stdout)
	code := 0
	for _, dir := range dirs {
		fmt.Fprintf(stdout, "# %s\n", dir)
		if err := runModule(dir, flags, account, stderr); err != nil {
			fmt.Fprintf(stderr, "suite: %s: %v\n", dir, err)
			code = 1
		}
	}
	account.Print(time.Since(start))
	return code
}

// runModule runs the tests of the module in dir and gives their events to
// account. An error means that the tests did not all pass.
func runModule(dir string, flags []string, account *Account, stderr io.Writer) error {
	args := slices.Concat([]string{"test", "-json"}, flags, []string{"./..."})
	cmd := exec.CommandContext(context.Background(), "go", args...) //nolint:gosec // running go with the user's arguments is what it is for
	cmd.Dir = dir
	cmd.Stderr = stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := account.Read(events)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	return readErr
}
