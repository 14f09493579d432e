package stomp_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
	"github.com/polyport/polyport/transport/stomp"
)

// Importing the package is enough to listen and dial by URL.
func Example() {
	ctx := context.Background()
	l, err := transport.Listen(ctx, "stomp://127.0.0.1:0", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	served := make(chan struct{})
	go func() { // a server of one connection that shouts back
		defer close(served)
		c, err := l.Accept(ctx)
		if err != nil {
			return
		}
		defer c.Close()
		for {
			m, err := c.Recv(ctx)
			if err != nil {
				return
			}
			_ = c.Send(ctx, &transport.Message{
				To: m.ReplyTo, CorrelationID: m.CorrelationID, Body: []byte(strings.ToUpper(string(m.Body))),
			})
			_ = m.Settle(transport.Accepted)
		}
	}()

	c, err := transport.Dial(ctx, "stomp://"+l.Addr().String(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	replies, _ := transport.As[transport.ReplyAddresser](c)
	replyTo, _ := replies.ReplyAddress(ctx)
	_ = c.Send(ctx, &transport.Message{ReplyTo: replyTo, CorrelationID: transport.TextID("1"), Body: []byte("hello")})
	m, err := c.Recv(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("STOMP %s: answer to %v: %s\n", c.Info().Version, m.CorrelationID, m.Body)
	_ = c.Close()
	<-served
	// Output: STOMP 1.2: answer to 1: HELLO
}

// A version can be asked for in the URL; without it the highest that both ends
// know is taken.
func ExampleTransport_Client() {
	near, far := mem.Pipe()
	defer near.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if c, err := (stomp.Transport{}).Server(context.Background(), far, nil); err == nil {
			_, _ = c.Recv(context.Background())
			_ = c.Close()
		}
	}()
	u, _ := url.Parse("stomp://localhost/queue/calc?version=1.1")
	c, err := stomp.Transport{}.Client(context.Background(), near, u, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("version", c.Info().Version, "of", c.Info().Peer)
	_ = c.Close()
	<-done
	// Output: version 1.1 of polyport
}

// A server refuses what it cannot accept with an ERROR frame, and says why to
// its own side as well.
func ExampleTransport_Server() {
	near, far := mem.Pipe()
	defer near.Close()
	o := &transport.ListenOptions{Authenticator: transport.Users(map[string]string{"ann": "secret"})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := stomp.Transport{}.Server(context.Background(), far, o)
		fmt.Println("server:", errors.Is(err, transport.ErrRefused))
	}()
	u, _ := url.Parse("stomp://ann:guess@localhost")
	_, err := stomp.Transport{}.Client(context.Background(), near, u, nil)
	_ = near.Close()
	<-done
	fmt.Println("client:", transport.Reason(err))
	// Output:
	// server: true
	// client: access refused; check user and password
}
