package rpc_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
)

// asyncFlows are the call flow of the extension, point by point, as a peer on a
// wire sees it.
var asyncFlows = []struct {
	name     string
	lockstep bool
	o        rpc.AsyncOptions
	script   script
}{
	{name: "1: a handle is a UUID, in either case", lockstep: true, script: script{
		`a> {"jsonrpc":"2.0","id":1,"method":"Task","params":[300],"metadata":{"async":"3B241101-E2BB-4255-8CAF-4136C566A962"}}`,
		`a> {"jsonrpc":"2.0","id":2,"method":"rpc.async.get","params":["U",1000]}`,
		`a- 49ms`,
		`a> {"jsonrpc":"2.0","id":3,"method":"Task","params":[1],"metadata":{"async":"u"}}`,
		`a< 49ms 3!-32600`,
	}},
	{name: "1: false and null ask for an ordinary call", lockstep: true, script: script{
		`a> {"jsonrpc":"2.0","id":1,"method":"Task","params":[300],"metadata":{"async":false}}`,
		`a< 300ms 1=300`,
		`a> {"jsonrpc":"2.0","id":2,"method":"Task","params":[300],"metadata":{"async":null,"other":1}}`,
		`a< 600ms 2=300`,
		`a> {"jsonrpc":"2.0","id":3,"method":"Task","params":[300],"metadata":{}}`,
		`a< 900ms 3=300`,
	}},
	{name: "1: anything else is refused, and nothing executed", lockstep: true, script: script{
		`a> {"jsonrpc":"2.0","id":1,"method":"Task","params":[1],"metadata":{"async":"me"}}`, `a< 0s 1!-32600`,
		`a> {"jsonrpc":"2.0","id":2,"method":"Task","params":[1],"metadata":{"async":1}}`, `a< 0s 2!-32600`,
		`a> {"jsonrpc":"2.0","id":3,"method":"Task","params":[1],"metadata":{"async":{}}}`, `a< 0s 3!-32600`,
		`a> {"jsonrpc":"2.0","id":4,"method":"Task","params":[1],"metadata":{"async":["U"]}}`, `a< 0s 4!-32600`,
		`a> {"jsonrpc":"2.0","id":5,"method":"Task","params":[1],"metadata":{"async":""}}`, `a< 0s 5!-32600`,
		`a> {"jsonrpc":"2.0","id":6,"method":"Task","params":[1],"metadata":{"async":"U","async":"V"}}`, `a< 0s 6!-32600`,
		`a> {"jsonrpc":"2.0","id":7,"method":"Sync","params":[1],"metadata":{"async":"me"}}`, `a< 0s 7!-32600`,
		`ran`,
	}},
	{name: "1: true has the server choose the handle", lockstep: true, script: script{
		`a> {"jsonrpc":"2.0","id":1,"method":"Task","params":[10],"metadata":{"async":true}}`, `a< 10ms 1=10`,
	}},
	{name: "2: within the grace time the answer is an ordinary one", lockstep: true, script: script{
		`a> {"jsonrpc":"2.0","id":1,"method":"Task","params":[49],"metadata":{"async":"U"}}`, `a< 49ms 1=49`,
	}},
	{name: "2: later it is an acknowledgement", lockstep: true, script: script{
		`a> {"jsonrpc":"2.0","id":1,"method":"Task","params":[300],"metadata":{"async":"U"}}`, `a< 50ms 1~U`, `a- 1s`, `ran Task300`,
	}},
	{name: "2: without grace it is one at once", lockstep: true, o: rpc.AsyncOptions{Grace: -1}, script: script{
		`a> {"jsonrpc":"2.0","id":1,"method":"Task","params":[300],"metadata":{"async":"U"}}`, `a< 0s 1~U`,
	}},
	{name: "2: a method without the option is called as ever", lockstep: true, script: script{
		`a> {"jsonrpc":"2.0","id":1,"method":"Sync","params":[300],"metadata":{"async":"U"}}`, `a< 300ms 1=300`,
		`a> {"jsonrpc":"2.0","id":2,"method":"rpc.async.get","params":["U"]}`, `a< 300ms 2!-32050 epoch`,
		`a> {"jsonrpc":"2.0","id":3,"method":"Nope","params":[300],"metadata":{"async":"U"}}`, `a< 300ms 3!-32601`,
	}},
	{name: "4: rpc.async.get waits for the result", lockstep: true, script: script{
		`a> {"jsonrpc":"2.0","id":1,"method":"Task","params":[300],"metadata":{"async":"U"}}`, `a< 50ms 1~U`,
		`a> {"jsonrpc":"2.0","id":2,"method":"rpc.async.get","params":{"async":"U","waitMs":1000}}`, `a< 300ms 2=300`,
	}},
	{name: "4: but no longer than it may", lockstep: true, script: script{
		`a> {"jsonrpc":"2.0","id":1,"method":"Task","params":[300],"metadata":{"async":"U"}}`, `a< 50ms 1~U`,
		`a> {"jsonrpc":"2.0","id":2,"method":"rpc.async.get","params":{"async":"U","waitMs":100}}`, `a< 150ms 2~U`,
		`a> {"jsonrpc":"2.0","id":3,"method":"rpc.async.get","params":{"async":"U"}}`, `a< 150ms 3~U`,
		`a> {"jsonrpc":"2.0","id":4,"method":"rpc.async.get","params":{"async":"U","waitMs":-1}}`, `a< 150ms 4~U`,
	}},
	{name: "4: rpc.async.get never waits for more than a minute", lockstep: true, script: script{
		`a> {"jsonrpc":"2.0","id":1,"method":"Task","params":[300000],"metadata":{"async":"U"}}`, `a< 50ms 1~U`,
		`a> {"jsonrpc":"2.0","id":2,"method":"rpc.async.get","params":["U",9223372036854775807]}`, `a< 1m0.05s 2~U`,
	}},
	{name: "4: an older caller repeats the call, with its params or without", lockstep: true, script: script{
		`a> {"jsonrpc":"2.0","id":1,"method":"Task","params":[400],"metadata":{"async":"U"}}`, `a< 50ms 1~U`,
		`a> {"jsonrpc":"2.0","id":2,"method":"Task","params":[400],"metadata":{"async":"U"}}`, `a< 250ms 2~U`,
		`a> {"jsonrpc":"2.0","id":3,"method":"Task","metadata":{"async":"U"}}`, `a< 400ms 3=400`,
		`a> {"jsonrpc":"2.0","id":4,"method":"Task","metadata":{"async":"U"}}`, `a< 400ms 4=400`,
		`ran Task400`,
	}},
	{name: "4: rpc.async.get knows its params", script: script{
		`a> {"jsonrpc":"2.0","id":1,"method":"rpc.async.get"}`, `a< 0s 1!-32602`,
		`a> {"jsonrpc":"2.0","id":2,"method":"rpc.async.get","params":["me"]}`, `a< 0s 2!-32602`,
		`a> {"jsonrpc":"2.0","id":3,"method":"rpc.async.get","params":{"async":"U","wait":1}}`, `a< 0s 3!-32602`,
		`a> {"jsonrpc":"2.0","id":4,"method":"rpc.async.cancel","params":{}}`, `a< 0s 4!-32602`,
		`a> {"jsonrpc":"2.0","id":5,"method":"rpc.async.cancel","params":["me"]}`, `a< 0s 5!-32602`,
		`a> {"jsonrpc":"2.0","method":"rpc.async.get","params":["U"]}`, `a- 1s`,
	}},
	{name: "5: where answers may be late they are", script: script{
		`a> {"jsonrpc":"2.0","id":1,"method":"Task","params":[300],"metadata":{"async":"U"}}`, `a< 300ms 1=300`,
		`a> {"jsonrpc":"2.0","id":2,"method":"Task","params":[300],"metadata":{"async":true}}`, `a< 600ms 2=300`,
	}},
	{name: "5: and after the connection was lost the result is there", script: script{
		`a/1> {"jsonrpc":"2.0","id":1,"method":"Task","params":[300],"metadata":{"async":"U"}}`, `a/1- 10ms`, `a/1!`,
		`a/2> {"jsonrpc":"2.0","id":1,"method":"rpc.async.get","params":["U",1000]}`, `a/2< 300ms 1=300`, `ran Task300`,
	}},
	{name: "5: push tells the caller once", script: script{
		`a> {"jsonrpc":"2.0","id":1,"method":"Task","params":[300],"metadata":{"async":"U","push":true}}`, `a< 50ms 1~U`,
		`a< 300ms {"jsonrpc":"2.0","method":"rpc.async.done","params":{"async":"U","result":300}}`, `a- 1s`,
		`a> {"jsonrpc":"2.0","id":2,"method":"rpc.async.get","params":["U"]}`, `a< 1s 2=300`,
	}},
	{name: "5: push of an error", script: script{
		`a> {"jsonrpc":"2.0","id":1,"method":"Fail","metadata":{"async":"U","push":true}}`, `a< 50ms 1~U`,
		`a< 300ms {"jsonrpc":"2.0","method":"rpc.async.done","params":{"async":"U","error":{"code":7,"message":"no","data":[1.0]}}}`,
	}},
	{name: "5: no push for what was answered, nor to who has gone", script: script{
		`a> {"jsonrpc":"2.0","id":1,"method":"Task","params":[10],"metadata":{"async":"U","push":true}}`, `a< 10ms 1=10`, `a- 1s`,
		`a> {"jsonrpc":"2.0","id":1,"method":"Task","params":[300],"metadata":{"async":"V","push":true}}`, `a< 1050ms 1~V`, `a!`,
		`b> {"jsonrpc":"2.0","id":1,"method":"Sync","params":[1000]}`, `b< 2050ms 1=1000`,
	}},
	{name: "6: final answers carry no metadata, and errors are as they were", lockstep: true, script: script{
		`a> {"jsonrpc":"2.0","id":1,"method":"Fail","metadata":{"async":"U"}}`, `a< 50ms 1~U`,
		`a> {"jsonrpc":"2.0","id":"x","method":"rpc.async.get","params":["U",1000]}`, `a< 300ms "x"!7[1.0]`,
		`a> {"jsonrpc":"2.0","id":3,"method":"None","metadata":{"async":"V"}}`, `a< 350ms 3~V`,
		`a> {"jsonrpc":"2.0","id":4,"method":"rpc.async.get","params":["V",1000]}`, `a< 600ms 4=null`,
		`a> {"jsonrpc":"2.0","id":5,"method":"Panic","metadata":{"async":"W"}}`, `a< 650ms 5~W`,
		`a> {"jsonrpc":"2.0","id":6,"method":"rpc.async.get","params":["W",1000]}`, `a< 900ms 6!-32603`,
	}},
	{name: "7: cancel ends the call, and tells those who wait", lockstep: true, script: script{
		`a> {"jsonrpc":"2.0","id":1,"method":"Task","params":[300],"metadata":{"async":"U"}}`, `a< 50ms 1~U`,
		`a> {"jsonrpc":"2.0","id":2,"method":"rpc.async.get","params":["U",1000]}`,
		`b> {"jsonrpc":"2.0","id":1,"method":"rpc.async.cancel","params":{"async":"U"}}`, `b< 50ms 1!-32050 epoch`,
		`a> {"jsonrpc":"2.0","id":3,"method":"rpc.async.cancel","params":{"async":"U"}}`,
		`a< 50ms 2!-32052`, `a< 50ms 3={"state":"cancelled"}`,
		`a> {"jsonrpc":"2.0","id":4,"method":"rpc.async.cancel","params":["U"]}`, `a< 50ms 4={"state":"cancelled"}`,
		`a> {"jsonrpc":"2.0","id":5,"method":"rpc.async.get","params":["U",1000]}`, `a< 50ms 5!-32052`,
		`ran Task300, stopped: rpc: the call was cancelled by its caller: context canceled`,
	}},
	{name: "7: what has ended cannot be cancelled", lockstep: true, script: script{
		`a> {"jsonrpc":"2.0","id":1,"method":"Task","params":[1],"metadata":{"async":"U"}}`, `a< 1ms 1=1`,
		`a> {"jsonrpc":"2.0","id":2,"method":"rpc.async.cancel","params":["U"]}`, `a< 1ms 2={"state":"done"}`,
		`a> {"jsonrpc":"2.0","id":3,"method":"rpc.async.get","params":["U"]}`, `a< 1ms 3=1`,
	}},
	{name: "7: cancel may be a notification", lockstep: true, script: script{
		`a> {"jsonrpc":"2.0","id":1,"method":"Task","params":[300],"metadata":{"async":"U"}}`, `a< 50ms 1~U`,
		`a> {"jsonrpc":"2.0","method":"rpc.async.cancel","params":["U"]}`, `a< 50ms empty`,
		`a> {"jsonrpc":"2.0","id":2,"method":"rpc.async.get","params":["U"]}`, `a< 50ms 2!-32052`,
	}},
	{name: "7: an end of the connection cancels no call with a handle, and any other", script: script{
		`a/1> {"jsonrpc":"2.0","id":1,"method":"Task","params":[300],"metadata":{"async":"U"}}`,
		`a/1> {"jsonrpc":"2.0","id":2,"method":"Task","params":[301]}`, `a/1- 10ms`, `ran Task300, Task301`, `a/1!`,
		`a/2> {"jsonrpc":"2.0","id":1,"method":"rpc.async.get","params":["U",1000]}`, `a/2< 300ms 1=300`,
		`ran stopped: transport: closed`,
	}},
	{name: "8: a call that takes too long expires", lockstep: true, script: script{
		`a> {"jsonrpc":"2.0","id":1,"method":"Task","params":[3600000],"metadata":{"async":"U"}}`, `a< 50ms 1~U`,
		`a- 9m59s`, `a> {"jsonrpc":"2.0","id":2,"method":"rpc.async.get","params":["U",5000]}`, `a< 10m 2!-32051 epoch`,
		`ran Task3600000, stopped: rpc: the call took longer than its time to live: context deadline exceeded`,
	}},
	{name: "8: a result is kept for a minute, then the call is known to have been made", lockstep: true, script: script{
		`a> {"jsonrpc":"2.0","id":1,"method":"Task","params":[0],"metadata":{"async":"U"}}`, `a< 0s 1=0`, `a- 59s`,
		`a> {"jsonrpc":"2.0","id":2,"method":"rpc.async.get","params":["U"]}`, `a< 59s 2=0`, `a- 60s`,
		`a> {"jsonrpc":"2.0","id":3,"method":"rpc.async.get","params":["U"]}`, `a< 60s 3!-32051 epoch`,
		`a> {"jsonrpc":"2.0","id":4,"method":"Task","params":[0],"metadata":{"async":"U"}}`, `a< 60s 4!-32051 epoch`,
		`a> {"jsonrpc":"2.0","id":5,"method":"Task","metadata":{"async":"U"}}`, `a< 60s 5!-32051 epoch`,
		`a> {"jsonrpc":"2.0","id":6,"method":"rpc.async.cancel","params":["U"]}`, `a< 60s 6!-32051 epoch`, `ran Task0`, `a- 11m`,
		`a> {"jsonrpc":"2.0","id":7,"method":"rpc.async.get","params":["U"]}`, `a< 11m 7!-32050 epoch`,
	}},
	{name: "8: over the cap the server is busy, until a result was fetched", lockstep: true, o: rpc.AsyncOptions{Handles: 1}, script: script{
		`a> {"jsonrpc":"2.0","id":1,"method":"Task","params":[100],"metadata":{"async":"U"}}`, `a< 50ms 1~U`,
		`a> {"jsonrpc":"2.0","id":2,"method":"Task","params":[1],"metadata":{"async":"V"}}`, `a< 50ms 2!-32009`,
		`a> {"jsonrpc":"2.0","id":3,"method":"Task","params":[0],"metadata":{}}`, `a< 50ms 3=0`,
		`c> {"jsonrpc":"2.0","id":1,"method":"Task","params":[1],"metadata":{"async":"V"}}`, `c< 51ms 1=1`, `a- 200ms`,
		`a> {"jsonrpc":"2.0","id":4,"method":"Task","params":[1],"metadata":{"async":"V"}}`, `a< 200ms 4!-32009`,
		`a> {"jsonrpc":"2.0","id":5,"method":"rpc.async.get","params":["U"]}`, `a< 200ms 5=100`,
		`a> {"jsonrpc":"2.0","id":6,"method":"Task","params":[1],"metadata":{"async":"V"}}`, `a< 201ms 6=1`,
		`ran Task100, Task0, Task1, Task1`,
	}},
	{name: "8: what was cancelled makes room, too", lockstep: true, o: rpc.AsyncOptions{Handles: 1}, script: script{
		`a> {"jsonrpc":"2.0","id":1,"method":"Task","params":[100],"metadata":{"async":"U"}}`, `a< 50ms 1~U`,
		`a> {"jsonrpc":"2.0","id":2,"method":"rpc.async.cancel","params":["U"]}`, `a< 50ms 2={"state":"cancelled"}`,
		`a> {"jsonrpc":"2.0","id":3,"method":"Task","params":[1],"metadata":{"async":"V"}}`, `a< 51ms 3=1`,
	}},
	{name: "8: forget gives the handle up", lockstep: true, script: script{
		`a> {"jsonrpc":"2.0","id":1,"method":"Task","params":[100],"metadata":{"async":"U"}}`, `a< 50ms 1~U`,
		`a> {"jsonrpc":"2.0","id":2,"method":"rpc.async.get","params":{"async":"U","forget":true}}`, `a< 50ms 2~U`,
		`a> {"jsonrpc":"2.0","id":3,"method":"rpc.async.get","params":{"async":"U","waitMs":500,"forget":true}}`, `a< 100ms 3=100`,
		`a> {"jsonrpc":"2.0","id":4,"method":"rpc.async.get","params":{"async":"U"}}`, `a< 100ms 4!-32051 epoch`,
	}},
	{name: "9: the same call twice runs once", script: script{
		`a/1> {"jsonrpc":"2.0","id":1,"method":"Task","params":[300],"metadata":{"async":"U"}}`,
		`a/1> {"jsonrpc":"2.0","id":2,"method":"Task","params":[ 300 ],"metadata":{"async":"U"}}`,
		`a/2> {"jsonrpc":"2.0","id":1,"method":"Task","params":[300],"metadata":{"async":"U"}}`,
		`a/1< 300ms 1=300`, `a/1< 300ms 2=300`, `a/2< 300ms 1=300`,
		`a/2> {"jsonrpc":"2.0","id":2,"method":"Task","params":[300],"metadata":{"async":"U"}}`, `a/2< 300ms 2=300`, `ran Task300`,
	}},
	{name: "9: another call with the handle is a conflict", script: script{
		`a> {"jsonrpc":"2.0","id":1,"method":"Task","params":[10],"metadata":{"async":"U"}}`,
		`a> {"jsonrpc":"2.0","id":2,"method":"Task","params":[11],"metadata":{"async":"U"}}`, `a< 0s 2!-32053`,
		`a> {"jsonrpc":"2.0","id":3,"method":"Sync","params":[10],"metadata":{"async":"U"}}`, `a< 0s 3!-32053`,
		`a< 10ms 1=10`,
		`a> {"jsonrpc":"2.0","id":4,"method":"Fail","params":[10],"metadata":{"async":"U"}}`, `a< 10ms 4!-32053`,
		`ran Task10`,
	}},
	{name: "10: an unknown handle is an error to ask after, and a new call to call with", lockstep: true, script: script{
		`a> {"jsonrpc":"2.0","id":1,"method":"rpc.async.get","params":["U",1000]}`, `a< 0s 1!-32050 epoch`,
		`a> {"jsonrpc":"2.0","id":2,"method":"rpc.async.cancel","params":["U"]}`, `a< 0s 2!-32050 epoch`,
		`a> {"jsonrpc":"2.0","id":3,"method":"Task","params":[1],"metadata":{"async":"U"}}`, `a< 1ms 3=1`,
	}},
	{name: "11: who sends no metadata sees none", lockstep: true, script: script{
		`a> {"jsonrpc":"2.0","id":1,"method":"Task","params":[3000]}`, `a< 3s 1=3000`,
	}},
	{name: "12 (row 36): an acknowledgement fills its slot of a batch", script: script{
		`a> [{"jsonrpc":"2.0","id":1,"method":"Task","params":[300],"metadata":{"async":"U"}},` +
			`{"jsonrpc":"2.0","id":2,"method":"Sync","params":[10]},` +
			`{"jsonrpc":"2.0","id":3,"method":"Task","params":[20],"metadata":{"async":"V"}},` +
			`{"jsonrpc":"2.0","id":4,"method":"Task","params":[20],"metadata":{"async":"me"}}]`,
		`a< 50ms [1~U, 2=10, 3=20, 4!-32600]`,
	}},
	{name: "12: polls may be a batch, and one element attaches to another", script: script{
		`a> [{"jsonrpc":"2.0","id":1,"method":"Task","params":[300],"metadata":{"async":"U"}},` +
			`{"jsonrpc":"2.0","id":2,"method":"Task","params":[300],"metadata":{"async":"U"}}]`,
		`a< 200ms [1~U, 2~U]`,
		`a> [{"jsonrpc":"2.0","id":1,"method":"rpc.async.get","params":["U",1000]},` +
			`{"jsonrpc":"2.0","method":"rpc.async.get","params":["U",1000]},` +
			`{"jsonrpc":"2.0","id":2,"method":"rpc.async.cancel","params":["V"]}]`,
		`a< 300ms [1=300, 2!-32050 epoch]`, `ran Task300`,
	}},
	{name: "12: a notification has no handle", script: script{
		`a> {"jsonrpc":"2.0","method":"Task","params":[300],"metadata":{"async":"U"}}`,
		`a> {"jsonrpc":"2.0","method":"Task","params":[301],"metadata":{"async":1}}`,
		`a> {"jsonrpc":"2.0","id":1,"method":"rpc.async.get","params":["U"]}`, `a< 0s 1!-32050 epoch`, `ran Task300, Task301`,
	}},
	{name: "14: a user's handles are found on any connection, and by nobody else", script: script{
		`ann/1> {"jsonrpc":"2.0","id":1,"method":"Task","params":[300],"metadata":{"async":"T"}}`, `ann/1- 10ms`, `ann/1!`,
		`bob> {"jsonrpc":"2.0","id":1,"method":"rpc.async.get","params":["T"]}`, `bob< 10ms 1!-32050 epoch`,
		`bob> {"jsonrpc":"2.0","id":2,"method":"rpc.async.cancel","params":["T"]}`, `bob< 10ms 2!-32050 epoch`,
		`ann/2> {"jsonrpc":"2.0","id":1,"method":"rpc.async.get","params":["T",1000]}`, `ann/2< 300ms 1=300`,
	}},
	{name: "14: who has not logged in needs a handle that nobody can guess", script: script{
		`anon> {"jsonrpc":"2.0","id":1,"method":"Task","params":[1],"metadata":{"async":"T"}}`, `anon< 0s 1!-32600`, `ran`,
	}},
	{name: "the server shuts down", script: script{
		`a> {"jsonrpc":"2.0","id":1,"method":"Task","params":[30000],"metadata":{"async":"U","push":true}}`, `a< 50ms 1~U`,
		`a> {"jsonrpc":"2.0","id":2,"method":"rpc.async.get","params":["U",1000]}`,
		`a> {"jsonrpc":"2.0","id":3,"method":"Task","params":[200],"metadata":{"async":"V"}}`, `shutdown`,
		`a< 50ms 2!-32054`, `a> {"jsonrpc":"2.0","id":4,"method":"rpc.async.get","params":["U"]}`, `a< 50ms 4!-32054`,
		`a< 250ms 3=200`, `wait 2s`, `ran Task30000, Task200, stopped: rpc: server closed`,
	}},
}

