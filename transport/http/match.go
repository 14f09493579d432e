package http

import (
	"strings"

	"github.com/polyport/polyport/transport"
)

// openings are the ways in which a client of HTTP can begin.
var openings = [...]string{
	"GET ", "POST ", "HEAD ", "OPTIONS ", "PUT ", "DELETE ", "PATCH ", "TRACE ", "CONNECT ",
	"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}

// Match finds a method of HTTP/1.1 and the blank after it, or the preface of
// HTTP/2 (RFC 9113, section 3.4).
func (Transport) Match(prefix []byte) transport.Verdict {
	verdict := transport.No
	for _, o := range openings {
		switch {
		case len(prefix) >= len(o) && string(prefix[:len(o)]) == o:
			return transport.Yes
		case len(prefix) < len(o) && strings.HasPrefix(o, string(prefix)):
			verdict = transport.More
		}
	}
	return verdict
}

// Protocols returns the names of HTTP in ALPN.
func (Transport) Protocols() []string { return []string{"h2", "http/1.1"} }
