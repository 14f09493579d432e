package amqp

import (
	"slices"
	"strconv"
	"strings"

	"github.com/polyport/polyport/transport"
)

// peer is what the other end of a client's connection is, as far as it matters.
// The zero value goes by the specification alone. docs/brokers.md has the table.
type peer struct {
	// rabbit is the major version of RabbitMQ, or 0.
	rabbit int
	// relays: one link without an address takes messages to any ("Using the
	// Anonymous Terminus for Message Routing").
	relays bool
	// managed: queues can be declared over a pair of management links.
	managed bool
	// maxField is how many bytes a text may have that AMQP 0-9-1 calls a short
	// string, or 0. A longer one makes the broker end the connection.
	maxField int
}

// peerOf goes by what the peer's open says.
func peerOf(properties map[string]any, o openFrame) (p peer) {
	product, _ := properties["product"].(string)
	if product == "RabbitMQ" {
		version, _ := properties["version"].(string)
		major, _, _ := strings.Cut(version, ".")
		n, err := strconv.Atoi(major)
		if p.rabbit = n; err != nil || n < 1 {
			p.rabbit = 3
		}
		if p.rabbit == 3 {
			p.maxField = 255
		}
	}
	p.relays = slices.Contains(o.capabilities, "ANONYMOUS-RELAY")
	p.managed = slices.Contains(o.capabilities, "LINK_PAIR_V1_0")
	return p
}

const (
	// directPrefix begins the addresses for answers at RabbitMQ: what follows is
	// the routing key of one client.
	directPrefix = "/exchange/amq.direct/"
	direct       = "/exchange/amq.direct"
)

// A route is how a message gets to an address: by which link, and what the
// message has to say for that.
type route struct {
	target  string // of the link; "" is the link to any address
	subject string // that the message must have, or ""
}

// route returns the way to an address. Many addresses of answers share a link
// where the peer has a way to do so; the one that the connection was dialed for
// has its own.
func (p peer) route(to, home, subject string) route {
	switch {
	case to == home:
		return route{target: to}
	case p.rabbit > 0 && subject == "" && strings.HasPrefix(to, directPrefix):
		return route{target: direct, subject: to[len(directPrefix):]}
	case p.rabbit > 0 && !strings.HasPrefix(to, "/queues/") && !strings.HasPrefix(to, "/exchanges/"):
		return route{target: to} // in the field "to" it knows no other addresses
	case p.relays:
		return route{}
	}
	return route{target: to}
}

// declares reports whether attaching to an address declares a queue, which then
// should be one that outlives the broker's restart.
func (p peer) declares(address string) bool {
	return p.rabbit > 0 && (!strings.HasPrefix(address, "/") || strings.HasPrefix(address, "/queue/"))
}

// existing is the address of a queue that is there already, whatever its
// properties.
func (p peer) existing(address string) string {
	return "/amq/queue/" + strings.TrimPrefix(address, "/queue/")
}

// isTopic reports whether an address is that of a topic by its form.
func isTopic(address string) bool {
	return strings.HasPrefix(address, "/topic/") || strings.HasPrefix(address, "topic://")
}

// check reports why m would be the end of the connection.
func (p peer) check(m *transport.Message) error {
	if p.maxField == 0 {
		return nil
	}
	for _, f := range [...]struct{ name, value string }{
		{"reply-to", m.ReplyTo},
		{"content-type", m.ContentType},
		{"correlation-id", idText(m.CorrelationID)},
		{"message-id", idText(m.ID)},
	} {
		if len(f.value) > p.maxField {
			return p.overlong("a "+f.name, f.value)
		}
	}
	for _, h := range m.Headers {
		if len(h.Name) > p.maxField {
			return p.overlong("a header name", h.Name)
		}
	}
	return nil
}

func (p peer) overlong(what, text string) error {
	return invalid("RabbitMQ %d ends the connection over %s of %d bytes, the most is %d", p.rabbit, what, len(text), p.maxField)
}
