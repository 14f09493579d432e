package conformance_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/transport/mem"
)

// A wire's test, in a function TestConformance of its package.
func ExampleRun() {
	_ = func(t *testing.T) {
		h := conformance.Harness{Transport: mem.Transport{}, URL: "mem://conformance"}
		t.Run("pipe", func(t *testing.T) { conformance.Run(t, h) })
		h.Stream = conformance.TCP
		t.Run("tcp", func(t *testing.T) { conformance.Run(t, h) })
	}
	// Output:
}

func ExampleCheck() {
	h := conformance.Harness{Transport: mem.Transport{}, URL: "mem://conformance"}
	for r := range conformance.Check(context.Background(), h, "Order", "IdleLives") {
		fmt.Printf("%s %s %q\n", r.Verdict, r.Rule.Name, r.Log)
	}
	// Output:
	// pass Order ""
	// skip IdleLives "the rule needs virtual time, which only go test has"
}

func ExampleLookup() {
	r, ok := conformance.Lookup("sendcopies")
	fmt.Println(ok, r.Name+":", r.Text)
	// Output:
	// true SendCopies: Send copies what it needs before it returns; the caller may reuse the Message and its Body at once.
}
