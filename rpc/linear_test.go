package rpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/faultconn"
	"github.com/polyport/polyport/transport/mem"
)

// histories is how many the tests of this file check on each wire.
func histories(t *testing.T) int {
	t.Helper()
	n := 200
	switch {
	case os.Getenv("POLYPORT_LONG") == "1":
		n = 10_000
	case testing.Short():
		n = 50
	}
	t.Logf("%d histories; POLYPORT_LONG=1 makes it 10000", n)
	return n
}

// A registers is a service of registers, by key.
type registers struct {
	mu    sync.Mutex // protects the field below
	cells map[int]int
	// torn has another goroutine run between the read and the write of an
	// operation, which must then be kept apart by their order.
	torn bool
}

type registerParams struct {
	Key int `json:"key"`
	Old int `json:"old"`
	New int `json:"new"`
}

func (r *registers) get(key int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cells[key]
}

// swap sets a cell if it holds old, or in any case if old is negative, and returns
// what it held.
func (r *registers) swap(p registerParams) int {
	if r.torn {
		was := r.get(p.Key)
		runtime.Gosched()
		if p.Old < 0 || was == p.Old {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.cells[p.Key] = p.New
		}
		return was
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.cells[p.Key]
	if p.Old < 0 || was == p.Old {
		r.cells[p.Key] = p.New
	}
	return was
}

func (r *registers) mux() *rpc.Mux {
	r.cells = make(map[int]int)
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Reg.Get", func(_ context.Context, p registerParams) (int, error) { return r.get(p.Key), nil })
	rpc.Handle(mux, "Reg.Swap", func(_ context.Context, p registerParams) (int, error) { return r.swap(p), nil })
	return mux
}

// A registerOp is an operation as porcupine sees it. What it returned is unknown
// if the outcome of the call is.
type registerOp struct {
	registerParams
	get     bool
	client  int
	seq     int // of the client's operations on the key, if they must be executed in order
	was     int
	unknown bool
}

// registerState is that of one key.
type registerState struct {
	value int
	last  [4]int // by client
}

var registerModel = porcupine.Model{
	Init: func() any { return registerState{} },
	Partition: func(all []porcupine.Operation) (parts [][]porcupine.Operation) {
		byKey := make(map[int][]porcupine.Operation)
		for _, op := range all {
			key := op.Input.(registerOp).Key
			byKey[key] = append(byKey[key], op)
		}
		for _, ops := range byKey {
			parts = append(parts, ops)
		}
		return parts
	},
	Step: func(state, in, _ any) (bool, any) {
		s, op := state.(registerState), in.(registerOp)
		if !op.unknown && op.was != s.value {
			return false, s
		}
		if op.seq > 0 {
			if op.seq <= s.last[op.client] {
				return op.unknown, s // then it never happened
			}
			s.last[op.client] = op.seq
		}
		if !op.get && (op.Old < 0 || op.Old == s.value) {
			s.value = op.New
		}
		return true, s
	},
	DescribeOperation: func(in, _ any) string { return fmt.Sprintf("%+v", in) },
}

// A cluster is a server and clients whose connections fail now and then.
type cluster struct {
	clients []*rpc.Client
	clock   atomic.Int64
	lastKey int
	lastNew atomic.Int64
	counts  [3]counter // by outcome
	faults  counter
}

// clusterOptions adjust a cluster.
type clusterOptions struct {
	server  *rpc.ServerOptions
	cut     bool
	ordered bool                                // each client's calls of a key must be executed in order
	wrap    func(transport.Conn) transport.Conn // nil for none
}

const clusterSize = 4

func newCluster(t *testing.T, tr transport.Transport, r *registers, o clusterOptions) *cluster {
	t.Helper()
	network := new(mem.Network)
	ln, err := network.Listen("server")
	if err != nil {
		t.Fatal(err)
	}
	l := transport.NewListener(ln, tr, &transport.ListenOptions{Options: still()})
	srv := rpc.NewServer(r.mux(), o.server)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(context.Background(), l) }()
	cl := new(cluster)
	t.Cleanup(func() {
		for _, c := range cl.clients {
			_ = c.Close()
		}
		_ = l.Close()
		<-served
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown() = %v, want nil", err)
		}
	})
	dial := func(ctx context.Context) (transport.Conn, error) {
		nc, err := network.Dial(ctx, "server")
		if err != nil {
			return nil, err
		}
		if o.cut {
			kinds := []faultconn.Kind{faultconn.Cut, faultconn.Reset}
			dirs := []faultconn.Dir{faultconn.Read, faultconn.Write}
			cl.faults.add(1)
			nc = faultconn.Wrap(nc, &faultconn.Schedule{Rules: []faultconn.Rule{{
				Dir: dirs[rand.IntN(2)], Unit: faultconn.Byte, At: 400 + rand.Int64N(8000), Kind: kinds[rand.IntN(2)],
			}}})
		}
		conn, err := tr.Client(ctx, nc, testURL, &transport.DialOptions{Options: still()})
		if err == nil && o.wrap != nil {
			conn = o.wrap(conn)
		}
		return conn, err
	}
	for i := range clusterSize {
		conn, err := transport.Redial(t.Context(), "mem://unused", &transport.RedialOptions{
			DialOptions: transport.DialOptions{Options: still()}, First: 100 * time.Microsecond, Most: time.Millisecond, Dial: dial,
		})
		if err != nil {
			t.Fatal(err)
		}
		cl.clients = append(cl.clients, rpc.NewClient(conn, &rpc.ClientOptions{AutoBatch: i % 2 * 4}))
	}
	return cl
}

