package conformance_test

import (
	"context"
	"fmt"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// A server that somebody else runs; here it runs in this process.
func ExampleServer() {
	l, err := transport.Listen(context.Background(), "stomp://127.0.0.1:0", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	s := rpc.NewServer(rpc.NewMux(nil), nil)
	served := make(chan error)
	go func() { served <- s.Serve(context.Background(), l) }()

	h := conformance.Harness{Server: &conformance.Server{
		Dial: func(ctx context.Context, o *transport.DialOptions) (transport.Conn, error) {
			return transport.Dial(ctx, "stomp://"+l.Addr().String(), o)
		},
	}}
	for r := range conformance.Check(context.Background(), h, "IDNull", "Batch", "Result") {
		fmt.Printf("%s %s %q\n", r.Verdict, r.Rule.Name, r.Log)
	}

	_ = l.Close()
	_ = s.Shutdown(context.Background())
	<-served
	// Output:
	// pass IDNull ""
	// pass Batch ""
	// skip Result "the server has no method Echo, which gives back its params"
}

func ExampleServerRules() {
	for _, r := range conformance.ServerRules()[:2] {
		fmt.Println(r.Name+":", r.Text)
	}
	// Output:
	// MethodNotFound: A method that does not exist, in this case of letters, is answered by -32601 (section 5.1).
	// Result: A Response has the version, the id, and either a result or an error (section 5).
}

// What a broker does that nobody has declared; here the broker is in this
// process, too.
func ExampleBroker_Learn() {
	unknown := conformance.Broker{Dial: new(middleman).broker().Dial}
	if err := unknown.Learn(context.Background()); err != nil {
		fmt.Println(err)
	}
	fmt.Println("renames addresses:", unknown.Renames)
	fmt.Println("adds headers:", unknown.Adds)
	fmt.Println("holds what was released:", unknown.HoldsReleased)
	// Output:
	// renames addresses: true
	// adds headers: [seen]
	// holds what was released: true
}
