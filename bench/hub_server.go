package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"time"

	gostomp "github.com/go-stomp/stomp/v3/server" //nolint:depguard // only to be measured
	nats "github.com/nats-io/nats-server/v2/server"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// These name, in the environment, the server that this program is to be instead
// of measuring, and the file for a CPU profile of it.
const (
	hubServerEnv  = "POLYPORT_BENCH_HUB"
	hubProfileEnv = "POLYPORT_BENCH_HUB_PROFILE"
)

// A hubStart starts a server in this process, and returns where it listens.
type hubStart func(ctx context.Context) (address string, err error)

// hubStarts are the servers that this program can be.
func hubStarts() map[string]hubStart {
	return map[string]hubStart{
		"go-stomp": startGoStomp,
		"nats":     startNATS,
		"floor":    startFloor,

		"polyport-stomp":       startPolyport("stomp", nil),
		"polyport-serve":       startPolyportServe,
		"polyport-amqp":        startPolyport("amqp", nil),
		"polyport-drop-oldest": startPolyport("stomp", &broker.Options{Slow: broker.DropOldest}),
		"polyport-block":       startPolyport("stomp", &broker.Options{Slow: broker.Block}),
		"polyport-disconnect":  startPolyport("stomp", &broker.Options{Slow: broker.Disconnect}),
	}
}

// hub is our own, if that is what this process is.
var hub *broker.Hub

// startPolyport serves a hub by a wire. With options it keeps little for each
// subscriber, so that one that does not read is soon at its bound.
func startPolyport(wire string, o *broker.Options) hubStart {
	return func(ctx context.Context) (string, error) {
		listen := &transport.ListenOptions{}
		if o != nil {
			o.SubscriberBytes, o.SendWait = slowBound, patience
			listen.SendBuffer = slowBound
		}
		hub = broker.New(o)
		listen.Broker = hub
		l, err := transport.Listen(ctx, wire+"://127.0.0.1:0", listen)
		if err != nil {
			return "", err
		}
		ctx = context.WithoutCancel(ctx)
		go func() { _ = rpc.NewServer(rpc.NewMux(nil), nil).Serve(ctx, l) }()
		return l.Addr().String(), nil
	}
}

// ballast is what polyport serve --broker keeps, so that garbage is collected less often.
var ballast []byte

func startPolyportServe(ctx context.Context) (string, error) {
	ballast = make([]byte, 32<<20)
	return startPolyport("stomp", nil)(ctx)
}

// startGoStomp starts go-stomp's server. It does not end with its listener.
func startGoStomp(ctx context.Context) (string, error) {
	ln, err := listen(ctx)
	if err != nil {
		return "", err
	}
	s := &gostomp.Server{Log: silent{}}
	go func() { _ = s.Serve(ln) }()
	return ln.Addr().String(), nil
}

func startNATS(context.Context) (string, error) {
	s, err := nats.NewServer(&nats.Options{Host: "127.0.0.1", Port: nats.RANDOM_PORT, NoLog: true, NoSigs: true})
	if err != nil {
		return "", err
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		return "", errors.New("nats-server does not start")
	}
	return s.Addr().String(), nil
}

// A hubUsage is what a server says of itself.
type hubUsage struct {
	cpu                     time.Duration // that it has used
	heap                    uint64        // after a collection, if asked
	dropped, ended, refused uint64        // by a broker of ours: messages, subscriptions, messages
}

// counts takes over what a policy has done.
func (u *hubUsage) counts(s broker.Stats) {
	u.dropped, u.ended = s.Dropped, s.Disconnected
	for _, one := range s.Subscriptions {
		u.refused += one.Refused
	}
}

// beHubServer is a server until in ends. It writes its address, and for each
// line that it reads its usage.
func beHubServer(name string, in io.Reader, out io.Writer) (err error) {
	start := hubStarts()[name]
	if start == nil {
		return fmt.Errorf("%s=%s: there is no such server", hubServerEnv, name)
	}
	address, err := start(context.Background())
	if err != nil {
		return err
	}
	defer func() { runtime.KeepAlive(ballast) }()
	if file := os.Getenv(hubProfileEnv); file != "" {
		f, err := os.Create(file) //nolint:gosec // the user names the file
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	if _, err := fmt.Fprintln(out, address); err != nil {
		return err
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var u hubUsage
		if u.cpu, err = processorTime(); err != nil {
			return err
		}
		if lines.Text() == "heap" {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			u.heap = m.HeapAlloc
		}
		if hub != nil {
			u.counts(hub.Stats())
		}
		if _, err := fmt.Fprintln(out, int64(u.cpu), u.heap, u.dropped, u.ended, u.refused); err != nil {
			return err
		}
	}
	return nil
}

// A hubServer is a server in a process of its own, so that what it takes can be
// told from what those take who use it.
type hubServer struct {
	address string
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

// startHub starts a server that this program can be; profile is the file for a
// CPU profile of it, or "".
func startHub(ctx context.Context, name, profile string) (*hubServer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self) //nolint:gosec // this very program
	cmd.Env = append(os.Environ(), hubServerEnv+"="+name, hubProfileEnv+"="+profile)
	cmd.Stderr = os.Stderr
	cmd.WaitDelay = patience
	s := &hubServer{cmd: cmd}
	if s.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.out = bufio.NewReader(out)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if _, err := fmt.Fscanln(s.out, &s.address); err != nil {
		return nil, errors.Join(fmt.Errorf("server %s: %w", name, err), s.Close())
	}
	return s, nil
}

// usage asks the server, after a garbage collection if heap is set.
func (s *hubServer) usage(heap bool) (u hubUsage, err error) {
	ask := "usage"
	if heap {
		ask = "heap"
	}
	if _, err := fmt.Fprintln(s.in, ask); err != nil {
		return u, err
	}
	var cpu int64
	_, err = fmt.Fscanln(s.out, &cpu, &u.heap, &u.dropped, &u.ended, &u.refused)
	u.cpu = time.Duration(cpu)
	return u, err
}

// cpu is the processor time that the server has used.
func (s *hubServer) cpu() (time.Duration, error) {
	u, err := s.usage(false)
	return u.cpu, err
}

// Close ends the server.
func (s *hubServer) Close() error {
	return errors.Join(s.in.Close(), s.cmd.Wait())
}
