package transport_test

import (
	"context"
	"fmt"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

// Wires register when their package is imported. Here the reference wire,
// which is at home in memory, gets a scheme of its own over TCP.
func init() { //nolint:gochecknoinits // wires register when their package is imported
	transport.Register(transport.Scheme{Name: "memtcp", Port: "4711", Transport: mem.Transport{}})
}

func ExampleRegister() {
	ctx := context.Background()
	l, err := transport.Listen(ctx, "memtcp://127.0.0.1:0", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(ctx); err == nil {
			_ = c.Send(ctx, &transport.Message{Body: []byte("hello over TCP")})
			_ = c.Close()
		}
	}()

	c, err := transport.Dial(ctx, "memtcp://"+l.Addr().String(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	m, err := c.Recv(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s\n", m.Body)
	// Output: hello over TCP
}
