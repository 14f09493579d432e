package http

import (
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/polyport/polyport/transport"
)

// doors say who is let in: which pages, for which hosts, to which paths.
type doors struct {
	cross   http.CrossOriginProtection
	origins map[string]bool
	any     bool // page
	hosts   []string
	paths   map[string]string // the destination by path
}

func newDoors(o *transport.ListenOptions, own *Options) *doors {
	d := &doors{hosts: o.VirtualHosts, origins: make(map[string]bool), paths: map[string]string{}}
	for _, origin := range own.Origins {
		if origin == "*" {
			d.any = true
		} else if err := d.cross.AddTrustedOrigin(origin); err != nil {
			o.Logger.Error("no page of this origin is let in", "err", err)
		} else {
			d.origins[origin] = true
		}
	}
	for i, name := range o.Destinations {
		d.paths["/"+strings.TrimPrefix(name, "/")] = name
		if i == 0 {
			d.paths["/"], d.paths["/"+transport.DefaultDestination] = name, name
			d.paths["/RPC2"] = name // where clients of XML-RPC call if they are told no path
		}
	}
	return d
}

// host reports whether the virtual host of r is served here.
func (d *doors) host(r *http.Request) bool {
	return len(d.hosts) == 0 || slices.Contains(d.hosts, virtualHost(r))
}

// virtualHost is the one that r asks for.
func virtualHost(r *http.Request) string {
	if name, _, err := net.SplitHostPort(r.Host); err == nil {
		return name
	}
	return r.Host
}

// foreign reports whether r comes from a web page of another host that is not
// let in.
func (d *doors) foreign(r *http.Request) bool {
	if r.Header["Origin"] == nil && r.Header["Sec-Fetch-Site"] == nil {
		return false // no browser
	}
	unsafe := *r
	if r.Method == http.MethodGet { // by which WebSocket and events begin
		unsafe.Method = http.MethodPost
	}
	if d.cross.Check(&unsafe) == nil {
		return false
	}
	// What the browser adds by itself is the user's, of which such a page must
	// have no use. Before a POST the browser asks; before a WebSocket it does not.
	certified := r.TLS != nil && len(r.TLS.PeerCertificates) > 0
	return !d.any || r.Method == http.MethodGet && (certified || r.Header["Authorization"] != nil)
}

// cors tells a browser what the page that it shows may see of the answer (Fetch
// standard, section 3.2).
func (d *doors) cors(w http.ResponseWriter, r *http.Request) {
	if !d.any && len(d.origins) == 0 {
		return
	}
	fields := w.Header()
	fields.Add("Vary", "Origin")
	switch origin := r.Header.Get("Origin"); {
	case origin == "":
		return
	case d.origins[origin]:
		fields.Set("Access-Control-Allow-Origin", origin)
		fields.Set("Access-Control-Allow-Credentials", "true")
	case d.any:
		fields.Set("Access-Control-Allow-Origin", "*")
	default:
		return
	}
	if r.Method == http.MethodOptions && r.Header["Access-Control-Request-Method"] != nil {
		fields.Set("Access-Control-Allow-Methods", "GET, POST")
		fields.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Last-Event-ID, Timeout-Ms, Traceparent, Tracestate")
		fields.Set("Access-Control-Max-Age", "600")
	}
}

// identify finds out who sends r. If it is nobody who is let in, it has answered,
// and returns nil.
func (h *host) identify(w http.ResponseWriter, r *http.Request, s *stream) *transport.Info {
	authorization := ""
	if h.o.Authenticator != nil {
		authorization = r.Header.Get("Authorization")
	}
	if info := s.known(authorization); info != nil {
		return info
	}
	if h.o.Authenticator == nil {
		return s.meet(r, "", "")
	}
	user, password, _ := r.BasicAuth()
	peer := &transport.Info{Scheme: schemeHTTP, Remote: s.nc.RemoteAddr(), TLS: r.TLS}
	name, err := h.o.Admit(r.Context(), peer, transport.Credentials{User: user, Password: password, VirtualHost: virtualHost(r)})
	if err == nil {
		return s.meet(r, authorization, name)
	}
	switch {
	case errors.Is(err, transport.ErrCertificateRequired), errors.Is(err, transport.ErrPlaintext):
		refuse(w, http.StatusForbidden, transport.Reason(err))
		return nil
	case !h.o.TakesPasswords(peer): // so it is not asked for
		refuse(w, http.StatusForbidden, "Access refused; show who you are over TLS (https).")
		return nil
	}
	if authorization != "" { // a guess costs a connection
		w.Header().Set("Connection", "close")
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="polyport", charset="UTF-8"`)
	refuse(w, http.StatusUnauthorized, "User and password are needed here, and these are not the right ones.")
	return nil
}
