package broker

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A Kind is a broker of one make and series. Its zero value is [RabbitMQ3].
type Kind int

// The brokers that there are.
const (
	RabbitMQ3 Kind = iota // RabbitMQ 3.10: STOMP, and AMQP 1.0 by a plugin
	RabbitMQ4             // RabbitMQ 4.0: STOMP, and AMQP 1.0 natively
	ActiveMQ              // ActiveMQ Classic 5.17: STOMP
	Proton                // Qpid Proton's example broker: AMQP 1.0
)

// kinds says of each Kind what it is called and how its script is told of it.
var kinds = [...]struct {
	name, prefix, start string
	stomp, amqp         bool
}{
	RabbitMQ3: {"RabbitMQ3", "RABBITMQ", "rabbitmq --series 3", true, true},
	RabbitMQ4: {"RabbitMQ4", "RABBITMQ4", "rabbitmq --series 4", true, true},
	ActiveMQ:  {"ActiveMQ", "ACTIVEMQ", "activemq", true, false},
	Proton:    {"Proton", "PROTON", "proton", false, true},
}

// String returns the broker's name and series, fit for the name of a subtest.
func (k Kind) String() string { return kinds[k].name }

// startTimeout bounds a verb of the scripts, start included. They have bounds
// of their own, which come first.
const startTimeout = 4 * time.Minute

// A Broker is one that ran when [Shared] or [Own] returned it. Its fields stay
// as they are; its methods must not be called concurrently, and only on a
// broker of the test's own.
type Broker struct {
	// Kind is what was asked for.
	Kind Kind
	// URL is the STOMP port with user and password and without a path, as in
	// stomp://guest:guest@127.0.0.1:27613. It is empty for a broker without STOMP.
	URL string
	// AMQPURL is the same for AMQP 1.0, and AMQPSURL for AMQP over TLS.
	AMQPURL, AMQPSURL string
	// TLSURL is the same for STOMP over TLS, by the name localhost:
	// stomps://guest:guest@localhost:27614. It and the three files are empty
	// for a broker that was started without --tls.
	TLSURL string
	// CAFile, CertFile and KeyFile are PEM files: the authority that signed the
	// server's certificate, and a client certificate with its key. RabbitMQ
	// takes that certificate for a login as user client when the CONNECT frame
	// has no login; ActiveMQ only checks it.
	CAFile, CertFile, KeyFile string
	// Log is the file the broker writes its log to. The one of an own broker is
	// gone when the test has ended.
	Log string

	tb     testing.TB
	script []string // the command and its options that name this broker
	shared bool
}

// Each calls f for every kind of broker that speaks STOMP, in a subtest named
// after it, with the shared broker of that kind. The subtest of one that is not
// there is skipped or fails, as [Shared] has it.
func Each(t *testing.T, f func(t *testing.T, b *Broker)) {
	t.Helper()
	for k := range kinds {
		if kinds[k].stomp {
			t.Run(Kind(k).String(), func(t *testing.T) {
				t.Helper()
				f(t, Shared(t, Kind(k)))
			})
		}
	}
}

// EachAMQP is Each for those that speak AMQP 1.0.
func EachAMQP(t *testing.T, f func(t *testing.T, b *Broker)) {
	t.Helper()
	for k := range kinds {
		if kinds[k].amqp {
			t.Run(Kind(k).String(), func(t *testing.T) {
				t.Helper()
				f(t, Shared(t, Kind(k)))
			})
		}
	}
}

// Shared returns the broker of kind k that runs for all tests. If there is none
// it skips the test and says what to run; with POLYPORT_REQUIRE_INTEROP=1 it
// fails the test. It fails also when the environment names a broker that does
// not answer.
func Shared(tb testing.TB, k Kind) *Broker {
	tb.Helper()
	prefix := kinds[k].prefix + "_"
	value := func(name string) string { return os.Getenv(prefix + name) }
	main := "AMQP_URL"
	if kinds[k].stomp {
		main = "STOMP_URL"
	}
	if value(main) == "" {
		const run = "run the tests by make test or test/with-brokers"
		if os.Getenv("POLYPORT_REQUIRE_INTEROP") == "1" {
			tb.Fatalf("%v is not there (no %s%s), and POLYPORT_REQUIRE_INTEROP=1; %s", k, prefix, main, run)
		}
		tb.Skipf("%v is not there (no %s%s); %s", k, prefix, main, run)
	}
	b := newBroker(tb, k, value)
	b.shared = true
	if err := b.answers(); err != nil {
		tb.Fatalf("%v does not answer, but %s%s is %s: %v", k, prefix, main, value(main), err)
	}
	return b
}

