// Command client calls the method of the server beside it.
package main

import (
	"context"
	"fmt"

	"github.com/polyport/polyport/rpc"
	_ "github.com/polyport/polyport/transport/stomp"
)

func main() {
	c, err := rpc.Dial(context.Background(), "stomp://127.0.0.1:7070", nil)
	if err != nil {
		panic(err)
	}
	defer c.Close()
	fmt.Println(rpc.Call[float64](context.Background(), c, "Math.Sum", []float64{1, 2, 3}))
}
