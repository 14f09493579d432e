package http

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/polyport/polyport/transport"
)

var isJSON = []string{"application/json"}

// An answerer writes the response to a POST, and keeps its lane until that is
// done.
type answerer struct {
	http.ResponseWriter
	stream *stream
	lane   *lane
}

// Unwrap is for [http.ResponseController].
func (a *answerer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// done gives the lane back.
func (a *answerer) done() {
	if a.lane != nil {
		<-a.lane.under
		a.stream.free(a.lane)
	}
}

// postJSON answers a message of JSON-RPC.
func (h *host) postJSON(w http.ResponseWriter, r *http.Request, info *transport.Info) {
	m, ok := h.message(w, r)
	if !ok {
		return
	}
	m.ContentType = r.Header.Get("Content-Type")
	if a := h.exchange(w, r, info, m); a != nil {
		h.answer(w, r, a)
	}
}

// message takes the body and the headers of r within the limits. If it cannot, it
// has answered, and ok is false.
func (h *host) message(w http.ResponseWriter, r *http.Request) (m *transport.Message, ok bool) {
	limit := int64(h.o.Limits.Message)
	if r.ContentLength > limit {
		h.refuseLarge(w)
		return nil, false
	}
	m, body := transport.NewMessage(int(max(r.ContentLength, 0)))
	m.Subject = r.Header.Get(subjectField)
	m.To, m.Headers = h.doors.paths[r.URL.Path], headersOf(r.Header)
	if r.ContentLength == 0 {
		return m, true
	}
	wait := http.NewResponseController(w)
	_ = wait.SetReadDeadline(time.Now().Add(h.o.FrameTimeout))
	body, err := readBody(r.Body, body, r.ContentLength, limit)
	if err == nil {
		_ = wait.SetReadDeadline(time.Time{})
		m.Body = body
		return m, true
	}
	w.Header().Set("Connection", "close")
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, transport.ErrTooLarge):
		h.refuseLarge(w)
	case errors.As(err, &timeout) && timeout.Timeout():
		refuse(w, http.StatusRequestTimeout, "The body of the request did not come in time.")
	default:
		refuse(w, http.StatusBadRequest, "The body of the request ended early or was not sound.")
	}
	return nil, false
}

func (h *host) refuseLarge(w http.ResponseWriter) {
	w.Header().Set("Connection", "close")
	refuse(w, http.StatusRequestEntityTooLarge, "The body may have "+strconv.Itoa(h.o.Limits.Message)+" bytes.")
}

// onWord is how much memory is taken for a body on the peer's word alone.
const onWord = 512 << 10

// readBody appends what src has to body, up to limit. n is how much there should
// be, -1 if that is not known. It takes memory as bytes arrive.
func readBody(src io.Reader, body []byte, n, limit int64) ([]byte, error) {
	if cap(body) == 0 {
		first := n
		if n < 0 {
			first = 4 << 10
		}
		body = make([]byte, 0, min(first+1, onWord))
	}
	for {
		if len(body) == cap(body) {
			// One byte more than there should be, to see the end.
			grown := min(int64(cap(body))*4, limit+1)
			if n >= 0 {
				grown = min(grown, n+1)
			}
			body = append(make([]byte, 0, grown), body...)
		}
		k, err := src.Read(body[len(body):cap(body)])
		body = body[:len(body)+k]
		switch {
		case int64(len(body)) > limit:
			return nil, transport.ErrTooLarge
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			return nil, err
		}
	}
}

// exchange has a message answered on a lane of its connection. If it cannot be, it
// has answered the request itself, and returns nil.
func (h *host) exchange(w http.ResponseWriter, r *http.Request, info *transport.Info, m *transport.Message) *transport.Message {
	a, ok := w.(*answerer)
	if !ok {
		refuse(w, http.StatusInternalServerError, "A message that is no POST.")
		return nil
	}
	if a.lane = a.stream.lane(info); a.lane != nil {
		a.lane.under <- struct{}{}
		if answer, err := a.lane.exchange(r.Context(), m); err == nil {
			return answer
		}
	}
	w.Header().Set("Connection", "close")
	w.Header().Set("Retry-After", "1")
	refuse(w, http.StatusServiceUnavailable, "The server ends this connection; the message was not answered.")
	return nil
}

// answer writes a message as the response. An empty one is no content.
func (h *host) answer(w http.ResponseWriter, r *http.Request, m *transport.Message) {
	fields := w.Header()
	if m.Subject != "" {
		fields.Set(subjectField, m.Subject)
	}
	for _, f := range m.Headers {
		if fields[http.CanonicalHeaderKey(f.Name)] == nil {
			fields.Set(f.Name, f.Value)
		}
	}
	kind := isJSON
	if m.ContentType != "" && m.ContentType != isJSON[0] {
		kind = []string{m.ContentType}
	}
	h.write(w, r, kind, m.Body)
}

// write writes a body of a content type with status 200, or 204 if it is empty.
func (h *host) write(w http.ResponseWriter, r *http.Request, kind []string, body []byte) {
	fields := w.Header()
	fields["Cache-Control"] = noStore
	if a, ok := w.(*answerer); ok && a.stream.closes() {
		fields.Set("Connection", "close")
	}
	out := http.NewResponseController(w)
	if r.ProtoMajor == 1 { // HTTP/2 has a limit of its own
		_ = out.SetWriteDeadline(time.Now().Add(h.o.WriteStall))
	}
	if len(body) == 0 {
		w.WriteHeader(http.StatusNoContent)
	} else {
		fields["Content-Type"] = kind
		fields["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	for len(body) > piece {
		if _, err := w.Write(body[:piece]); err != nil { //nolint:gosec // JSON or XML, which its type and nosniff say
			return
		}
		body = body[piece:]
		if r.ProtoMajor == 1 {
			_ = out.SetWriteDeadline(time.Now().Add(h.o.WriteStall))
		}
	}
	_, _ = w.Write(body)   //nolint:gosec // likewise
	if r.ProtoMajor == 1 { // so that who closes the lane knows that the answer has left
		_ = out.Flush()
	}
}

// piece is how much is written at a time: each has WriteStall.
const piece = 64 << 10

var noStore = []string{"no-store"}
