// Command bench does the same work with polyport and with what a Go program
// would use in its place, in one process and one run, and prints what each
// took as a ratio to JSON over a bare socket.
//
//	cd bench && go run .
//	go run . -peers raw-json,polyport-stomp -workloads Callers64 -rounds 3
//	go run . -zmq -time 1s
//	go run . -legacy -time 1s
//	go run . -hub -time 1s
//	go run . -peers polyport-stomp -workloads Echo16KiB -time 5s -rounds 1 -cpuprofile cpu.out
//
// docs/bench.md says how it is measured and how to read it. The program runs
// where getrusage does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

func main() {
	if name := os.Getenv(hubServerEnv); name != "" {
		if err := beHubServer(name, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// options are what the command line says.
type options struct {
	peers      []peer
	workloads  []workload
	rounds     int
	time       time.Duration
	json       bool
	brokers    bool
	zmq        bool
	legacy     bool
	hub        bool
	hubPeers   []hubPeer
	hubLoads   []hubLoad
	doc        string
	cpuProfile string
	memProfile string
}

// run is the program; it returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "bench:", err)
		return 2
	}
	if err := o.bench(ctx, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.SetOutput(stderr)
	peers := set.String("peers", "", "measure only these, separated by commas: "+names(allPeers()))
	workloads := set.String("workloads", "", "measure only these, separated by commas: "+names(allWorkloads()))
	set.IntVar(&o.rounds, "rounds", 5, "how often all is measured; the median counts")
	set.DurationVar(&o.time, "time", 300*time.Millisecond, "how long one peer works on one workload in a round")
	set.BoolVar(&o.json, "json", false, "print JSON, every round included, instead of Markdown")
	set.BoolVar(&o.brokers, "brokers", false, "measure through the brokers of test/with-brokers instead, beside go-stomp and go-amqp alone")
	set.BoolVar(&o.zmq, "zmq", false, "measure the bare ZeroMQ wire beside libzmq instead, and pools of REQ/REP connections")
	set.BoolVar(&o.legacy, "legacy", false, "measure JSON-RPC beside XML-RPC instead, over HTTP, in Python, and beside STOMP")
	set.BoolVar(&o.hub, "hub", false, "measure the broker beside others instead, in fan-out and queues; -peers: "+
		names(allHubPeers())+"; -workloads: "+names(allHubLoads()))
	set.StringVar(&o.doc, "doc", "", "put the tables between the markers of this Markdown `file` too")
	set.StringVar(&o.cpuProfile, "cpuprofile", "", "write a CPU profile of the one peer and workload to `file`")
	set.StringVar(&o.memProfile, "memprofile", "", "write an allocation profile of the one peer and workload to `file`")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	var err1, err2 error
	if o.hub {
		o.hubPeers, err1 = choose(allHubPeers(), *peers)
		o.hubLoads, err2 = choose(allHubLoads(), *workloads)
	} else {
		o.peers, err1 = choose(allPeers(), *peers)
		o.workloads, err2 = choose(allWorkloads(), *workloads)
	}
	switch {
	case err1 != nil || err2 != nil:
		return nil, errors.Join(err1, err2)
	case set.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q", set.Arg(0))
	case o.rounds < 1 || o.time <= 0:
		return nil, errors.New("-rounds and -time must be positive")
	case o.cpuProfile+o.memProfile != "" && (len(o.peers)+len(o.hubPeers) != 1 || len(o.workloads)+len(o.hubLoads) != 1):
		return nil, errors.New("a profile is of one peer and one workload: name them with -peers and -workloads")
	}
	return o, nil
}

// named is a peer or a workload.
type named interface{ title() string }

func names[T named](all []T) string {
	var b strings.Builder
	for i, one := range all {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(one.title())
	}
	return b.String()
}

// choose returns those of all that list names, in any case, in the order of
// all; an empty list names all.
func choose[T named](all []T, list string) ([]T, error) {
	if list == "" {
		return all, nil
	}
	wanted := strings.Split(list, ",")
	chosen := slices.DeleteFunc(slices.Clone(all), func(one T) bool {
		at := slices.IndexFunc(wanted, func(name string) bool { return strings.EqualFold(strings.TrimSpace(name), one.title()) })
		if at < 0 {
			return true
		}
		wanted = slices.Delete(wanted, at, at+1)
		return false
	})
	if len(wanted) > 0 {
		return nil, fmt.Errorf("unknown: %s; there are: %s", strings.Join(wanted, ", "), names(all))
	}
	return chosen, nil
}

// bench measures and writes what came out to where o wants it.
func (o *options) bench(ctx context.Context, stdout, stderr io.Writer) error {
	if o.brokers {
		text, err := o.benchBrokers(ctx, stderr)
		if err != nil {
			return err
		}
		return o.write(stdout, text, brokersMark)
	}
	if o.zmq {
		text, err := o.benchZMQ(ctx, stderr)
		if err != nil {
			return err
		}
		return o.write(stdout, text, zmqMark)
	}
	if o.legacy {
		text, err := o.benchLegacy(ctx, stderr)
		if err != nil {
			return err
		}
		return o.write(stdout, text, legacyMark)
	}
	if o.hub {
		text, err := o.benchHub(ctx, stderr)
		if err != nil {
			return err
		}
		return o.write(stdout, text, hubMark)
	}
	stopProfile, err := o.startProfile()
	if err != nil {
		return err
	}
	results, err := measureAll(ctx, o, newProgress(stderr))
	if err := errors.Join(err, stopProfile()); err != nil {
		return err
	}
	if o.json {
		return results.writeJSON(stdout)
	}
	return o.write(stdout, results.markdown(), tablesMark)
}

// write prints the text, and puts it where mark is in the document.
func (o *options) write(stdout io.Writer, text, mark string) error {
	if _, err := io.WriteString(stdout, text); err != nil {
		return err
	}
	if o.doc == "" {
		return nil
	}
	return replaceInFile(o.doc, mark, text)
}
