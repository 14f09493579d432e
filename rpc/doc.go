// Package rpc is JSON-RPC 2.0 over any wire of package transport: a [Server]
// that answers with the handlers of a [Mux], a [Client] that calls, and both on
// one connection if wanted. It knows no wire.
//
// # Serving
//
//	mux := rpc.NewMux(nil)
//	rpc.Handle(mux, "Math.Sum", func(ctx context.Context, terms []float64) (float64, error) {
//		…
//	})
//	server := rpc.NewServer(mux, nil)
//	listener, err := transport.Listen(ctx, "stomp://127.0.0.1:7070", nil)
//	…
//	err = server.Serve(ctx, listener)
//
// [Handle] takes any function of a context and one value of params;
// [Mux.Register] takes the methods of an object. Params come by name or by
// position.
//
// # Calling
//
//	client, err := rpc.Dial(ctx, "stomp://127.0.0.1:7070", nil)
//	sum, err := rpc.Call[float64](ctx, client, "Math.Sum", []int{1, 2, 3})
//
// [Go] returns a future at once, [Client.Notify] wants no answer, and a [Batch]
// sends many calls as one message. A Client is shared by many goroutines: their
// calls travel together.
//
// # What became of a call
//
// A call ends in one of three ways, which [OutcomeOf] tells apart. Answered:
// the error is nil, an [*Error] that the server sent, or a [*ResultError]. Not
// sent: nothing left, so calling again is safe. Unknown: the request left and
// no answer came. Nothing is ever sent twice, here or below.
//
// # The path of a message
//
// One goroutine a connection receives. It cuts the body into messages, hands
// answers to those who wait for them, and puts requests into the connection's
// lane of the [queue.Queue]. A worker decodes the params, runs the handler and
// sends the answer to where the request wanted it, over the same connection.
// The receiving goroutine never waits for a handler or a full queue: a request
// that finds no place is answered with [CodeBusy].
//
// # Concurrency and order
//
// Requests and notifications of one connection are started in the order in
// which they came and run side by side, up to [ServerOptions].Width, so that a
// later one may overtake an earlier. Where the effects of notifications must
// come in order, set Width to 1: each is then started when the handler of the
// one before has returned. Answers leave as they are ready. The answers to a
// batch leave together, in the order of its requests. Connections take turns in
// the queue; there is no order between them.
//
// # Wires in lock-step
//
// On some wires a connection has one message in flight, which is answered once
// ([transport.Info].Lockstep). A Client that was dialed has a pool of connections
// there, [ClientOptions].Conns of them. A call waits for its turn and is not sent
// if its ctx ends before. One that has left and is not answered, by its ctx or
// another failure, is unknown, and its connection is closed and replaced: an answer
// that comes late meets no other call, and the handler's context ends with the
// connection. Notify waits for its empty answer. A Server answers every message and
// cannot call its callers.
//
// # Slow and hostile peers
//
// All that a peer can make this side hold is bounded: [Limits] bound nesting,
// batches, and requests in flight; [transport.Limits] bound messages. A peer
// that does not read its answers has its further requests paused, and holds up
// no worker and nobody else. A body that is no valid JSON is answered with
// [CodeParse] and nothing of it is executed. One bad message never ends the
// connection, unless there is no way to answer it.
//
// # Shutting down
//
// [Server.Shutdown] refuses new requests with [CodeShuttingDown], answers the
// accepted ones and then closes the connections.
package rpc
