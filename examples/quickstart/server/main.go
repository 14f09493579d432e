// Command server serves one method, Math.Sum, to STOMP clients.
package main

import (
	"context"
	"fmt"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
	_ "github.com/polyport/polyport/transport/stomp"
)

func main() {
	methods := rpc.NewMux(nil)
	rpc.Handle(methods, "Math.Sum", func(_ context.Context, numbers []float64) (sum float64, err error) {
		for _, n := range numbers {
			sum += n
		}
		return sum, nil
	})
	l, err := transport.Listen(context.Background(), "stomp://127.0.0.1:7070", nil)
	if err != nil {
		panic(err)
	}
	fmt.Println("listening", l.Addr())
	panic(rpc.NewServer(methods, nil).Serve(context.Background(), l))
}
