package transport_test

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

// serve accepts connections of l, until it is closed, and has answer called
// for each message that they send.
func serve(l *transport.Listener, answer func(transport.Conn, *transport.Message)) {
	ctx := context.Background()
	for {
		c, err := l.Accept(ctx)
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			for {
				m, err := c.Recv(ctx)
				if err != nil {
					return
				}
				answer(c, m)
			}
		}()
	}
}

// echo sends the body back to where the message wants its answer.
func echo(c transport.Conn, m *transport.Message) {
	_ = c.Send(context.Background(), &transport.Message{To: m.ReplyTo, CorrelationID: m.ID, Body: m.Body})
	_ = m.Settle(transport.Accepted)
}

// A peer calls another. With another import and URL the same code speaks STOMP
// to a broker.
func Example() {
	ctx := context.Background()
	l, err := transport.Listen(ctx, "mem://calculator", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	go serve(l, echo)

	c, err := transport.Dial(ctx, "mem://calculator", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	if err := c.Send(ctx, &transport.Message{ID: transport.NumberID(1), Body: []byte("hello")}); err != nil {
		fmt.Println(err)
		return
	}
	m, err := c.Recv(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("answer to %v: %s\n", m.CorrelationID, m.Body)
	// Output: answer to 1: hello
}

func ExampleDial() {
	ctx := context.Background()
	_, err := transport.Dial(ctx, "mem://nobody", nil)
	if op, ok := errors.AsType[*transport.OpError](err); ok {
		fmt.Println(op.Op, "failed at", op.Scheme, op.Addr)
	}
	_, err = transport.Dial(ctx, "gopher://me:secret@host/", nil)
	fmt.Println(err)
	// Output:
	// dial failed at mem nobody
	// dial: transport: unknown scheme "gopher"; known are line, lines, mem, memtcp, pipe
}

func ExampleListen() {
	ctx := context.Background()
	l, err := transport.Listen(ctx, "mem://door", &transport.ListenOptions{
		Authenticator: transport.Users(map[string]string{"alice": "rabbit"}),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	go serve(l, echo)

	for _, url := range []string{"mem://alice:rabbit@door", "mem://alice:hatter@door"} {
		c, err := transport.Dial(ctx, url, nil)
		if err != nil {
			fmt.Println("turned away:", transport.Reason(err))
			continue
		}
		fmt.Println("let in:", c.Info().User)
		_ = c.Close()
	}
	// Output:
	// let in: alice
	// turned away: access refused; check user and password
}

// Any net.Listener will do, such as one with a test's own network.
func ExampleNewListener() {
	ctx := context.Background()
	var network mem.Network
	ln, err := network.Listen("")
	if err != nil {
		fmt.Println(err)
		return
	}
	l := transport.NewListener(ln, mem.Transport{}, nil)
	defer l.Close()
	fmt.Println(l.Addr())

	if err := l.Close(); err != nil {
		fmt.Println(err)
	}
	_, err = l.Accept(ctx)
	fmt.Println(errors.Is(err, transport.ErrClosed))
	// Output:
	// mem:1
	// true
}

// The connection below is lost; the one above is made anew by the next Recv.
func ExampleRedial() {
	ctx := context.Background()
	l, err := transport.Listen(ctx, "mem://restless", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	go func() { // a server that closes each connection after one message
		for {
			c, err := l.Accept(ctx)
			if err != nil {
				return
			}
			_ = c.Send(ctx, &transport.Message{Body: []byte("hello")})
			_ = c.Close()
		}
	}()

	c, err := transport.Redial(ctx, "mem://restless", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	for range 4 {
		m, err := c.Recv(ctx)
		switch {
		case err == nil:
			fmt.Printf("%s\n", m.Body)
		case errors.Is(err, transport.ErrReconnecting):
			fmt.Println("lost: what was not answered is unknown")
		default:
			fmt.Println(err)
			return
		}
	}
	// Output:
	// hello
	// lost: what was not answered is unknown
	// hello
	// lost: what was not answered is unknown
}

// What only some wires can do is asked for.
func ExampleAs() {
	ctx := context.Background()
	l, err := transport.Listen(ctx, "mem://abilities", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	go serve(l, echo)

	c, err := transport.Dial(ctx, "mem://abilities", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	if s, ok := transport.As[transport.Subscriber](c); ok {
		id, err := s.Subscribe(ctx, transport.Subscription{ID: "news", Destination: "topic/news"})
		fmt.Println("subscribed", id, err)
	}
	if _, ok := transport.As[transport.Publisher](c); !ok {
		fmt.Println("only the end that was dialed publishes")
	}
	// Output:
	// subscribed news <nil>
	// only the end that was dialed publishes
}

func ExampleUsers() {
	ctx := context.Background()
	a := transport.Users(map[string]string{"alice": "rabbit"})
	fmt.Println(a.Authenticate(ctx, transport.Credentials{User: "alice", Password: "rabbit"}))
	for _, who := range []string{"alice", "mallory"} {
		_, err := a.Authenticate(ctx, transport.Credentials{User: who, Password: "guess"})
		fmt.Println(err)
	}
	// Output:
	// alice <nil>
	// transport: refused by the peer: wrong user or password
	// transport: refused by the peer: wrong user or password
}

func ExampleNotSent() {
	ctx := context.Background()
	l, err := transport.Listen(ctx, "mem://brief", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	go serve(l, echo)
	c, err := transport.Dial(ctx, "mem://brief", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = c.Close()

	err = c.Send(ctx, &transport.Message{Body: []byte("too late")})
	fmt.Println("safe to send again:", transport.NotSent(err))

	err = &transport.OpError{Op: "send", MaybeSent: true, Err: transport.ErrClosed} // as when the peer left meanwhile
	fmt.Println("safe to send again:", transport.NotSent(err))
	// Output:
	// safe to send again: true
	// safe to send again: false
}

func ExampleSchemes() {
	// import _ "github.com/polyport/polyport/transport/mem"
	fmt.Println(slices.Contains(transport.Schemes(), "mem"))
	// Output: true
}

func ExampleMessage_Settle() {
	ctx := context.Background()
	l, err := transport.Listen(ctx, "mem://jobs", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	outcomes := make(chan error, 2)
	go serve(l, func(c transport.Conn, m *transport.Message) {
		_ = m.Settle(transport.Accepted)
		confirmer, _ := transport.As[transport.Confirmer](c)
		for _, job := range []string{"sum", "nonsense"} {
			_ = confirmer.SendConfirmed(ctx, &transport.Message{To: "work", Body: []byte(job)}, func(err error) { outcomes <- err })
		}
	})

	c, err := transport.Dial(ctx, "mem://jobs", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	s, _ := transport.As[transport.Subscriber](c)
	_, _ = s.Subscribe(ctx, transport.Subscription{Destination: "work", Ack: transport.AckEach})
	_ = c.Send(ctx, &transport.Message{Body: []byte("ready")})
	for range 2 {
		m, err := c.Recv(ctx)
		if err != nil {
			fmt.Println(err)
			return
		}
		if string(m.Body) == "nonsense" {
			_ = m.Settle(transport.Rejected("no such job"))
			continue
		}
		_ = m.Settle(transport.Accepted)
	}
	fmt.Println("sum:", <-outcomes)
	fmt.Println("nonsense:", transport.Reason(<-outcomes))
	// Output:
	// sum: <nil>
	// nonsense: no such job
}

func ExampleWithReason() {
	err := transport.WithReason(transport.ErrRefused, "the office is closed")
	fmt.Println(err)
	fmt.Println(transport.Reason(err))
	fmt.Println(errors.Is(err, transport.ErrRefused))
	// Output:
	// transport: refused by the peer: the office is closed
	// the office is closed
	// true
}

func ExampleNegotiate() {
	fmt.Println(transport.Negotiate(5e9, 10e9))
	fmt.Println(transport.Negotiate(5e9, 0))
	// Output:
	// 10s
	// 0s
}

func ExampleTextID() {
	text, number := transport.TextID("42"), transport.NumberID(42)
	fmt.Println(text, number, text == number)
	fmt.Println(transport.UUIDID([16]byte{0: 0x12, 15: 0x34}))
	// Output:
	// 42 42 false
	// 12000000-0000-0000-0000-000000000034
}
