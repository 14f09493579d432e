package http

import (
	"mime"
	"net/http"
	"strings"

	"github.com/polyport/polyport/transport"
)

// ServeHTTP finds out which conversation a request belongs to.
func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s, _ := r.Context().Value(streamKey{}).(*stream)
	if s == nil {
		refuse(w, http.StatusInternalServerError, "This connection is not known here.")
		return
	}
	s.enter(r)
	if !h.admits(w, r) {
		return
	}
	switch {
	case r.URL.Path == "/health":
		health(w, r)
		return
	case h.doors.paths[r.URL.Path] == "":
		refuse(w, http.StatusNotFound, "Nothing is served at this path. Calls go to /"+transport.DefaultDestination+" by POST.")
		return
	case r.Method == http.MethodOptions:
		w.Header().Set("Allow", allowed)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	upgrade, events := isUpgrade(r), isEvents(r)
	if !upgrade && !events && r.Method != http.MethodPost {
		w.Header().Set("Allow", allowed)
		refuse(w, http.StatusMethodNotAllowed, "Calls come by POST. GET is for WebSocket, for events "+
			"(Accept: text/event-stream), and for /health.")
		return
	}
	info := h.identify(w, r, s)
	switch {
	case info == nil:
	case upgrade:
		own := *info
		h.openSocket(w, r, &own)
	case events:
		own := *info
		h.openFeed(w, r, &own)
	default:
		h.post(w, r, s, info)
	}
	if s.hijacked.Load() { // and given to its conversation
		h.gone(s.nc)
	}
}

// allowed are the methods of a path at which calls are served.
const allowed = "GET, OPTIONS, POST"

// admits reports whether a request may come in at all. If not, it has answered.
func (h *host) admits(w http.ResponseWriter, r *http.Request) bool {
	w.Header()["X-Content-Type-Options"] = noSniff
	h.doors.cors(w, r)
	if r.ProtoMajor == 1 && r.TransferEncoding != nil {
		// If there was a length as well nothing more may be read (RFC 9112, section
		// 6.1), and net/http does not tell.
		w.Header().Set("Connection", "close")
	}
	switch {
	case countFields(r.Header) > h.o.Limits.Headers:
		w.Header().Set("Connection", "close")
		refuse(w, http.StatusRequestHeaderFieldsTooLarge, "The request has too many header fields.")
	case !h.doors.host(r):
		refuse(w, http.StatusMisdirectedRequest, "The host that the request names is not served here.")
	case h.doors.foreign(r):
		refuse(w, http.StatusForbidden, "A web page of another origin may not use this server, unless the server's options name it.")
	default:
		return true
	}
	return false
}

var noSniff = []string{"nosniff"}

// isUpgrade reports whether r asks for another protocol, over HTTP/1.1 (RFC 9110,
// section 7.8) or HTTP/2 (RFC 8441).
func isUpgrade(r *http.Request) bool {
	return r.Method == http.MethodGet && r.Header["Upgrade"] != nil || r.Method == http.MethodConnect && r.ProtoMajor == 2
}

// isEvents reports whether r asks for Server-Sent Events.
func isEvents(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/event-stream")
}

// health says that the server is there.
func health(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "The state of the server is read by GET.")
		return
	}
	w.Header()["Content-Type"] = isJSON
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte(`{"status":"ok"}` + "\n"))
}

// post takes a call in the format that its content type says.
func (h *host) post(w http.ResponseWriter, r *http.Request, s *stream, info *transport.Info) {
	a := &answerer{ResponseWriter: w, stream: s}
	defer a.done()
	switch kind := mediaType(r); kind {
	case "application/json", "application/json-rpc", "application/jsonrequest":
		h.postJSON(a, r, info)
	case "text/xml", "application/xml":
		if h.own.NoXMLRPC {
			refuse(w, http.StatusUnsupportedMediaType, "XML-RPC is switched off here. Send JSON-RPC as application/json.")
			return
		}
		h.serveXML(a, r, info)
	case "":
		// A page of another origin can send this without asking, see foreign.
		if r.Header["Origin"] == nil && r.Header["Sec-Fetch-Site"] == nil {
			h.postJSON(a, r, info)
			return
		}
		fallthrough
	default:
		refuse(w, http.StatusUnsupportedMediaType, "Calls come as application/json; say so by the header Content-Type.")
	}
}

// mediaType is the content type of r without its parameters.
func mediaType(r *http.Request) string {
	kind := r.Header.Get("Content-Type")
	if kind == "" || kind == "application/json" {
		return kind
	}
	t, _, err := mime.ParseMediaType(kind)
	if err != nil {
		return "?"
	}
	return t
}

// refuse answers with a status and a sentence for a person.
func refuse(w http.ResponseWriter, status int, why string) { http.Error(w, why, status) }