// history makes operations on two keys by all clients at once, and returns those
// that may have been executed.
func (cl *cluster) history(t *testing.T, ordered bool) []porcupine.Operation {
	t.Helper()
	keys := []int{cl.lastKey + 1, cl.lastKey + 2}
	cl.lastKey += 2
	var mu sync.Mutex
	var all []porcupine.Operation
	var wg sync.WaitGroup
	for i, c := range cl.clients {
		callers := 2
		if ordered {
			callers = 1
		}
		for range callers {
			wg.Go(func() {
				var calls sync.WaitGroup
				defer calls.Wait()
				for seq := 1; seq <= 4; seq++ {
					op := registerOp{client: i, registerParams: registerParams{Key: keys[rand.IntN(2)], Old: -1}}
					if ordered {
						op.seq = seq
					}
					switch rand.IntN(3) {
					case 0:
						op.get = true
					case 1:
						op.Old = int(cl.lastNew.Load()) - rand.IntN(3)
					}
					op.New = int(cl.lastNew.Add(1))
					finish := cl.begin(t, c, &op)
					book := func() {
						if done, ok := finish(); ok {
							mu.Lock()
							defer mu.Unlock()
							all = append(all, done)
						}
					}
					if ordered {
						calls.Go(book) // the next one is sent at once
					} else {
						book()
					}
				}
			})
		}
	}
	wg.Wait()
	return all
}

