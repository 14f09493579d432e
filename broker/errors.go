package broker

import (
	"fmt"

	"github.com/polyport/polyport/transport"
)

// because is one of the kinds of failure of package transport with a sentence for
// the peer's person.
func because(kind error, format string, args ...any) error {
	return transport.WithReason(kind, fmt.Sprintf(format, args...))
}
