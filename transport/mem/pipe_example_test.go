package mem_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/polyport/polyport/transport/mem"
)

func ExamplePipe() {
	a, b := mem.Pipe()
	fmt.Fprint(a, "nobody has to read yet") // does not wait
	a.Close()

	text, err := io.ReadAll(b)
	fmt.Printf("%s, %v\n", text, err)
	// Output: nobody has to read yet, <nil>
}

func ExamplePipeSize() {
	a, _ := mem.PipeSize(4)
	a.SetWriteDeadline(time.Now().Add(time.Millisecond))
	n, err := fmt.Fprint(a, "too long")
	fmt.Println(n, errors.Is(err, os.ErrDeadlineExceeded))
	// Output: 4 true
}

func ExampleNetwork() {
	var n mem.Network
	l, err := n.Listen("greeter:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		fmt.Fprint(c, "hello from ", c.LocalAddr())
	}()

	c, err := n.Dial(context.Background(), l.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	text, _ := io.ReadAll(c)
	fmt.Println(string(text))

	_, err = n.Dial(context.Background(), "greeter:99")
	fmt.Println(err)
	// Output:
	// hello from greeter:1
	// dial mem greeter:99: connect: connection refused
}
