package interop_test

import (
	"strings"
	"testing"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/transport/port"
)

// A behaviour is one that oVirt's own tests name. What is ours about it is a test
// here (run), or elsewhere ("DIRECTORY TestName"), or a reason why there is none.
type behaviour struct {
	of, name string
	ours     string
	reason   string // or a remark
	run      func(*testing.T)
}

// TestOVirtChecklist has what oVirt's own tests check and no other test of ours does.
func TestOVirtChecklist(t *testing.T) {
	t.Parallel()
	for _, b := range ovirtChecklist() {
		if b.run != nil {
			t.Run(b.of+" "+b.name, func(t *testing.T) {
				t.Parallel()
				b.run(t)
			})
		}
	}
}

// exchange is a test that sends frames, after CONNECT unless they begin with one, and
// is answered by others, of which each want is a command and then what is in it.
func exchange(sent []string, want ...string) func(*testing.T) {
	return exchangeWith(nil, sent, want...)
}

func exchangeWith(change func(*port.Options), sent []string, want ...string) func(*testing.T) {
	return func(t *testing.T) {
		a := startAgent(t, change)
		w := newWire(t, a.number)
		if !strings.HasPrefix(sent[0], "CONNECT\n") {
			w = connectedWire(t, a.number)
		}
		w.send(sent...)
		for _, each := range want {
			command, inside, _ := strings.Cut(each, " ")
			if command == "end" {
				w.ends()
				return
			}
			if f := w.expect(command); !strings.Contains(f.text, inside) {
				t.Errorf("came %q, want %s with %q", f.text, command, inside)
			}
		}
		w.send("DISCONNECT\nreceipt:bye\n\n")
		w.expect("RECEIPT")
	}
}

// hubbed gives a port a broker.
func hubbed(o *port.Options) { o.Broker = broker.New(nil) }

const (
	subscribeQ = "SUBSCRIBE\nid:1\ndestination:q\n\n"
	sendPing   = "SEND\ndestination:jms.topic.vdsm_requests\nreply-to:q\n\n" + `{"jsonrpc":"2.0","id":"i","method":"Host.ping"}`
	pinged     = `MESSAGE {"jsonrpc":"2.0","id":"i","result":true}`
	anyPinged  = `MESSAGE ,"result":true}` // answers have no order
)

// as is a frame with another id.
func as(id, text string) string { return strings.Replace(text, `"id":"i"`, `"id":"`+id+`"`, 1) }

func list(s ...string) []string { return s }

// bytesOf sends bytes as they are, in pieces of some length, after CONNECT; want is as
// for exchange.
func bytesOf(text string, piece int, want ...string) func(*testing.T) {
	return func(t *testing.T) {
		w := connectedWire(t, startAgent(t, nil).number)
		for len(text) > 0 {
			n := min(piece, len(text))
			_, _ = w.c.Write([]byte(text[:n]))
			text = text[n:]
		}
		for _, each := range want {
			command, inside, _ := strings.Cut(each, " ")
			if command == "end" {
				w.ends()
				return
			}
			if f := w.expect(command); !strings.Contains(f.text, inside) {
				t.Errorf("came %q, want %s with %q", f.text, command, inside)
			}
		}
	}
}

