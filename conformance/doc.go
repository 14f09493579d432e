// Package conformance holds a wire to the contract of package transport.
//
// The contract is a row of sentences. Each is a [Rule] here: a name that stays,
// the sentence, and a test of it against any [transport.Transport]. A wire's own
// test is a few lines:
//
//	func TestConformance(t *testing.T) {
//		conformance.Run(t, conformance.Harness{
//			Transport: stomp.Transport{},
//			URL:       "stomp://conformance",
//		})
//	}
//
// # Where rules run
//
// Without a Stream the two ends are connected in memory and each rule runs in a
// bubble of testing/synctest, so that a rule about an idle hour takes a
// millisecond and 1.1 times an interval can be checked to the nanosecond. For
// that all waiting of the wire must be durable in the sense of that package:
// on channels, sync.Cond and timers, not on a mutex that another holds while it
// waits. With [TCP] as the Stream the same rules run over sockets in real time,
// except those that only virtual time can tell. A wire should run both.
//
// Rules that break connections bring their own byte streams, made with packages
// mem and faultconn of transport.
//
// # Abilities
//
// What only some wires can do, [transport.As] tells: where an end declares an
// ability, the ability has to work; where it does not, the rules about it are
// skipped and say so. No rule is ever left out in silence.
//
// A wire whose ends say that they go in lock-step ([transport.Info].Lockstep) has
// rules of its own, and keeps those of the others for which it is enough that the
// ends take turns. A wire that can do both is tested twice, by two URLs. The same
// goes for wires on which one end publishes and the other listens
// ([transport.Info].Feed): of the other rules they keep those in which nobody sends
// but the server.
//
// # Through a broker
//
// A wire whose clients meet at a broker keeps the same contract, with a [Broker]
// in the Harness:
//
//	conformance.Run(t, conformance.Harness{
//		URL:    "stomp://broker",
//		Broker: &conformance.Broker{Dial: dial, Renames: true, HeaderSet: true},
//	})
//
// Then both ends of a rule are clients of the broker. One of them, called the
// server, consumes a queue of its own, and the other sends there. Each has a
// connection to the broker that lives, beats and has its limits without the
// other. Hence a rule is tested in one of three ways. Most are tested as they
// are. Some are tested in part: what arrives is compared but for what Broker
// declares to be the broker's doing, and one end is not asked what it knows of
// the other's connection. The rest, about what two connected ends know of one
// another, are skipped and say so. The rules about queues, consumers that share
// them and messages that come back are for a broker only.
//
// # A broker behind the server
//
// A wire whose server's end honours [transport.ListenOptions].Broker says so with a
// [Hub] in the Harness. The rules whose names begin with Hub then put a broker of
// their own behind it, which notes what it is told and delivers what the rule
// wants:
//
//	conformance.Run(t, conformance.Harness{
//		Transport: stomp.Transport{}, URL: "stomp://conformance", Hub: &conformance.Hub{},
//	})
//
// # A server of JSON-RPC
//
// With a [Server] in the Harness the rules are [ServerRules]: what a client can
// ask of a server of JSON-RPC 2.0 that somebody else runs, whatever it is written
// in. They need a function that dials, and no more:
//
//	conformance.Run(t, conformance.Harness{Server: &conformance.Server{Dial: dial}})
//
// Nearly all of them call a method that no server has; those that call Echo, which
// gives back its params, are skipped where there is none.
//
// # Exceptions
//
// A rule that a wire is known to break stands in [Harness].Skip with its
// reason. It is run all the same: it is reported as skipped while it fails, and
// fails the test when it holds, so that no exception outlives its cause.
//
// # Outside of go test
//
// [Check] runs rules without a *testing.T, by a sequence of [Result] values,
// against whatever the Harness connects: a wire in this process or, by
// [Harness].Broker, two ends that meet at a broker, or by [Harness].Server a
// server. [Broker].Learn finds out what an unknown broker does. Rules ask for no
// more than a [TB], so [Rule].Check can also be called from a test of another kind.
// The command "polyport conform" is made of these.
//
// # Testing the tests
//
// This package's own test builds defects into a sound wire and a sound broker,
// over a hundred, each of which must be found by the rule whose sentence it
// breaks; and every rule must find one. Each field of [Broker] must be needed by
// a rule. Into a sound server defects are built in the same way.
package conformance
