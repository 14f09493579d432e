package interop_test

import (
	"bufio"
	"context"
	"errors"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/polyport/polyport/interop/broker"
)

// buildCommand builds the command polyport and returns its path.
func buildCommand(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "polyport")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./cmd/polyport")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build ./cmd/polyport: %v\n%s", err, out)
	}
	return bin
}

// TestCommandThroughBroker: the same command line that reaches a server reaches
// the server behind a broker, by another URL; also over TLS, with the login of
// the URL or a client's certificate.
func TestCommandThroughBroker(t *testing.T) {
	bin := buildCommand(t)
	broker.Each(t, func(t *testing.T, b *broker.Broker) {
		commands(t, bin, b, b.URL+"/queue/command", b.TLSURL+"/queue/command")
	})
}

// TestCommandThroughBrokerAMQP is the same over AMQP 1.0.
func TestCommandThroughBrokerAMQP(t *testing.T) {
	t.Parallel()
	bin := buildCommand(t)
	broker.EachAMQP(t, func(t *testing.T, b *broker.Broker) {
		t.Parallel()
		secured := ""
		if b.AMQPSURL != "" {
			secured = b.AMQPSURL + "/command"
		}
		commands(t, bin, b, b.AMQPURL+"/command", secured)
	})
}

// commands runs the command lines with queues at url and, over TLS, at secured,
// if that is not empty.
func commands(t *testing.T, bin string, b *broker.Broker, url, secured string) {
	t.Helper()
	one, two := url+".one", url+".two"
	consume(t, bin, "--consume", one, "--consume", two)
	type line struct {
		name string
		args []string
		want said
	}
	lines := []line{
		{"result", []string{"call", one, "Math.Sum", "[1,2,3]"}, said{out: "6\n"}},
		{"other queue", []string{"call", two, "Math.Sum", "[4,5]"}, said{out: "9\n"}},
		{"durable", []string{"call", "--durable", one, "Echo", "[1]"}, said{out: "[1]\n"}},
		{"error", []string{"call", one, "Fail", `{"code":7,"message":"no"}`}, said{err: `{"code":7,"message":"no"}` + "\n", code: 1}},
		{"batch", []string{"batch", one, "testdata/batch.json"}, said{out: `[{"jsonrpc":"2.0","id":"a","result":[1]}]` + "\n"}},
		{"nobody consumes", []string{"call", "--timeout", "300ms", url + ".none", "Echo"}, said{err: "does a server consume ", code: 3}},
	}
	if b.Kind != broker.Proton { // which lets everybody do everything
		lines = append(lines,
			line{"wrong password", []string{"call", strings.Replace(one, "guest:guest", "guest:wrong", 1), "Echo"}, said{err: "refused by the peer", code: 3}},
			line{"no rights", []string{"call", strings.Replace(one, "guest:guest", "limited:limited", 1), "Echo"}, said{err: "refused by the peer", code: 3}},
		)
	}
	for _, c := range lines {
		t.Run(c.name, func(t *testing.T) { command(t, bin, c.want, c.args...) })
	}
	if b.Kind == broker.Proton {
		return
	}
	t.Run("serving refused", func(t *testing.T) {
		refused := said{err: "refused by the peer", code: 1}
		if strings.HasPrefix(url, "stomp") { // which hears of it later
			refused.out = "consuming "
		}
		command(t, bin, refused, "serve", "--consume", strings.Replace(one, "guest:guest", "limited:limited", 1))
	})
	t.Run("TLS", func(t *testing.T) {
		queue := secured + ".tls"
		consume(t, bin, "--consume", queue, "--consume-cacert", b.CAFile, "--at-least-once", "--prefetch", "10")
		command(t, bin, said{out: "6\n"}, "call", "--cacert", b.CAFile, queue, "Math.Sum", "[1,2,3]")
		command(t, bin, said{err: "unknown authority", code: 3}, "call", queue, "Echo")
		shown := queue
		if b.Kind != broker.ActiveMQ { // which wants a login all the same
			shown = withoutUser(t, queue)
		}
		command(t, bin, said{out: "6\n"}, "call", "--cacert", b.CAFile, "--cert", b.CertFile, "--key", b.KeyFile, shown, "Math.Sum", "[1,2,3]")
	})
	t.Run("TLS, served by certificate", func(t *testing.T) {
		queue := secured + ".certificate"
		shown := queue
		if b.Kind != broker.ActiveMQ {
			shown = withoutUser(t, queue)
		}
		consume(t, bin, "--consume", shown, "--consume-cacert", b.CAFile, "--consume-cert", b.CertFile, "--consume-key", b.KeyFile)
		command(t, bin, said{out: "6\n"}, "call", "--cacert", b.CAFile, queue, "Math.Sum", "[1,2,3]")
	})
}

func withoutUser(t *testing.T, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	u.User = nil
	return u.String()
}

// said is what a command prints, or a part of it, and its exit status.
type said struct {
	out, err string
	code     int
}

// command runs the command and checks what it says.
func command(t *testing.T, bin string, want said, args ...string) {
	t.Helper()
	var out, errs strings.Builder
	cmd := exec.CommandContext(t.Context(), bin, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	exit := new(exec.ExitError)
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if code := cmd.ProcessState.ExitCode(); code != want.code {
		t.Errorf("polyport %s: exit status %d, want %d", strings.Join(args, " "), code, want.code)
	}
	if !strings.Contains(out.String(), want.out) || want.out == "" && out.Len() > 0 {
		t.Errorf("polyport %s printed %q, want %q", strings.Join(args, " "), out.String(), want.out)
	}
	if !strings.Contains(errs.String(), want.err) || want.err == "" && errs.Len() > 0 {
		t.Errorf("polyport %s printed to stderr %q, want %q", strings.Join(args, " "), errs.String(), want.err)
	}
}

// consume runs "polyport serve" until the test ends, and checks that it ends in
// order.
func consume(t *testing.T, bin string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), bin, append([]string{"serve"}, args...)...)
	var log strings.Builder
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("serve: %v\n%s", err, log.String())
		}
	})
	lines := bufio.NewScanner(out)
	for _, a := range args {
		if strings.Contains(a, "://") && (!lines.Scan() || lines.Text() != "consuming "+withoutUser(t, a)) {
			t.Errorf("serve printed %q, want: consuming %s", lines.Text(), withoutUser(t, a))
		}
	}
}
