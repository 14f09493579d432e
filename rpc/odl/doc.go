// Package odl reads the URIs that OpenDaylight's JSON-RPC bus names its endpoints
// by, and dials and listens at them:
//
//	scheme://host[:port][/path][?key=value&…]
//
//	endpoint, err := odl.Parse("zmq://10.0.0.7?timeout=5000")
//	client, err := endpoint.Dial(ctx, nil)
//	sum, err := rpc.Call[int](ctx, client, "add", []int{1, 2})
//
// So a configuration that was written for OpenDaylight serves as it is. The scheme is
// zmq, http, https, ws or wss, and the port by default 10000, 80, 443, 80 or 443. The
// wire's package must have been imported: transport/zmq, or transport/http for the
// four others.
//
// # Options
//
//	timeout                  ms that a call may take                  30000
//	proxyRetryCount          further attempts of what was not sent    5
//	proxyRetryDelay          ms before each of them                   100
//	auth                     no value; user and password are wanted
//	auth-username            the user
//	auth-password            the password
//	keystore-type            JKS or PKCS12                            JKS
//	keystore-file            key and certificate of this end
//	keystore-password        of that file, and of the key in it       changeit
//	certificate-alias        which key of a JKS file                  the only one
//	truststore-file          whom to trust                            the system's roots
//	truststore-password      of that file                             changeit
//	client-verify            NONE, OPTIONAL or REQUIRE                NONE
//	cert-validation-policy   strict, or ignore: trust anybody         strict
//	ciphers, protocols       names as in Java, with commas between    Go's
//	client-chain-max-length  certificates that a client may show      3
//	server-chain-max-length  certificates that a server may show      3
//
// OpenDaylight has two parsers for these, and they disagree. Here there is one rule for
// each case. A key may be there once; an unknown one is an error, so that a slip of the
// pen does not turn off a check. Every key but auth has a value, which is not empty; it
// begins behind the first '=' and may hold more. Keys and values are percent-decoded
// after they are told apart, and '+' is a plus. Nothing between two '&' is nothing.
// Numbers are digits. Words are taken in any case. What is wrong is told with what was
// expected, and without any password.
//
// # Differences from OpenDaylight
//
//   - A listener on all interfaces, "zmq://*:4444", keeps its port.
//   - By strict the server's certificate has to be for the host of the URI, too, where
//     OpenDaylight looks at its signature only. A certificate without the right name
//     takes cert-validation-policy=ignore, which every Dial logs a warning about.
//   - What a wire cannot do is an error: auth with zmq, events over http, client-verify
//     without TLS. OpenDaylight passes over these.
//   - A password does not cross a network without TLS, unless
//     [transport.Options].PlaintextPasswords allows it.
//   - Only what was not sent is sent again, and nothing twice.
//
// As there, the path is kept and means nothing: who dials asks for "/", and a listener
// serves what it always does.
//
// # Keystores
//
// A file is read as what it is, JKS or PKCS12, whatever keystore-type says: so does
// Java since version 8. keystore-type is checked and otherwise of no effect. A PKCS12
// file has one key.
package odl
