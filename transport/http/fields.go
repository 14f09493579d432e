package http

import (
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/polyport/polyport/transport"
)

// The headers of a message are fields of HTTP (RFC 9110, section 5) with the same
// name in lower case. Those of HTTP itself, of the byte stream, of browsers and of
// who the peer is are none of a message's.

// subjectField is the field that holds the subject of a message.
const subjectField = "Polyport-Subject"

// isOurs reports whether the field of that name, in lower case, belongs to HTTP
// and not to messages.
func isOurs(name string) bool {
	switch name {
	case "host", "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "expect",
		"authorization", "proxy-authorization", "proxy-authenticate", "www-authenticate", "cookie", "set-cookie",
		"date", "server", "user-agent", "from", "age", "allow", "cache-control", "expires", "pragma", "vary", "via", "warning",
		"origin", "referer", "dnt", "priority", "upgrade-insecure-requests", "x-content-type-options",
		"last-modified", "etag", "location", "retry-after", "range", "http2-settings", "alt-svc", "strict-transport-security",
		"polyport-subject":
		return true
	}
	for _, family := range [...]string{"accept", "content-", "access-control-", "if-", "sec-"} {
		if strings.HasPrefix(name, family) {
			return true
		}
	}
	return false
}

// checkFields returns why the headers of m cannot be fields of HTTP.
func checkFields(m *transport.Message, limits transport.Limits) error {
	size := len(m.Subject) + len(m.ContentType) + len(m.To)
	for _, h := range m.Headers {
		size += len(h.Name) + len(h.Value)
	}
	switch {
	case len(m.Headers) > limits.Headers:
		return tooLarge("the message has %d headers, the limit is %d", len(m.Headers), limits.Headers)
	case size > limits.HeaderBytes:
		return tooLarge("the headers have %d bytes, the limit is %d", size, limits.HeaderBytes)
	case !isValue(m.Subject):
		return invalid("the subject %.60q has characters that no field of HTTP can have", m.Subject)
	case !isValue(m.ContentType):
		return invalid("the content type %.60q has characters that no field of HTTP can have", m.ContentType)
	}
	for _, h := range m.Headers {
		switch {
		case !httpguts.ValidHeaderFieldName(h.Name):
			return invalid("%.60q cannot be the name of a field of HTTP", h.Name)
		case h.Name != strings.ToLower(h.Name):
			return invalid("the header %.60q: HTTP does not tell upper case from lower in names; write it in lower case", h.Name)
		case isOurs(h.Name):
			return invalid("the header %.60q is one of HTTP itself", h.Name)
		case !isValue(h.Value):
			return invalid("the value of the header %.60q has characters that no field of HTTP can have", h.Name)
		}
	}
	return nil
}

// isValue reports whether a field can have the value and bring it over unchanged.
func isValue(s string) bool {
	return httpguts.ValidHeaderFieldValue(s) && (s == "" || !isBlank(s[0]) && !isBlank(s[len(s)-1]))
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// headersOf returns the fields that are headers of a message, of each name the
// first.
func headersOf(fields http.Header) (headers []transport.Header) {
	for name, values := range fields {
		if name = strings.ToLower(name); len(values) > 0 && !isOurs(name) {
			headers = append(headers, transport.Header{Name: name, Value: values[0]})
		}
	}
	return headers
}

// countFields returns how many fields there are.
func countFields(fields http.Header) (n int) {
	for _, values := range fields {
		n += len(values)
	}
	return n
}
