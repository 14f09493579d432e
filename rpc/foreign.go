package rpc

import (
	"bytes"
	"encoding/base64"

	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/polyport/polyport/rpc/internal/envelope"
	"github.com/polyport/polyport/transport"
)

// eventFrom makes an event of what came to a topic. A notification that names the
// topic is one already, and goes on as it is. Of any other message the body becomes
// the params: an object or an array as it is, another text as {"text": …}, other
// bytes as {"base64": …}. Its headers and its content type go into the metadata:
//
//	{"jsonrpc":"2.0","method":TOPIC,"params":…,"metadata":{"headers":{…},"content_type":…}}
func eventFrom(topic string, m *transport.Message) *event {
	e := &event{Message: transport.Message{To: topic, Subject: topic, ContentType: contentType}}
	body := bytes.TrimSpace(m.Body)
	msgs, batch, fault := envelope.Scan(body, nil, nil)
	if fault == nil && !batch && msgs[0].Kind == envelope.Notification && string(msgs[0].Method) == topic {
		return e.of(&msgs[0], body, m)
	}
	beside := appendOrigin(nil, m.Headers, m.ContentType)
	head := envelope.AppendRequestHead(nil, nil, topic)
	e.Body = append(appendContent(head, m.Body, body), '}')
	if beside == nil {
		return e.whole()
	}
	e.Body = e.Body[:len(e.Body)-1]
	return e.with(beside)
}

// of makes e of a notification of its topic, whose text is body.
func (e *event) of(n *envelope.Message, body []byte, m *transport.Message) *event {
	if n.Metadata == nil && len(m.Headers) == 0 {
		e.Body = body
		return e.whole()
	}
	beside := appendOrigin(nil, m.Headers, "")
	envelope.Members(n.Metadata, func(name, value []byte) bool {
		if string(name) == "subscription" || string(name) == "headers" && len(m.Headers) > 0 {
			return true // of another subscription; told already
		}
		beside = append(appendMember(beside, string(name)), value...)
		return true
	})
	if n.Params == nil {
		e.Body = envelope.AppendRequestOpen(nil, nil, e.To)
	} else {
		e.Body = append(envelope.AppendRequestHead(nil, nil, e.To), n.Params...)
	}
	if beside == nil {
		e.Body = envelope.AppendTail(e.Body)
		return e.whole()
	}
	return e.with(beside)
}

// appendContent appends a body as params; text is the body without white space
// around it.
func appendContent(dst, body, text []byte) []byte {
	if (envelope.IsObject(text) || envelope.IsArray(text)) && jsontext.Value(text).IsValid() && shallow(text) {
		return append(dst, text...)
	}
	if utf8.Valid(body) {
		return append(envelope.AppendString(append(dst, `{"text":`...), string(body)), '}')
	}
	dst = base64.StdEncoding.AppendEncode(append(dst, `{"base64":"`...), body)
	return append(dst, `"}`...)
}

// shallow reports whether every peer takes a text as params by its nesting.
func shallow(text []byte) bool {
	probe := append(envelope.AppendRequestHead(make([]byte, 0, len(text)+64), nil, "t"), text...)
	_, _, fault := envelope.Scan(envelope.AppendTail(probe), nil, nil)
	return fault == nil
}

// appendOrigin appends the members of metadata that say with what a message came.
// Of headers of one name the first counts.
func appendOrigin(dst []byte, headers []transport.Header, contentType string) []byte {
	if len(headers) > 0 {
		dst = append(appendMember(dst, "headers"), '{')
		seen := make(map[string]bool, len(headers))
		for _, h := range headers {
			if seen[h.Name] {
				continue
			}
			if len(seen) > 0 {
				dst = append(dst, ',')
			}
			seen[h.Name] = true
			dst = append(envelope.AppendString(dst, h.Name), ':')
			dst = envelope.AppendString(dst, h.Value)
		}
		dst = append(dst, '}')
	}
	if contentType != "" {
		dst = envelope.AppendString(appendMember(dst, "content_type"), contentType)
	}
	return dst
}

// appendMember appends the name of the next member of an object.
func appendMember(dst []byte, name string) []byte {
	if len(dst) > 0 {
		dst = append(dst, ',')
	}
	return append(envelope.AppendString(dst, name), ':')
}

// Headers returns those of the message that the event was, if it was sent by a
// wire that has headers to a broker's topic. Of headers of one name there is
// one. They are read anew at each call.
func (e Event) Headers() []transport.Header {
	var headers []transport.Header
	envelope.Members(e.metadata, func(name, value []byte) bool {
		if string(name) != "headers" {
			return true
		}
		envelope.Members(value, func(name, value []byte) bool {
			if v := envelope.Text(value); v != nil {
				headers = append(headers, transport.Header{Name: string(name), Value: string(v)})
			}
			return true
		})
		return false
	})
	return headers
}

// ContentType returns the media type of such a message, or "": then the event
// was published as one.
func (e Event) ContentType() (mediaType string) {
	envelope.Members(e.metadata, func(name, value []byte) bool {
		if string(name) != "content_type" {
			return true
		}
		mediaType = string(envelope.Text(value))
		return false
	})
	return mediaType
}
