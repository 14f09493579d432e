package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// grammar is the command line. A verb that does not work yet is not in it.
type grammar struct {
	Demo     demo     `cmd:"" help:"Serve on this machine and make the same call over every wire."`
	Serve    serve    `cmd:"" help:"Serve the sample services until SIGINT or SIGTERM."`
	Call     call     `cmd:"" help:"Call a method and print its result."`
	Notify   notify   `cmd:"" help:"Call a method without wanting an answer."`
	Batch    batch    `cmd:"" help:"Send a batch of requests as it is and print the answers."`
	Events   events   `cmd:"" help:"Print what a server publishes, until it is interrupted."`
	Discover discover `cmd:"" help:"Print the description of a server's methods."`
	Gen      gen      `cmd:"" help:"Write a client in Go for a server's methods."`
	Ping     ping     `cmd:"" help:"Show what a connection is and how long a round trip takes."`
	Bench    bench    `cmd:"" help:"Measure how fast a server answers."`
	Conform  conform  `cmd:"" help:"Hold a wire, a server or a broker to the rules."`
	Version  version  `cmd:"" help:"Print the version."`
	Help     help     `cmd:"" help:"Explain a verb."`
}

// A verb does its work with the flags and arguments in its fields.
type verb interface {
	run(ctx context.Context, e *environment) error
	options() *common
}

// An environment is where a verb reads and writes.
type environment struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	verb           string
}

// Run does what args, without the program's name, ask for, and returns the exit
// status: 0, or 1 if the answer is an error, 2 if args cannot be used, 3 if no
// answer came. When ctx ends it stops in order. It returns when its goroutines
// have ended.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	e := &environment{stdin: stdin, stdout: stdout, stderr: stderr}
	helped := false
	parser, err := kong.New(new(grammar),
		kong.Name("polyport"),
		kong.Description("JSON-RPC 2.0 over any message wire."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 100}),
		kong.ExplicitGroups([]kong.Group{
			{Key: "tls", Title: "TLS:"},
			{Key: "config", Title: "Settings (before those of the environment and the file):"},
		}),
	)
	if err != nil {
		return e.report(nil, err)
	}
	parsed, err := parser.Parse(helpArgs(args))
	switch {
	case helped: // and what Parse made of the rest does not matter
		return 0
	case err != nil:
		e.verb = selected(err)
		if e.verb == "" {
			err = verbError(parser.Model, args, err)
		}
		return e.report(nil, usageError{errors.New(strings.TrimPrefix(err.Error(), e.verb+": "))})
	}
	e.verb = parsed.Selected().Name
	v := parsed.Selected().Target.Addr().Interface().(verb) //nolint:forcetypeassert // every field of grammar is one
	return e.report(v.options(), v.run(ctx, e))
}

// helpArgs turns "help VERB" into "VERB --help".
func helpArgs(args []string) []string {
	if len(args) > 0 && args[0] == "help" {
		return append(append([]string{}, args[1:]...), "--help")
	}
	return args
}

// selected returns the verb that a parse error is about, or "".
func selected(err error) string {
	parse, ok := errors.AsType[*kong.ParseError](err)
	if !ok || parse.Context == nil || parse.Context.Selected() == nil {
		return ""
	}
	return parse.Context.Selected().Name
}

// verbError says in the place of err which verbs there are, if that is what
// went wrong.
func verbError(app *kong.Application, args []string, err error) error {
	names := make([]string, len(app.Children))
	for i, c := range app.Children {
		names[i] = c.Name
	}
	verbs := strings.Join(names, ", ")
	if len(args) > 0 && args[0] == "help" {
		args = args[1:]
	}
	switch {
	case len(args) == 0:
		return fmt.Errorf("expected a verb: %s", verbs)
	case strings.HasPrefix(args[0], "-") || slices.Contains(names, args[0]):
		return err
	}
	return fmt.Errorf("unknown verb %q; expected one of %s", args[0], verbs)
}
