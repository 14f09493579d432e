package mem_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

// A server and a client of one process, by their URL alone.
func Example() {
	ctx := context.Background()
	l, err := transport.Listen(ctx, "mem://calc", nil)
	if err != nil {
		panic(err)
	}
	client, err := transport.Dial(ctx, "mem://calc", nil)
	if err != nil {
		panic(err)
	}
	server, err := l.Accept(ctx)
	if err != nil {
		panic(err)
	}
	_ = client.Send(ctx, &transport.Message{CorrelationID: transport.NumberID(1), Body: []byte("2+2")})
	ask, _ := server.Recv(ctx)
	_ = server.Send(ctx, &transport.Message{To: ask.ReplyTo, CorrelationID: ask.CorrelationID, Body: []byte("4")})
	answer, _ := client.Recv(ctx)
	fmt.Printf("%s = %s\n", ask.Body, answer.Body)

	go func() { _ = client.Close() }()
	_, err = server.Recv(ctx)
	fmt.Println(errors.Is(err, transport.ErrClosed))
	_ = server.Close()
	_ = l.Close()
	// Output:
	// 2+2 = 4
	// true
}

// The wire runs over any net.Conn.
func ExampleTransport() {
	ctx := context.Background()
	near, far := mem.Pipe()
	accepted := make(chan transport.Conn)
	go func() {
		c, _ := mem.Transport{}.Server(ctx, far, nil)
		accepted <- c
	}()
	client, err := mem.Transport{}.Client(ctx, near, &url.URL{Path: "/rpc"}, nil)
	if err != nil {
		panic(err)
	}
	server := <-accepted
	fmt.Println(client.Info().Scheme, server.Info().Version, server.Info().Peer)

	go func() { _ = server.Close() }()
	_ = client.Close()
	// Output:
	// mem 1 polyport
}
