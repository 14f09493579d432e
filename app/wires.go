package app

import (
	"slices"
	"strings"

	"github.com/polyport/polyport/transport"

	// The wires that the program speaks. Each registers its URL schemes.
	_ "github.com/polyport/polyport/transport/amqp"
	_ "github.com/polyport/polyport/transport/http"
	_ "github.com/polyport/polyport/transport/mem"
	_ "github.com/polyport/polyport/transport/stomp"
	_ "github.com/polyport/polyport/transport/zmq"
)

// Wires returns the URL schemes of the wires that the program speaks, in
// order, without their TLS forms.
func Wires() []string {
	return slices.DeleteFunc(transport.Schemes(), IsTLS)
}

// IsTLS reports whether scheme is the TLS form of a wire: a known scheme made
// of another one and a final s.
func IsTLS(scheme string) bool {
	plain, ok := strings.CutSuffix(scheme, "s")
	known := transport.Schemes()
	return ok && slices.Contains(known, plain) && slices.Contains(known, scheme)
}
