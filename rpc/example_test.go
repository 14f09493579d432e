package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
	_ "github.com/polyport/polyport/transport/mem"
	_ "github.com/polyport/polyport/transport/stomp"
)

// local serves mux in this process and returns a client of it.
func local(mux *rpc.Mux, o *rpc.ClientOptions) (c *rpc.Client, stop func()) {
	ctx := context.Background()
	listener, err := transport.Listen(ctx, "mem://", nil)
	if err != nil {
		panic(err)
	}
	server := rpc.NewServer(mux, nil)
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, listener) }()
	c, err = rpc.Dial(ctx, "mem://"+listener.Addr().String(), o)
	if err != nil {
		panic(err)
	}
	return c, func() {
		_ = c.Close()
		_ = listener.Close()
		<-served
		_ = server.Shutdown(ctx)
	}
}

// A method takes its params by name or by position, and its caller need not
// know which fields are there to be left out.
func ExampleHandle() {
	type params struct {
		Name  string `json:"name"`
		Times int    `json:"times,omitempty"`
	}
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Greet", func(_ context.Context, p params) (string, error) {
		return "hello" + strings.Repeat(", hello", p.Times) + " " + p.Name, nil
	})

	client, stop := local(mux, nil)
	defer stop()
	ctx := context.Background()
	fmt.Println(rpc.Call[string](ctx, client, "Greet", map[string]any{"name": "Ada", "times": 1}))
	fmt.Println(rpc.Call[string](ctx, client, "Greet", []any{"Ada"}))
	fmt.Println(rpc.Call[string](ctx, client, "Greet", map[string]any{"Name": "Ada"}))
	// Output:
	// hello, hello Ada <nil>
	// hello Ada <nil>
	//  invalid params: "name" is missing; expected name, times (-32602)
}

// Account is a service: its methods are called Account.Deposit and so on.
type Account struct{ balance int }

func (a *Account) Deposit(_ context.Context, amount int) (int, error) {
	if amount <= 0 {
		return 0, rpc.Errorf(1, "cannot deposit %d", amount)
	}
	a.balance += amount
	return a.balance, nil
}

func (a *Account) Balance(context.Context) (int, error) { return a.balance, nil }

func ExampleMux_Register() {
	mux := rpc.NewMux(nil)
	if err := mux.Register("Account", new(Account)); err != nil {
		panic(err)
	}
	fmt.Println(mux.Methods())

	client, stop := local(mux, nil)
	defer stop()
	ctx := context.Background()
	fmt.Println(rpc.Call[int](ctx, client, "Account.Deposit", []int{100}))
	fmt.Println(rpc.Call[int](ctx, client, "Account.Deposit", []int{-5}))
	fmt.Println(rpc.Call[int](ctx, client, "Account.Balance", nil))
	// Output:
	// [Account.Balance Account.Deposit]
	// 100 <nil>
	// 0 cannot deposit -5 (1)
	// 100 <nil>
}

// sums is a mux with one method.
func sums() *rpc.Mux {
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Math.Sum", func(_ context.Context, terms []float64) (float64, error) {
		sum := 0.0
		for _, t := range terms {
			sum += t
		}
		return sum, nil
	})
	return mux
}

func ExampleClient_Call() {
	client, stop := local(sums(), nil)
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	var sum float64
	if err := client.Call(ctx, "Math.Sum", []float64{1, 2, 3.5}, &sum); err != nil {
		panic(err)
	}
	fmt.Println(sum)
	// Output: 6.5
}

func ExampleCall() {
	client, stop := local(sums(), nil)
	defer stop()
	sum, err := rpc.Call[float64](context.Background(), client, "Math.Sum", []int{1, 2, 3})
	fmt.Println(sum, err)
	// Output: 6 <nil>
}

// The calls are under way together; Get waits for one of them.
func ExampleGo() {
	client, stop := local(sums(), nil)
	defer stop()
	ctx := context.Background()
	small := rpc.Go[float64](ctx, client, "Math.Sum", []int{1, 2})
	large := rpc.Go[float64](ctx, client, "Math.Sum", []int{1000, 2000})
	fmt.Println(large.Get(ctx))
	fmt.Println(small.Get(ctx))
	// Output:
	// 3000 <nil>
	// 3 <nil>
}

