package zmq

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-zeromq/zmq4"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/internal/properties"
)

// The properties of READY and INITIATE that matter here ("The READY command").
const (
	socketTypeProperty = "Socket-Type"
	// polyportProperty is how ends of ours tell each other what they can: other
	// peers pass over it. Its value is spelled as the query of a URL.
	polyportProperty = "X-Polyport"
)

// metadata is what an end says of itself in its handshake.
type metadata struct {
	socket zmq4.SocketType
	ours   *hello // nil of a peer that is none of ours
}

// A hello is what only ends of ours tell.
type hello struct {
	software     string
	virtualHost  string   // that a client asks for
	destinations []string // that a server serves
	beat         time.Duration
	limits       transport.Limits
}

func (m *metadata) append(dst []byte) []byte {
	dst = properties.Append(dst, socketTypeProperty, string(m.socket))
	if m.ours == nil {
		return dst
	}
	return properties.Append(dst, polyportProperty, m.ours.encode())
}

// parseMetadata reads what a peer said of itself.
func parseMetadata(body []byte) (m metadata, err error) {
	for len(body) > 0 {
		var name, value []byte
		if name, value, body, err = properties.Cut(body); err != nil {
			return m, err
		}
		switch {
		case strings.EqualFold(string(name), socketTypeProperty):
			m.socket = zmq4.SocketType(value)
		case strings.EqualFold(string(name), polyportProperty):
			if m.ours, err = parseHello(string(value)); err != nil {
				return m, err
			}
		}
	}
	return m, nil
}

func (h *hello) encode() string {
	v := url.Values{
		"software": {h.software}, "beat": {strconv.FormatInt(max(0, h.beat.Milliseconds()), 10)},
		"message": {strconv.Itoa(h.limits.Message)}, "header-bytes": {strconv.Itoa(h.limits.HeaderBytes)},
		"headers": {strconv.Itoa(h.limits.Headers)}, "subscriptions": {strconv.Itoa(h.limits.Subscriptions)},
	}
	if h.virtualHost != "" {
		v.Set("host", h.virtualHost)
	}
	if h.destinations != nil {
		v["destination"] = h.destinations
	}
	return v.Encode()
}

func parseHello(text string) (*hello, error) {
	v, err := url.ParseQuery(text)
	if err != nil {
		return nil, malformed("property %s makes no sense", polyportProperty)
	}
	number := func(name string) int {
		n, wrong := strconv.ParseUint(v.Get(name), 10, 31)
		if wrong != nil && err == nil {
			err = malformed("property %s has no usable %s", polyportProperty, name)
		}
		return int(n)
	}
	h := &hello{
		software: v.Get("software"), virtualHost: v.Get("host"), destinations: v["destination"],
		beat: time.Duration(number("beat")) * time.Millisecond,
		limits: transport.Limits{
			Message: number("message"), HeaderBytes: number("header-bytes"),
			Headers: number("headers"), Subscriptions: number("subscriptions"),
		},
	}
	return h, err
}

// serves reports whether a peer takes messages to a destination.
func (h *hello) serves(to string) bool { return slices.Contains(h.destinations, to) }
