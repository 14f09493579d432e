// Package broker gives tests the real brokers that run beside them: RabbitMQ in
// two series and ActiveMQ Classic, private ones on loopback.
//
// # Running
//
// The package starts no shared broker; it finds them in the environment, where
// this puts them:
//
//	test/with-brokers sh -c 'cd interop && go test ./...'
//
// or, to leave one up while working on a test, from the repository's root
//
//	set -a; eval "$(test/brokers/activemq --tls start)"; set +a
//
// make test does the former. A test whose broker is not there is skipped and
// says what to run; with POLYPORT_REQUIRE_INTEROP=1 it fails.
//
// # Writing a test
//
// Most tests use the shared brokers, one after the other, with destinations
// that no other test uses. Other tests talk to the same broker at the same
// time.
//
//	func TestEcho(t *testing.T) {
//		broker.Each(t, func(t *testing.T, b *broker.Broker) {
//			conn, err := transport.Dial(t.Context(), b.URL, nil)
//			…
//		})
//	}
//
// A test that stops its broker, kills it or gives it other settings starts one
// of its own. That takes seconds (ActiveMQ the fewest), so let such a test hold
// several cases, or run in parallel.
//
//	b := broker.Own(t, broker.ActiveMQ)
//	…
//	b.Kill()  // a crash; what is durable survives
//	b.Start() // on the same ports
//
// All brokers know the user guest with the password guest, who may do all and
// is in the URLs, and limited with limited, who may do nothing. What else they
// are set to is told by test/brokers/rabbitmq --help and activemq --help.
package broker