// A batch is one message with many calls. The future of each holds its result
// when Do returns.
func ExampleClient_Do() {
	client, stop := local(sums(), nil)
	defer stop()
	ctx := context.Background()

	var batch rpc.Batch
	one := rpc.Add[float64](&batch, "Math.Sum", []int{1, 2})
	two := rpc.Add[float64](&batch, "Math.Product", []int{3, 4})
	batch.Notify("Math.Sum", []int{5})
	if err := client.Do(ctx, &batch); err != nil {
		panic(err) // not one was answered
	}
	fmt.Println(one.Get(ctx))
	fmt.Println(two.Get(ctx))
	// Output:
	// 3 <nil>
	// 0 method "Math.Product" not found (-32601)
}

func ExampleAdd() {
	client, stop := local(sums(), nil)
	defer stop()
	var batch rpc.Batch
	future := rpc.Add[int](&batch, "Math.Sum", []int{20, 22})
	fmt.Println("calls and notifications:", batch.Len())
	_ = client.Do(context.Background(), &batch)
	fmt.Println(future.Get(context.Background()))
	// Output:
	// calls and notifications: 1
	// 42 <nil>
}

// A notification has no answer, so nobody learns whether it succeeded.
func ExampleClient_Notify() {
	told := make(chan string)
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Log", func(_ context.Context, text string) (any, error) {
		told <- text
		return nil, nil
	})

	client, stop := local(mux, nil)
	defer stop()
	if err := client.Notify(context.Background(), "Log", []string{"it rains"}); err != nil {
		panic(err)
	}
	fmt.Println(<-told)
	// Output: it rains
}

// One server answers on any number of listeners, whatever their wires.
func ExampleServer_Serve() {
	ctx := context.Background()
	server := rpc.NewServer(sums(), nil)

	var listeners []*transport.Listener
	for _, url := range []string{"stomp://127.0.0.1:0", "mem://calculator"} {
		listener, err := transport.Listen(ctx, url, nil)
		if err != nil {
			panic(err)
		}
		listeners = append(listeners, listener)
		go server.Serve(ctx, listener)
	}

	for _, url := range []string{"stomp://" + listeners[0].Addr().String(), "mem://calculator"} {
		client, err := rpc.Dial(ctx, url, nil)
		if err != nil {
			panic(err)
		}
		fmt.Println(rpc.Call[float64](ctx, client, "Math.Sum", []int{1, 2, 3}))
		_ = client.Close()
	}

	for _, listener := range listeners {
		_ = listener.Close()
	}
	if err := server.Shutdown(ctx); err != nil {
		panic(err)
	}
	// Output:
	// 6 <nil>
	// 6 <nil>
}

// The work of a server ends in order: no new connections, no new requests,
// answers to those accepted.
func ExampleServer_Shutdown() {
	ctx := context.Background()
	listener, err := transport.Listen(ctx, "mem://", nil)
	if err != nil {
		panic(err)
	}
	server := rpc.NewServer(sums(), nil)
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, listener) }()

	_ = listener.Close()
	fmt.Println("serve:", <-served)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	fmt.Println("shutdown:", server.Shutdown(ctx))
	// Output:
	// serve: <nil>
	// shutdown: <nil>
}

// A handler can ask who calls, and how.
func ExampleFromContext() {
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "WhoAmI", func(ctx context.Context, _ struct{}) (string, error) {
		r, _ := rpc.FromContext(ctx)
		return fmt.Sprintf("%q calls %s over %s", r.Info.User, r.Method, r.Info.Scheme), nil
	})

	client, stop := local(mux, nil)
	defer stop()
	fmt.Println(rpc.Call[string](context.Background(), client, "WhoAmI", nil))
	// Output: "" calls WhoAmI over mem <nil>
}

