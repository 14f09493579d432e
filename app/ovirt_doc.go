package app

import (
	"encoding/json"

	"github.com/polyport/polyport/rpc"
)

// describeOVirt says of the sample service of oVirt what its types do not.
func describeOVirt(m *rpc.Mux) {
	raw := func(text string) json.RawMessage { return json.RawMessage(text) }
	m.Configure("Host.ping", rpc.MethodOptions{
		Summary:     "Answers.",
		Description: "The result is null, or true for programs of oVirt, which cannot take null.",
		Examples:    []rpc.Example{{Name: "nothing", Result: raw(`null`)}},
	})
	m.Configure("Host.getCapabilities", rpc.MethodOptions{
		Summary:     "Says what the host is.",
		Description: "Name, system, processors and memory are those of the machine of the server; the rest is invented.",
	})
	m.Configure("Host.getStats", rpc.MethodOptions{
		Summary:     "Says how the host is.",
		Description: "Load and memory are those of the machine of the server; the one virtual machine is invented.",
	})
	m.Configure("Test.echo", rpc.MethodOptions{
		Summary: "Returns what it is given.",
		Examples: []rpc.Example{
			{Name: "by name", Params: raw(`{"msg":"hello"}`), Result: raw(`"hello"`)},
			{Name: "by position", Params: raw(`[[1,2]]`), Result: raw(`[1,2]`)},
		},
	})
	m.Configure("Test.sleep", rpc.MethodOptions{
		Summary:     "Waits.",
		Description: "The result, the number of milliseconds, comes after that time. A caller that goes away ends it.",
		Errors:      []*rpc.Error{{Code: rpc.CodeCancelled, Message: "cancelled"}},
		Examples:    []rpc.Example{{Name: "by name", Params: raw(`{"ms":1}`), Result: raw(`1`)}},
	})
	m.Configure("Test.fail", rpc.MethodOptions{
		Summary:     "Answers with an error.",
		Description: "Without params it is the one that there is no such virtual machine.",
		Errors:      []*rpc.Error{{Code: codeNoSuchVM, Message: "Virtual machine does not exist"}},
	})
}
