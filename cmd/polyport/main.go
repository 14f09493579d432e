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
