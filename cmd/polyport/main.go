// Polyport serves and calls JSON-RPC 2.0 methods over any message wire.
//
//	polyport demo
//	polyport serve --listen 127.0.0.1:7070
//	polyport call stomp://127.0.0.1:7070 Math.Sum '[1,2,3]'
//
// "polyport help" lists the verbs, "polyport help VERB" explains one.
//
// # Exit status
//
//	0  the call was answered with a result; the verb did what it is for
//	1  the answer is an error (its object is on stderr, as JSON), or a result
//	   is not as it should be
//	2  the command line, a file or a setting cannot be used; nothing was sent
//	3  no answer came; stderr says whether the call was sent
//
// SIGINT and SIGTERM end a verb in order: serve answers what it has accepted,
// bench reports what it has measured. A second signal ends the process at once.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/polyport/polyport/cmd/polyport/internal/cli"
)

func main() {
	ctx, interrupt := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		signal.Reset() // before anybody can see that the first one has come
		interrupt()
	}()
	os.Exit(cli.Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
