// Package brokerrpc lets peers that speak JSON-RPC and nothing else send to a
// broker: those of ZMQ, HTTP and WebSocket, whose wires have no word for it.
//
//	brokerrpc.Register(mux, hub)
//
// From then on the server has the method broker.send:
//
//	→ {"jsonrpc":"2.0","id":1,"method":"broker.send",
//	   "params":{"to":"/topic/news","text":"hello","headers":{"lang":"en"}}}
//	← {"jsonrpc":"2.0","id":1,"result":null}
//
// The other direction, from a broker's topics to such peers, is that of
// [rpc.EventOptions].Bus.
package brokerrpc
