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
// no answer came. Nothing is ever sent twice, here or below, save for what a peer
// has refused without executing it: the first call with metadata on a wire without
// headers, and a batch as such, both with [CodeInvalidRequest]. It is sent again in
// a form that such a peer takes.
//
// # Deadlines and cancels
//
// The deadline of a call's context travels with the call, as a timeout, so that the
// context of its handler ends with it, and those of the calls that the handler
// makes. A caller that gives up earlier sends rpc.cancel: a hint, which is not
// waited for. A request whose caller has given up before its turn came is answered
// with [CodeCancelled] or [CodeDeadline] and never run. The timeout is in a header
// of the message; where the wire has none it is in the member metadata of the
// request, unless the peer refuses that. Plain in the options sends none of it.
//
// # Interceptors
//
// An [Interceptor] stands around calls, both those that are made and those that
// are served. It may refuse, answer in place of the handler, try again, change the
// context, and send texts beside the call, such as the context of a trace. Ready
// ones are in rpc/intercept and rpc/rpcotel.
//
// # Describing a service
//
// Every server answers the method rpc.discover with an OpenRPC document that is
// made from the types of its handlers ([Mux.Document]); [Mux.Configure] adds what
// types cannot say: words, errors, examples. What the document allows is what
// params are taken, with the exceptions that package openrpc/schema lists. With
// [MuxOptions].Validate params are held to it before they are decoded. Package
// openrpc/gengo writes a client in Go from such a document.
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
// # Events
//
// A server publishes, and whoever subscribed to the topic gets a notification of
// that name:
//
//	n, err := server.Publish(ctx, "task.7", progress)
//
//	sub, err := client.Subscribe(ctx, "task.*", nil)
//	for event, err := range sub.Events() {
//		…
//	}
//
// What a subscriber is too slow for is dropped as [EventOptions] say, and shows
// as a [*GapError] in its place. No subscriber holds up another, nor the answers
// to calls on its own connection, which its window keeps free. docs/events.md in
// the repository has the contract for peers that are not written in Go.
//
// With [EventOptions].Bus events go by the topics of a broker, so that who subscribes
// there, and on other servers, gets them too.
//
// # Services
//
// The methods of Bank are those called Bank.something. [ServerOptions].Services gives a
// service a queue of its own; [Server.DrainService] has what was accepted
// answered, and what comes from then on goes to where [ServerOptions].Forward says, as it
// is. So a service may move to another process, and its callers do not notice.
//
// A [Pool] lets clients and consumers share a connection, in turn.
//
// # Calls that outlive their connection
//
//	mux.Configure("Task.Run", rpc.MethodOptions{Async: true})
//	…
//	f := rpc.Detach[int](ctx, client, "Task.Run", params, nil)
//
// [Detach] gives a call a handle, a UUID in the metadata of the request. A
// method with [MethodOptions].Async then belongs to the server and not to the
// connection: its context ends when the call is cancelled, took longer than
// [AsyncOptions].TTL, or the server stops. The same handle with the same method
// and params is the same call, which runs once. It answers any number of times
// until [AsyncOptions].Retain after its end, and is known not to be run again
// for 10 minutes more. Handles belong to the user of the connection; whoever
// has not logged in shares them with all others who have not, and has to choose
// them at random.
//
// On a connection that carries any number of calls the answer comes when it is
// there. Where it would hold up others, which is on a wire with one call at a
// time and in a batch, the caller is told after [AsyncOptions].Grace to come
// back, and comes back with rpc.async.get. Three names are built in:
//
//	rpc.async.get     {"async": U, "waitMs": n, "forget": b}  the result or error; or, after
//	                                                          n ms, that it still runs
//	rpc.async.cancel  {"async": U}                            {"state": "cancelled" or "done"}
//	rpc.async.done    {"async": U, "result" or "error": …}    sent to callers that asked for it
//
// Such calls wait in lanes of their own, one for each user, so
// [ServerOptions].Width does not put them in order. docs/async.md shows the
// messages.
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
// # Older systems
//
// A connection with a [transport.Profile] is one to programs of oVirt or OpenDaylight,
// which differ from JSON-RPC 2.0 here and there. A Server answers as they expect; a
// Client says what they take: to a host agent of oVirt no notifications and no
// batches, with UUIDs for ids, and [Client.Subscribe] hears the host's own events by
// its own filters; to OpenDaylight one message at a time. What they say for
// [CodeBusy] and [CodeShuttingDown] has those codes here. docs/profiles.md in the
// repository has the table.
//
// # Feeds
//
// On some wires a connection carries nothing but what the server publishes
// ([transport.Info].Feed). A Client there subscribes, by the wire's own means, and
// cannot call: that fails at once, and nothing is sent. A Server takes no requests
// on it, sends what the peer has asked its end of the wire for, and hands over what
// waits before it shuts down.
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
// accepted ones, ends the subscriptions with the same code and then closes the
// connections.
package rpc
