package http

import (
	"fmt"
	"mime"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/http/internal/xmlrpc"
)

// xmlType is the content type of XML-RPC's documents.
const xmlType = "text/xml"

// serveXML answers a call of XML-RPC. Whatever can be said as a fault is one, with
// status 200, which is all that its clients look at.
func (h *host) serveXML(w http.ResponseWriter, r *http.Request, info *transport.Info) {
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		refuse(w, http.StatusUnsupportedMediaType, "Calls are not taken compressed.")
		return
	}
	m, ok := h.message(w, r)
	if !ok {
		return
	}
	call, err := readCall(m, r.Header.Get("Content-Type"), h.o.Limits)
	switch {
	case err != nil:
		h.write(w, r, isXML, xmlrpc.Fault(err))
		return
	case len(call.Message) == 0:
		h.write(w, r, isXML, call.Answer(nil))
		return
	}
	m.Body, m.ContentType = call.Message, isJSON[0]
	if a := h.exchange(w, r, info, m); a != nil {
		a.Body, a.ContentType = call.Answer(a.Body), xmlType
		h.answer(w, r, a)
	}
}

var isXML = []string{xmlType}

func readCall(m *transport.Message, kind string, l transport.Limits) (*xmlrpc.Call, error) {
	call, err := xmlrpc.ReadCall(m.Body, charset(kind), xmlrpc.Limits{Bytes: l.Message})
	if err == nil && len(call.Message) > l.Message {
		err = &xmlrpc.Error{
			Code:    xmlrpc.CodeInvalid,
			Message: fmt.Sprintf("the call has %d bytes as JSON-RPC; at most %d are taken", len(call.Message), l.Message),
		}
	}
	return call, err
}

// charset returns the character set in a content type, or "".
func charset(kind string) string {
	_, params, err := mime.ParseMediaType(kind)
	if err != nil {
		return ""
	}
	return params["charset"]
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
func newXMLTranslator(l transport.Limits) translator {
	return &xmlTranslator{limits: xmlrpc.Limits{Bytes: l.Message}}
}

type xmlTranslator struct {
	limits   xmlrpc.Limits
	question atomic.Pointer[xmlrpc.Question] // that waits for its answer
}

func (t *xmlTranslator) request(m *transport.Message) ([]byte, string, error) {
	q, err := xmlrpc.NewQuestion(m.Body, t.limits)
	if err != nil {
		return nil, "", invalid("by XML-RPC: %v", err)
	}
	t.question.Store(q)
	return q.Document, xmlType, nil
}

func (t *xmlTranslator) answer(kind string, body []byte) ([]byte, error) {
	q := t.question.Swap(nil)
	if q == nil {
		return nil, transport.WithReason(transport.ErrProtocol, "an answer of XML-RPC to nothing")
	}
	message, err := q.Answer(body, charset(kind))
	if err != nil {
		return nil, transport.WithReason(transport.ErrProtocol, "an answer that is not XML-RPC: "+err.Error())
	}
	return message, nil
}
