package broker_test

import (
	"context"
	"fmt"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// A service and its caller meet at a queue. Neither knows the other, and there may
// be several of each.
func ExampleHub_Dial() {
	ctx := context.Background()
	hub := broker.New(nil)
	defer func() { _ = hub.Close() }()

	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Double", func(_ context.Context, p struct{ N int }) (int, error) { return 2 * p.N, nil })
	server := rpc.NewServer(mux, nil)
	service, _ := hub.Dial(ctx, "/queue/calc")
	_, err := service.(transport.Subscriber).Subscribe(ctx, transport.Subscription{Ack: transport.AckEach})
	if err != nil {
		panic(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.ServeConn(service) }()

	conn, _ := hub.Dial(ctx, "/queue/calc")
	client := rpc.NewClient(conn, nil)
	fmt.Println(rpc.Call[int](ctx, client, "Double", []int{21}))

	_ = client.Close()
	_ = service.Close()
	<-served
	_ = server.Shutdown(ctx)
	// Output: 42 <nil>
}

// Topics reach all who listen. A listener may ask for many by one filter.
func ExampleHub_Hear() {
	hub := broker.New(nil)
	defer func() { _ = hub.Close() }()

	stop, err := hub.Hear("news.#", func(m *transport.Message) {
		fmt.Printf("%s: %s\n", m.To, m.Body)
	})
	if err != nil {
		panic(err)
	}
	defer stop()
	for _, to := range []string{"/topic/news.sport", "/topic/weather", "/topic/news"} {
		if err := hub.Publish(context.Background(), &transport.Message{To: to, Body: []byte("hello")}); err != nil {
			panic(err)
		}
	}
	// Output:
	// /topic/news.sport: hello
	// /topic/news: hello
}

// Rules are read from the first to the last; what none allows is refused.
func ExampleRules() {
	rules := broker.Rules{
		{User: "calc", Consume: []string{"/queue/calc"}},
		{User: "*", Send: []string{"/queue/calc"}, Subscribe: []string{"/topic/news.#"}},
	}
	calc := broker.Destination{Kind: broker.Queue, Name: "calc"}
	ann := &transport.Info{User: "ann"}
	fmt.Println(rules.May(ann, broker.Send, calc))
	fmt.Println(transport.Reason(rules.May(ann, broker.Consume, calc)))
	// Output:
	// <nil>
	// user ann may not consume from /queue/calc: no rule allows it; ask who keeps the broker's rules for one
}

// A subscriber that does not keep up loses the oldest messages, and they are
// counted; for some topics something else may be better.
func ExampleOptions() {
	hub := broker.New(&broker.Options{
		SubscriberDepth: 100,
		Slow:            broker.DropOldest,
		SlowFor:         []broker.PolicyFor{{Topics: "orders.#", Policy: broker.Block}},
		Retain:          1000,
	})
	defer func() { _ = hub.Close() }()
	_ = hub.Publish(context.Background(), &transport.Message{To: "/topic/prices.eur", Body: []byte("1.17")})
	stats := hub.Stats()
	fmt.Println(stats.Retained, stats.Dropped)
	// Output: 1 0
}
