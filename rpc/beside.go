package rpc

import (
	"context"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/polyport/polyport/rpc/internal/envelope"
	"github.com/polyport/polyport/transport"
)

// What travels beside a call: its deadline, and what interceptors set, such as
// the context of a trace. It goes into the headers of the message where the wire
// has any, or else into the member metadata of the request, as texts but for the
// timeout, which is a number there.
const (
	// headerTimeout holds how long the caller waits, in milliseconds, counted from
	// when the request is received: the clocks of two machines differ.
	headerTimeout   = "timeout-ms"
	metadataTimeout = "timeoutMs"
	// slack is added to it, so that the caller gives up first.
	slack = 10
)

// beside appends what is to travel beside a call.
func (c *Client) beside(ctx context.Context, dst []transport.Header, x *Invocation) []transport.Header {
	if c.s.plain {
		return dst
	}
	if d, ok := ctx.Deadline(); ok {
		ms := max(0, time.Until(d).Milliseconds()) + slack
		dst = append(dst, transport.Header{Name: headerTimeout, Value: strconv.FormatInt(ms, 10)})
	}
	if x != nil {
		dst = append(dst, x.beside...)
	}
	return dst
}

// accompany puts what travels beside a call into the headers of out, or returns
// it as metadata where the wire has no headers and the peer may get any.
func (c *Client) accompany(ctx context.Context, out *outgoing, x *Invocation, mayMetadata bool) (metadata []byte) {
	beside := c.beside(ctx, out.beside[:0], x)
	switch {
	case len(beside) == 0:
	case c.s.conn.Info().Headers && !c.gathers():
		out.msg.Headers = beside
	case mayMetadata:
		return appendMetadata(nil, beside)
	}
	return nil
}

// appendMetadata appends what travels beside a call as an object.
func appendMetadata(dst []byte, beside []transport.Header) []byte {
	for i, h := range beside {
		dst = append(dst, "{,"[min(i, 1)])
		if h.Name == headerTimeout {
			dst = append(dst, `"`+metadataTimeout+`":`...)
			dst = append(dst, h.Value...)
			continue
		}
		dst = append(envelope.AppendString(dst, h.Name), ':')
		dst = envelope.AppendString(dst, h.Value)
	}
	return append(dst, '}')
}

// deadline returns when the caller of a request that has just been received
// gives up; zero if it does not say.
func deadline(m *transport.Message, msg *envelope.Message) time.Time {
	if len(m.Headers) > 0 {
		if text := m.Header(headerTimeout); text != "" {
			return timeout(text)
		}
	}
	if msg.Metadata == nil {
		return time.Time{}
	}
	var d time.Time
	envelope.Members(msg.Metadata, func(name, value []byte) bool {
		if string(name) != metadataTimeout {
			return true
		}
		d = timeout(string(value))
		return false
	})
	return d
}

// timeout returns the time in so many milliseconds; zero if the text is no whole
// number above 0, or so large that it means no limit.
func timeout(text string) time.Time {
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil || ms <= 0 || ms > math.MaxInt64/int64(time.Millisecond) {
		return time.Time{}
	}
	return time.Now().Add(time.Duration(ms) * time.Millisecond)
}

// beside returns what travelled beside the request.
func (r *request) beside() []transport.Header {
	beside := slices.Clip(r.message.Headers)
	envelope.Members(r.msg.Metadata, func(name, value []byte) bool {
		if v := envelope.Text(value); v != nil {
			beside = append(beside, transport.Header{Name: string(name), Value: string(v)})
		}
		return true
	})
	return beside
}