// begin sends one operation. The function that it returns waits for its end; ok is
// false if it was not executed, or changed nothing for all that is known.
func (cl *cluster) begin(t *testing.T, c *rpc.Client, op *registerOp) func() (done porcupine.Operation, ok bool) {
	t.Helper()
	method := "Reg.Swap"
	if op.get {
		method = "Reg.Get"
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	if rand.IntN(5) == 0 {
		ctx, cancel = context.WithTimeout(t.Context(), time.Duration(rand.IntN(300))*time.Microsecond)
	}
	called := cl.clock.Add(1)
	f := rpc.Go[int](ctx, c, method, op.registerParams)
	if rand.IntN(10) == 0 {
		runtime.Gosched()
		f.Cancel(nil)
	}
	return func() (porcupine.Operation, bool) {
		defer cancel()
		was, err := f.Get(context.Background())
		outcome := rpc.OutcomeOf(err)
		if e, ok := errors.AsType[*rpc.Error](err); ok && (e.Code == rpc.CodeDeadline || e.Code == rpc.CodeCancelled) {
			outcome = rpc.NotSent // or not executed: the handlers do not look at their contexts
		}
		cl.counts[outcome].add(1)
		done := porcupine.Operation{ClientId: op.client, Call: called, Return: math.MaxInt64}
		switch {
		case outcome == rpc.NotSent, outcome == rpc.Unknown && op.get:
			return done, false
		case outcome == rpc.Unknown:
			op.unknown = true
		case err != nil:
			t.Errorf("%s = %v", method, err)
		default:
			op.was, done.Return = was, cl.clock.Add(1)
		}
		done.Input = *op
		return done, true
	}
}

// isLegal reports whether a history is legal.
func isLegal(t *testing.T, all []porcupine.Operation) bool {
	t.Helper()
	switch porcupine.CheckOperationsTimeout(registerModel, all, patience) {
	case porcupine.Ok:
		return true
	case porcupine.Unknown:
		t.Fatal("the checker has not come to an end")
	}
	return false
}

// keyedRegisters are options for a server whose operations are kept apart by key.
func keyedRegisters() *rpc.ServerOptions {
	return &rpc.ServerOptions{Services: map[string]rpc.ServiceOptions{"Reg": {Key: "key", Queue: &queue.Options{Workers: 8}}}}
}

// TestLinearizable: registers behind calls behave as if each operation that was
// answered had happened at one moment between its call and its answer, one whose
// outcome is unknown at any later moment or never, and one that was not sent
// never; whatever happens to connections and contexts meanwhile.
func TestLinearizable(t *testing.T) {
	for _, tt := range []struct {
		name string
		torn bool
		o    clusterOptions
	}{
		{"atomic", false, clusterOptions{cut: true}},
		{"kept apart by key", true, clusterOptions{cut: true, server: keyedRegisters()}},
		{"in order by key", true, clusterOptions{ordered: true, server: keyedRegisters()}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, tr := range transports {
				t.Run(name, func(t *testing.T) {
					cl := newCluster(t, tr, &registers{torn: tt.torn}, tt.o)
					n := histories(t)
					for i := range n {
						if all := cl.history(t, tt.o.ordered); !isLegal(t, all) {
							for _, op := range all {
								t.Logf("%d to %d: %+v", op.Call, op.Return, op.Input)
							}
							t.Fatalf("history %d is not linearizable", i)
						}
					}
					t.Logf("%d answered, %d not sent, %d unknown; %d connections", cl.counts[rpc.Answered].n(),
						cl.counts[rpc.NotSent].n(), cl.counts[rpc.Unknown].n(), cl.faults.n())
					notSent := cl.counts[rpc.NotSent].n() > 0 || n < 1000 // they are rare
					if cl.counts[rpc.Unknown].n() == 0 || !notSent || tt.o.cut && cl.faults.n() <= clusterSize {
						t.Error("want some unknown, some not sent, and connections to fail where they are to")
					}
				})
			}
		})
	}
}

// TestLinearizableFinds: histories of what is broken are found to be illegal.
func TestLinearizableFinds(t *testing.T) {
	for _, tt := range []struct {
		name string
		torn bool
		o    clusterOptions
	}{
		{"a server that executes what was not sent", false, clusterOptions{wrap: func(c transport.Conn) transport.Conn { return liar{c} }}},
		{"an answer to another call", false, clusterOptions{wrap: func(c transport.Conn) transport.Conn { return &mixer{Conn: c} }}},
		{"operations that are not kept apart", true, clusterOptions{}},
		{"calls that are not kept in order", false, clusterOptions{ordered: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cl := newCluster(t, mem.Transport{}, &registers{torn: tt.torn}, tt.o)
			for i := range 5000 {
				if !isLegal(t, cl.history(t, tt.o.ordered)) {
					t.Logf("found in history %d", i)
					return
				}
			}
			t.Error("all histories are legal")
		})
	}
}

// A liar says of some messages that they were not sent.
type liar struct{ transport.Conn }

func (l liar) Send(ctx context.Context, m *transport.Message) error {
	err := l.Conn.Send(ctx, m)
	if err == nil && rand.IntN(10) == 0 {
		return &transport.OpError{Op: "send", Scheme: "liar", Err: transport.ErrBusy}
	}
	return err
}

// A mixer gives some calls the result of an earlier one.
type mixer struct {
	transport.Conn
	last []byte
}

var resultMember = regexp.MustCompile(`"result":[^,}]*`)

func (x *mixer) Recv(ctx context.Context) (*transport.Message, error) {
	m, err := x.Conn.Recv(ctx)
	if err != nil || !json.Valid(m.Body) {
		return m, err
	}
	if now := resultMember.Find(m.Body); now != nil {
		kept := append([]byte(nil), now...)
		if x.last != nil && rand.IntN(10) == 0 {
			m.Body = resultMember.ReplaceAll(m.Body, x.last)
		}
		x.last = kept
	}
	return m, nil
}
