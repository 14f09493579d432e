// Package cli is the command line of polyport, as a function that can be
// tested: [Run].
//
// # Verbs
//
// Each verb is a struct in a file of its own. Its fields are the flags and
// arguments, its method run does the work. What it returns decides the exit
// status: nil is 0, a usageError 2, an unansweredError 3, and everything else 1,
// foremost an [*rpc.Error].
//
// # Output
//
// Results go to stdout, one JSON text or one line each; everything that is for
// a person goes to stderr. With --json all of stdout is JSON, one text a line,
// and the reason of a failure is a JSON object on stderr.
//
// # Outcomes
//
// A failed call says on stderr whether it was sent, what went wrong in words,
// and what to do about it. The words are in explain.go.
package cli
