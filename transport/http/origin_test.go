package http_test

import (
	stdhttp "net/http"
	"strings"
	"testing"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/http"
)

// TestOrigins: what a page of another origin may do.
func TestOrigins(t *testing.T) {
	const page, other = "https://app.example.org", "https://evil.example.com"
	closed, named, open := newSite(t, nil, nil), newSite(t, &http.Options{Origins: []string{page}}, nil), newSite(t, &http.Options{Origins: []string{"*"}}, nil)
	c := browser(t, new(stdhttp.Transport))
	for _, r := range []struct {
		name, method, origin, site string
		at                         *site
		status                     int
		allowed                    string // Access-Control-Allow-Origin
	}{
		{"no browser", "POST", "", "", closed, 200, ""},
		{"the server's own page", "POST", "http://" + closed.addr, "same-origin", closed, 200, ""},
		{"the user", "POST", "", "none", closed, 200, ""},
		{"its own page, old browser", "POST", "http://" + closed.addr, "", closed, 200, ""},
		{"another page", "POST", other, "cross-site", closed, 403, ""},
		{"another page, old browser", "POST", other, "", closed, 403, ""},
		{"a neighbour", "POST", other, "same-site", closed, 403, ""},
		{"a sandbox", "POST", "null", "cross-site", closed, 403, ""},
		{"another page asks", "OPTIONS", other, "cross-site", closed, 204, ""},
		{"the named page", "POST", page, "cross-site", named, 200, page},
		{"the named page asks", "OPTIONS", page, "cross-site", named, 204, page},
		{"the named page by http", "POST", "http://app.example.org", "cross-site", named, 403, ""},
		{"a longer name", "POST", page + ".evil.com", "cross-site", named, 403, ""},
		{"another page at a named one's", "POST", other, "cross-site", named, 403, ""},
		{"another page asks at a named one's", "OPTIONS", other, "cross-site", named, 204, ""},
		{"any page", "POST", other, "cross-site", open, 200, "*"},
		{"any page asks", "OPTIONS", other, "cross-site", open, 204, "*"},
		{"events for another page", "GET", other, "cross-site", closed, 403, ""},
	} {
		t.Run(r.name, func(t *testing.T) {
			var header []string
			body := ""
			switch r.method {
			case "POST":
				header, body = append(header, asJSON...), call
			case "OPTIONS":
				header = append(header, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type")
			case "GET":
				header = append(header, "Accept", "text/event-stream")
			}
			if r.origin != "" {
				header = append(header, "Origin", r.origin)
			}
			if r.site != "" {
				header = append(header, "Sec-Fetch-Site", r.site)
			}
			got := ask(t, c, r.method, "http://"+r.at.addr+"/", body, header...)
			if got.status != r.status {
				t.Errorf("status %d, %s, want %d", got.status, got.body, r.status)
			}
			if a := got.header.Get("Access-Control-Allow-Origin"); a != r.allowed {
				t.Errorf("Access-Control-Allow-Origin = %q, want %q", a, r.allowed)
			}
			if cred := got.header.Get("Access-Control-Allow-Credentials"); (cred == "true") != (r.allowed == page) {
				t.Errorf("Access-Control-Allow-Credentials = %q", cred)
			}
			if methods := got.header.Get("Access-Control-Allow-Methods"); strings.Contains(methods, "POST") != (r.method == "OPTIONS" && r.allowed != "") {
				t.Errorf("Access-Control-Allow-Methods = %q", methods)
			}
			if r.at != closed && !strings.Contains(strings.Join(got.header.Values("Vary"), ","), "Origin") {
				t.Errorf("Vary = %q, want Origin", got.header.Values("Vary"))
			}
		})
	}
}

// TestVirtualHost: a name that the server does not go by, as a page has it that
// points its own name here, is refused.
func TestVirtualHost(t *testing.T) {
	s := newSite(t, nil, &transport.ListenOptions{VirtualHosts: []string{"here.example"}})
	c := browser(t, new(stdhttp.Transport))
	for host, status := range map[string]int{"here.example": 200, "here.example:8080": 200, "evil.example": 421, s.addr: 421} {
		if got := ask(t, c, "POST", "http://"+s.addr, call, append([]string{"Host", host}, asJSON...)...); got.status != status {
			t.Errorf("Host %s: status %d, %s, want %d", host, got.status, got.body, status)
		}
	}
}
