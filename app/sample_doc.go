package app

import (
	"encoding/json"

	"github.com/polyport/polyport/rpc"
)

// describeSamples says of the sample services what their types do not.
func describeSamples(m *rpc.Mux) {
	raw := func(text string) json.RawMessage { return json.RawMessage(text) }
	m.Configure("Echo", rpc.MethodOptions{
		Summary:     "Returns its params.",
		Description: "The params come back unchanged, as an array or an object; without any the result is null.",
		Examples: []rpc.Example{
			{Name: "by position", Params: raw(`[1,"two",null]`), Result: raw(`[1,"two",null]`)},
			{Name: "by name", Params: raw(`{"a":1}`), Result: raw(`{"a":1}`)},
			{Name: "nothing", Result: raw(`null`)},
		},
	})
	m.Configure("Math.Sum", rpc.MethodOptions{
		Summary: "Adds numbers.",
		Errors:  []*rpc.Error{{Code: rpc.CodeHandler, Message: "the sum is out of range"}},
		Examples: []rpc.Example{
			{Name: "three numbers", Params: raw(`[1,2,3]`), Result: raw(`6`)},
			{Name: "fractions", Params: raw(`[0.5,-2]`), Result: raw(`-1.5`)},
		},
	})
	m.Configure("Sleep", rpc.MethodOptions{
		Summary:     "Waits.",
		Description: "The result, the number of milliseconds, comes after that time. A caller that goes away ends it.",
		Errors:      []*rpc.Error{{Code: rpc.CodeCancelled, Message: "cancelled"}},
		Examples: []rpc.Example{
			{Name: "by name", Params: raw(`{"ms":1}`), Result: raw(`1`)},
			{Name: "by position", Params: raw(`[0]`), Result: raw(`0`)},
		},
	})
	m.Configure("Fail", rpc.MethodOptions{
		Summary:     "Answers with an error.",
		Description: "The error is the one that the params describe, so its code may be any. There is never a result.",
	})
	m.Configure("Call.Back", rpc.MethodOptions{
		Summary: "Calls its caller.",
		Description: "The result is what the caller answers to the call of that method with those params; " +
			"an error of the caller's is passed on as it is.",
		Errors: []*rpc.Error{{Code: rpc.CodeMethodNotFound, Message: "the caller serves no such method"}},
	})
	m.Configure("Task.Run", rpc.MethodOptions{
		Summary: "Takes its time, and may be left and come back to.",
		Description: "Its progress is published on the topic task.ID as it begins and after each tenth. " +
			"The result, the number of milliseconds, comes after that time.",
		Errors:   []*rpc.Error{{Code: rpc.CodeCancelled, Message: "cancelled"}},
		Examples: []rpc.Example{{Name: "short", Params: raw(`{"ms":1}`), Result: raw(`1`)}},
		Async:    true,
	})
}
