package app_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"
	"golang.org/x/sync/errgroup"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

const (
	// idleURL is set in the process that is the clients of TestIdleConnections.
	idleURL = "POLYPORT_TEST_IDLE_URL"
	// idleConnections is how many they open.
	idleConnections = 1000
	// idleBytes is how much memory one may cost the server, with the stacks of
	// its goroutines.
	idleBytes = 32 << 10
)

func isIdleClient() bool { return os.Getenv(idleURL) != "" }

// runIdleClient opens the connections, says so, and holds them until standard
// input ends.
func runIdleClient() int {
	var g errgroup.Group
	g.SetLimit(32)
	for range idleConnections {
		g.Go(func() error {
			c, err := transport.Dial(context.Background(), os.Getenv(idleURL), nil)
			if err == nil {
				// Somebody has to read, or heart-beats would fill the socket.
				go func() { _, _ = c.Recv(context.Background()) }()
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		fmt.Fprintln(os.Stdout, err)
		return 1
	}
	fmt.Fprintln(os.Stdout, "ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

func TestIdleConnections(t *testing.T) {
	var server *rpc.Server
	r := start(t, app.Config{}, fx.Populate(&server))
	before := memory()

	clients := exec.CommandContext(t.Context(), os.Args[0])
	clients.Env = append(os.Environ(), idleURL+"="+r.url())
	stdin, err := clients.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := clients.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := clients.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if strings.TrimSpace(line) != "ready" {
		t.Fatalf("the clients say %q, %v", line, err)
	}
	eventually(t, func() bool { return server.Connections() == idleConnections })

	each := (memory() - before) / idleConnections
	t.Logf("%d bytes for each of %d idle connections", each, idleConnections)
	if each > idleBytes {
		t.Errorf("an idle connection costs %d bytes, want at most %d", each, idleBytes)
	}
	_ = stdin.Close()
	if err := clients.Wait(); err != nil {
		t.Errorf("the clients end with %v", err)
	}
	eventually(t, func() bool { return server.Connections() == 0 })
}

// memory is what the heap and the stacks take of the system.
func memory() int64 {
	runtime.GC()
	runtime.GC() // the first leaves pools' victims
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// eventually waits until ok holds.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("it did not come about within 20 s")
		}
	}
}
