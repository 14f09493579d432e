// Package port serves many wires on one listening port, each with and without TLS.
//
// A program imports the wires that it speaks, and listens once:
//
//	import _ "github.com/polyport/polyport/transport/stomp"
//
//	l, err := port.Listen(ctx, "0.0.0.0:7070", nil)
//
// What Accept of the listener returns is a conversation of whichever wire the client
// began with. Its Info says of which one.
//
// # Detection
//
// All clients of these wires speak first, so the port reads. After each read it asks
// the [transport.Matcher] of every wire about the bytes that have come: No, More or
// Yes. A matcher is a function of the bytes and nothing else. It says Yes as soon as
// they suffice, which takes 4 to 24 of them, and no two say it of the same bytes. The
// wire then gets the byte stream with all of its bytes. When the first ones are
// drained nothing is left of the detection but a branch in Read; writes go straight
// to the socket.
//
// When all say No the connection is closed at once, with one log record. Nothing is
// answered: who speaks something else would not understand it.
//
// # TLS
//
// A first byte of 0x16, which no wire begins with, is the beginning of TLS. The port
// shakes hands, and detects again inside. A client may ask for a wire by ALPN
// instead, as those of HTTP/2 do. Then its [transport.Host] is given the
// [*crypto/tls.Conn] itself. Names of ALPN that no wire here has are passed over.
//
// TLS 1.3 is asked for, unless the MinVersion of the configuration says otherwise.
// [Options].TLSOnly refuses what does not begin with TLS; without a TLS
// configuration the port refuses what does.
//
// # Client certificates
//
// [Options].ClientCerts says by wire what is asked of a client's certificate. A
// client without one that is required gets past the TLS handshake, and is refused by
// the wire in words: an ERROR frame of STOMP, the close frame of AMQP, the ERROR
// command of ZMTP, status 403 of HTTP. The certificate is in [transport.Info].TLS for
// handlers, and in [transport.Credentials].TLS for an Authenticator.
//
// # Limits
//
// They are those of [transport.Listener]: one deadline from accept to the end of the
// wire's handshake, a number of connections in that phase, a number in all. The port
// adds the DetectionTimeout. A connection in detection costs some 4 KiB.
package port
