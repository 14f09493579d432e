package amqp

import (
	"strings"

	"github.com/polyport/polyport/transport"
)

// Match finds a protocol header (section 2.2) by its name and protocol id. The ids
// are 0 for AMQP, 2 for TLS, 3 for SASL, and 1 as AMQP 0-8 had it; to a header that
// is not spoken here Server answers with one that is.
func (Transport) Match(prefix []byte) transport.Verdict {
	const name = "AMQP"
	switch {
	case !strings.HasPrefix(name, string(prefix[:min(len(prefix), len(name))])):
		return transport.No
	case len(prefix) <= len(name):
		return transport.More
	case prefix[len(name)] > 3:
		return transport.No
	}
	return transport.Yes
}
