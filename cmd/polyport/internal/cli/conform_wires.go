package cli

import (
	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/internal/hostile"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp"
	"github.com/polyport/polyport/transport/http"
	"github.com/polyport/polyport/transport/mem"
	"github.com/polyport/polyport/transport/stomp"
	"github.com/polyport/polyport/transport/zmq"
)

// A wire is one that conform --wire can name.
type wire struct {
	name      string
	transport transport.Transport
	urls      []string // one for each pattern that its ends can go in
	hostile   [][]byte // openings of its own
	inMemory  bool     // also without a socket
	headerSet bool     // headers are a map
	// contentType is that of messages without any, on a wire on which every body has one.
	contentType string
	hub         *conformance.Hub             // of a server that knows of a broker behind it
	skip        map[string]map[string]string // rules that do not hold, by URL, and why
}

// wires are those of [app.Wires], one a line.
var wires = []wire{
	{
		name: "amqp", transport: amqp.Transport{}, urls: []string{"amqp://conformance"}, hostile: hostile.AMQP(), headerSet: true,
		hub: &conformance.Hub{Survives: true},
	},
	{
		name: "http", transport: conformance.Greeting(http.Transport{}), hostile: hostile.HTTP(),
		urls: []string{"http://conformance", "http://conformance?format=sse"}, headerSet: true, contentType: "application/json",
		skip: map[string]map[string]string{
			"http://conformance":            {"IdleLives": "a server closes a connection that is idle for 2 min"},
			"http://conformance?format=sse": eventSkips(),
		},
	},
	{name: "mem", transport: mem.Transport{}, urls: sockets("mem"), hostile: hostile.Mem(), inMemory: true, hub: new(conformance.Hub)},
	{name: "stomp", transport: stomp.Transport{}, urls: []string{"stomp://conformance"}, hostile: hostile.STOMP(), hub: new(conformance.Hub)},
	{name: "ws", transport: http.Transport{}, urls: []string{"ws://conformance"}, hostile: hostile.WebSocket()},
	{name: "zmq", transport: zmq.Transport{}, urls: sockets("zmq"), hostile: hostile.ZMQ()},
}

// eventSkips are the rules that Server-Sent Events do not keep.
func eventSkips() map[string]string {
	skips := map[string]string{"BeatsAgreed": "over HTTP only the server can show that it lives"}
	for _, rule := range []string{
		"FeedEnds", "FeedPrefix", "FeedAll", "FeedUnsubscribe", "FeedNoRoute", "FeedWants", "FeedPlain", "FeedRedial",
	} {
		skips[rule] = "what the server sends is settled by the request; subscriptions choose among it at the client"
	}
	return skips
}

// sockets are the URLs of a wire with the patterns of ZeroMQ's sockets.
func sockets(scheme string) []string {
	u := scheme + "://conformance"
	return []string{u, u + "?socket=req", u + "?socket=sub"}
}

func wireNames() (names []string) {
	for _, w := range wires {
		names = append(names, w.name)
	}
	return names
}

// hostileTo returns the openings of a wire.
func hostileTo(name string) [][]byte {
	for _, w := range wires {
		if w.name == name {
			return w.hostile
		}
	}
	return nil
}

// wireSuites are the ways in which a wire is tested.
func (v *conform) wireSuites() (all []suite) {
	for _, w := range wires {
		if w.name != v.Wire {
			continue
		}
		for _, url := range w.urls {
			h := conformance.Harness{
				Transport: w.transport, URL: url, Hostile: w.hostile, HeaderSet: w.headerSet, ContentType: w.contentType, Hub: w.hub,
				Patience: v.Timeout, Skip: w.skip[url],
			}
			if w.inMemory {
				all = append(all, suite{url + " in memory", h})
			}
			h.Stream = conformance.TCP
			all = append(all, suite{url + " over TCP", h})
		}
	}
	return all
}