func TestAsyncFlow(t *testing.T) {
	for _, tt := range asyncFlows {
		t.Run(tt.name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, w wire) {
				s := onStage(t, w, tt.lockstep, &rpc.ServerOptions{Async: &tt.o})
				s.play(tt.script)
			})
		})
	}
}

// TestAsyncThroughBroker: who comes through a broker is not the user of the
// server's own connection to it, and waits for a place in the queue.
func TestAsyncThroughBroker(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		q := queue.New(&queue.Options{Workers: 1, Depth: 1})
		s := onStage(t, w, false, &rpc.ServerOptions{Queue: q})
		defer func() {
			if err := q.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}()
		s.pose.broker = true
		s.play(script{
			`ann> {"jsonrpc":"2.0","id":1,"method":"Task","params":[1],"metadata":{"async":"T"}}`, `ann< 0s 1!-32600`,
			`ann> {"jsonrpc":"2.0","id":2,"method":"Sync","params":[100]}`,
			`ann> {"jsonrpc":"2.0","id":3,"method":"Sync","params":[100]}`,
			`ann> {"jsonrpc":"2.0","id":4,"method":"Task","params":[100],"metadata":{"async":"U"}}`,
			`ann< 100ms 2=100`, `ann< 200ms 3=100`, `ann< 300ms 4=100`,
		})
	})
}

// TestAsyncHoldsNothingForTheGone: a request that was answered, or whose
// connection has ended, is not kept for the sake of the call that it asked
// after.
func TestAsyncHoldsNothingForTheGone(t *testing.T) {
	const size, rounds = 1 << 17, 50
	ask := spelled.Replace(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"Long","params":[%q],"metadata":{"async":"U"}}`, strings.Repeat("x", size)))
	for _, lockstep := range []bool{false, true} {
		inBubbles(t, func(t *testing.T, w wire) {
			s := onStage(t, w, lockstep, &rpc.ServerOptions{Async: &rpc.AsyncOptions{Grace: -1, Poll: time.Millisecond}})
			before := heap()
			for i := range rounds {
				p := s.peer(fmt.Sprintf("ann/%d", i))
				p.say(ask)
				synctest.Wait()
				if lockstep {
					p.hear()
				}
				_ = p.conn.Close()
				delete(s.peers, fmt.Sprintf("ann/%d", i))
				synctest.Wait()
			}
			if after := heap(); after > before+rounds/2*size {
				t.Errorf("after %d requests of %d bytes the heap has grown by %d", rounds, size, after-before)
			}
		})
	}
}