// Own starts a broker of kind k for this test alone and ends it with the test.
// args are further options of its script, such as "--tls" or "--conf" and a
// setting; see test/brokers/rabbitmq --help. It uses what the shared broker of
// that kind was started with, and skips or fails like [Shared] if there is
// none.
func Own(tb testing.TB, k Kind, args ...string) *Broker {
	tb.Helper()
	Shared(tb, k)
	prefix := kinds[k].prefix + "_"
	script, shared := os.Getenv(prefix+"SCRIPT"), os.Getenv(prefix+"DIR")
	if script == "" || shared == "" {
		tb.Fatalf("%sSCRIPT and %sDIR are not in the environment; take all that %s printed", prefix, prefix, kinds[k].start)
	}
	// Beside the shared one, where test/with-brokers finds it if this process
	// dies before its cleanup.
	dir, err := os.MkdirTemp(filepath.Dir(shared), "own-") //nolint:usetesting // for the reason above
	if err != nil {
		tb.Fatal(err)
	}
	command := slices.Concat([]string{script}, strings.Fields(kinds[k].start)[1:], []string{"--dir", dir})
	b := &Broker{Kind: k, tb: tb, script: command}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("the last of what %v logged:\n%s", k, tail(filepath.Join(dir, "log", "broker.log")))
		}
		b.run("clean")
	})
	out := b.run(slices.Concat([]string{"--port-base", "auto", "--prefix", "OWN"}, args, []string{"start"})...)
	env := map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		name, value, _ := strings.Cut(strings.TrimPrefix(lines.Text(), "OWN_"), "=")
		env[name] = value
	}
	own := newBroker(tb, k, func(name string) string { return env[name] })
	own.script = command
	return own
}

// newBroker returns the broker whose variables value returns.
func newBroker(tb testing.TB, k Kind, value func(name string) string) *Broker {
	tb.Helper()
	return &Broker{
		Kind: k, URL: value("STOMP_URL"), TLSURL: value("STOMPS_URL"),
		AMQPURL: value("AMQP_URL"), AMQPSURL: value("AMQPS_URL"),
		CAFile: value("CA_FILE"), CertFile: value("CLIENT_CERT_FILE"), KeyFile: value("CLIENT_KEY_FILE"),
		Log: value("LOG"), tb: tb,
	}
}

// Kill ends the broker at once, as a crash would. Its ports stay reserved.
func (b *Broker) Kill() { b.tb.Helper(); b.verb("kill") }

// Stop ends the broker in an orderly way. Its ports stay reserved.
func (b *Broker) Stop() { b.tb.Helper(); b.verb("stop") }

// Start starts the broker again after [Broker.Kill] or [Broker.Stop], with the
// same settings on the same ports, and returns when it is ready. It does
// nothing if the broker runs.
func (b *Broker) Start() { b.tb.Helper(); b.verb("start") }

// Restart stops and starts the broker.
func (b *Broker) Restart() { b.tb.Helper(); b.verb("restart") }

// Ctl runs the broker's control program, as rabbitmqctl.
func (b *Broker) Ctl(args ...string) {
	b.tb.Helper()
	if b.shared {
		b.tb.Fatalf("Ctl of the shared %v, which other tests use; take broker.Own", b.Kind)
	}
	b.run(slices.Concat([]string{"ctl"}, args)...)
}

// verb runs the script's verb and ends the test if it fails.
func (b *Broker) verb(verb string) {
	b.tb.Helper()
	if b.shared {
		b.tb.Fatalf("%s of the shared %v, which other tests use; take broker.Own", verb, b.Kind)
	}
	b.run(verb)
}

// run runs the script with args and returns what it printed.
func (b *Broker) run(args ...string) []byte {
	b.tb.Helper()
	// Not the test's context: that has ended when cleanup runs.
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	args = slices.Concat(b.script[1:], args)
	cmd := exec.CommandContext(ctx, b.script[0], args...) //nolint:gosec // our own script
	var said bytes.Buffer
	cmd.Stderr = &said
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it ends what it has started
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.Output()
	if err != nil {
		b.tb.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, said.Bytes())
	}
	return out
}

// answers dials the broker and returns what was wrong.
func (b *Broker) answers() error {
	u, err := url.Parse(cmp.Or(b.URL, b.AMQPURL))
	if err != nil {
		return err
	}
	c, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(b.tb.Context(), "tcp", u.Host)
	if err != nil {
		return err
	}
	return c.Close()
}

// tail returns the last lines of a file.
func tail(path string) string {
	text, err := os.ReadFile(path) //nolint:gosec // a log below a directory that Own made
	if err != nil {
		return err.Error()
	}
	const most = 4000
	return string(text[max(0, len(text)-most):])
}
