package port_test

import (
	"context"
	"fmt"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport/port"
)

// Every wire that the program imports is served at one port.
func ExampleListen() {
	methods := rpc.NewMux(nil)
	rpc.Handle(methods, "Math.Sum", func(_ context.Context, numbers []int) (sum int, err error) {
		for _, n := range numbers {
			sum += n
		}
		return sum, nil
	})
	l, err := port.Listen(context.Background(), "127.0.0.1:0", nil)
	if err != nil {
		panic(err)
	}
	server := rpc.NewServer(methods, nil)
	served := make(chan error)
	go func() { served <- server.Serve(context.Background(), l) }()

	for _, scheme := range []string{"amqp", "http", "stomp", "zmq"} {
		c, err := rpc.Dial(context.Background(), scheme+"://"+l.Addr().String(), nil)
		if err != nil {
			panic(err)
		}
		sum, err := rpc.Call[int](context.Background(), c, "Math.Sum", []int{1, 2, 3})
		fmt.Println(scheme, sum, err)
		c.Close()
	}
	_ = l.Close()
	_ = server.Shutdown(context.Background())
	<-served
	// Output:
	// amqp 6 <nil>
	// http 6 <nil>
	// stomp 6 <nil>
	// zmq 6 <nil>
}