func ovirtChecklist() []behaviour {
	const whole = subscribeQ + "\x00" + sendPing + "\x00"
	adapter := []behaviour{
		{name: "connect", run: exchange(list("CONNECT\naccept-version:1.2\nhost:x\n\n"), "CONNECTED version:1.2")},
		{name: "min_heartbeat", run: exchange(list("CONNECT\naccept-version:1.2\nheart-beat:1,1\n\n"), "CONNECTED heart-beat:1000,1000")},
		{
			name: "incoming_heartbeat", reason: "The server's own interval is told, not the client's.",
			run: exchange(list("CONNECT\naccept-version:1.2\nheart-beat:6000,5000\n\n"), "CONNECTED heart-beat:1000,1000"),
		},
		{
			name: "unsupported_version", reason: "1.0 and 1.1 are supported; 2.0 is not.",
			run: exchange(list("CONNECT\naccept-version:2.0\nhost:x\n\n"), "ERROR 2.0", "end"),
		},
		{name: "no_heartbeat", run: exchange(list("CONNECT\naccept-version:1.2\nhost:x\n\n"), "CONNECTED heart-beat:0,0")},
		{name: "no_headers", reason: "It is a client of version 1.0.", run: exchange(list("CONNECT\n\n"), "CONNECTED version:1.0")},
		{name: "subscribe", run: exchange(list(subscribeQ, sendPing), pinged)},
		{name: "subscribe_no_destination", run: exchange(list("SUBSCRIBE\nid:1\n\n"), "ERROR Missing destination or subscription id header")},
		{name: "subscribe_no_id", run: exchange(list("SUBSCRIBE\ndestination:q\n\n"), "ERROR Missing destination or subscription id header")},
		{name: "unsubscribe", run: exchange(list(subscribeQ, "UNSUBSCRIBE\nid:1\n\n", "UNSUBSCRIBE\nid:7\n\n"))},
		{
			name: "unsubscribe_multiple_subscriptions",
			run: exchange(list(subscribeQ, "SUBSCRIBE\nid:2\ndestination:q\n\n", "UNSUBSCRIBE\nid:1\n\n", sendPing),
				pinged),
		},
		{name: "unsubscribe_no_id", run: exchange(list("UNSUBSCRIBE\n\n"), "ERROR Missing id header")},
		{name: "send", run: exchange(list(subscribeQ, sendPing, as("j", sendPing)), anyPinged, anyPinged)},
		{
			name: "send_legacy", reason: "The names of 3.5 are gone since 2016; `Destinations` may have them.",
			run: exchangeWith(func(o *port.Options) { o.Destinations = list("/queue/_local/vdsm/requests") },
				list(subscribeQ, strings.Replace(sendPing, "jms.topic.vdsm_requests", "/queue/_local/vdsm/requests", 1)), pinged),
		},
		{name: "send_no_destination", reason: "An ERROR, and the connection stays.", run: exchange(list("SEND\nreply-to:q\n\nx"), "ERROR destination")},
		{
			name: "send_batch", reason: "An array of two has an array of two answers.",
			run: exchange(list(subscribeQ, "SEND\ndestination:jms.topic.vdsm_requests\nreply-to:q\n\n"+`[{"jsonrpc":"2.0","id":1,"method":"Host.ping"},{"jsonrpc":"2.0","id":2,"method":"Host.ping"}]`),
				`MESSAGE [{"jsonrpc":"2.0","id":1,"result":true},{"jsonrpc":"2.0","id":2,"result":true}]`),
		},
		{name: "send_broker", run: exchangeWith(hubbed, list("SUBSCRIBE\nid:1\ndestination:a.b\n\n", "SEND\ndestination:a.b\n\nhello"), "MESSAGE hello")},
		{
			name: "send_internal_and_broker", reason: "Requests are answered, and are not heard by those who listen there.",
			run: exchangeWith(hubbed, list(subscribeQ, "SUBSCRIBE\nid:2\ndestination:jms.topic.other\n\n", sendPing), pinged),
		},
		{name: "send_broker_parent_topic", run: exchangeWith(hubbed, list("SUBSCRIBE\nid:1\ndestination:a\n\n", "SEND\ndestination:a.b\n\nhello"), "MESSAGE hello")},
		{name: "flow_header, no_flow_header", ours: "interop TestOVirtFeatures/flow id"},
		{name: "timeout no_subscriptions", ours: "transport/stomp TestOVirtHeartbeats"},
	}
	parser := []behaviour{
		{name: "empty, skips heart-beats", run: bytesOf("\n\n\r\n"+whole+"\n\n", 1000, pinged)},
		{name: "simple frame, headers, headers and body", ours: "transport/stomp TestReaderAgainstOracle"},
		{name: "multiple frames", run: bytesOf(whole+as("j", sendPing)+"\x00"+as("k", sendPing)+"\x00", 1000, anyPinged, anyPinged, anyPinged)},
		{name: "CRLF", run: bytesOf(strings.ReplaceAll(whole, "\n", "\r\n"), 1000, pinged)},
		{name: "no content-length", run: bytesOf(whole, 1000, pinged)},
		{name: "invalid content-length raises", run: bytesOf("SEND\ndestination:jms.topic.vdsm_requests\ncontent-length:x\n\n\x00", 1000, "ERROR content-length", "end")},
		{name: "waits for full frame", run: bytesOf(whole, 1, pinged)},
	}
	return slicesOf(
		group("vdsm stompadapter_test", adapter...),
		group("vdsm parser_test", parser...),
		ovirtElsewhere,
	)
}

func group(of string, all ...behaviour) []behaviour {
	for i := range all {
		all[i].of = of
	}
	return all
}

func slicesOf(all ...[]behaviour) (one []behaviour) {
	for _, some := range all {
		one = append(one, some...)
	}
	return one
}