// Both ends of a connection may call: here a long job asks its caller whether
// to go on.
func ExampleRequest_Client() {
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Delete", func(ctx context.Context, name string) (string, error) {
		r, _ := rpc.FromContext(ctx)
		sure, err := rpc.Call[bool](ctx, r.Client(), "Confirm", []string{"really delete " + name + "?"})
		if err != nil || !sure {
			return "kept", err
		}
		return "deleted", nil
	})
	caller := rpc.NewMux(nil)
	rpc.Handle(caller, "Confirm", func(_ context.Context, question string) (bool, error) {
		fmt.Println(question)
		return true, nil
	})

	client, stop := local(mux, &rpc.ClientOptions{Mux: caller})
	defer stop()
	fmt.Println(rpc.Call[string](context.Background(), client, "Delete", []string{"notes.txt"}))
	// Output:
	// really delete notes.txt?
	// deleted <nil>
}

// A call that was not sent may be repeated. One whose outcome is unknown may
// have been executed.
func ExampleOutcomeOf() {
	client, stop := local(sums(), nil)
	ctx := context.Background()
	fmt.Println(rpc.OutcomeOf(client.Call(ctx, "Math.Sum", []int{1}, nil)))
	fmt.Println(rpc.OutcomeOf(client.Call(ctx, "Math.Product", []int{1}, nil)))
	stop()
	err := client.Call(ctx, "Math.Sum", []int{1}, nil)
	fmt.Println(rpc.OutcomeOf(err), errors.Is(err, rpc.ErrClosed))
	// Output:
	// answered
	// answered
	// not sent true
}

// An Error says that the server answered, and what.
func ExampleError() {
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Book", func(_ context.Context, seat int) (any, error) {
		return nil, &rpc.Error{Code: 409, Message: "taken", Data: []byte(`{"free":[7,8]}`)}
	})

	client, stop := local(mux, nil)
	defer stop()
	err := client.Call(context.Background(), "Book", []int{6}, nil)
	if e, ok := errors.AsType[*rpc.Error](err); ok {
		fmt.Println(e.Code, e.Message, string(e.Data))
	}
	// Output: 409 taken {"free":[7,8]}
}

// A call with a handle runs once, and whoever has the handle can come back to
// it.
func ExampleDetach() {
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Report", func(context.Context, struct{}) (string, error) {
		fmt.Println("at work")
		return "all is well", nil
	})
	mux.Configure("Report", rpc.MethodOptions{Async: true})
	server := rpc.NewServer(mux, nil)
	l, err := transport.Listen(context.Background(), "mem://", nil)
	if err != nil {
		panic(err)
	}
	go server.Serve(context.Background(), l)

	o := &rpc.DetachOptions{Handle: rpc.NewHandle()}
	for range 2 {
		client, err := rpc.Dial(context.Background(), "mem://"+l.Addr().String(), nil)
		if err != nil {
			panic(err)
		}
		fmt.Println(rpc.Detach[string](context.Background(), client, "Report", nil, o).Get(context.Background()))
		_ = client.Close()
	}
	_ = l.Close()
	_ = server.Shutdown(context.Background())
	// Output:
	// at work
	// all is well <nil>
	// all is well <nil>
}

// A client dials as many connections as may be under way at once where the wire is
// in lock-step.
func ExampleClient_LockstepStats() {
	ctx := context.Background()
	listener, _ := transport.Listen(ctx, "mem://in-step", nil)
	server := rpc.NewServer(sums(), nil)
	go func() { _ = server.Serve(ctx, listener) }()
	defer func() {
		_ = listener.Close()
		_ = server.Shutdown(ctx)
	}()

	client, _ := rpc.Dial(ctx, "mem://in-step?socket=req", &rpc.ClientOptions{Conns: 8})
	defer client.Close()
	sum, _ := rpc.Call[float64](ctx, client, "Math.Sum", []int{1, 2, 3})
	stats, lockstep := client.LockstepStats()
	fmt.Println(sum, lockstep, stats.Opened, stats.Replaced, client.Late())
	// Output: 6 true 1 0 0
}
