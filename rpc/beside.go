package rpc

import (
	"context"
	"errors"
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
		return c.s.passing(dst, x)
	}
	if d, ok := ctx.Deadline(); ok {
		ms := time.Until(d).Milliseconds()
		if r, ok := ctx.Value(requestKey{}).(*request); !ok || !d.Equal(r.deadline) {
			ms += slack // which the deadline of a request that is being served has already
		}
		dst = append(dst, transport.Header{Name: headerTimeout, Value: strconv.FormatInt(max(1, ms), 10)})
	}
	if x != nil {
		for _, h := range x.beside {
			if h.Name != headerTimeout && h.Name != metadataTimeout { // an interceptor that hands on all it got
				dst = append(dst, h)
			}
		}
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
	case mayMetadata && !c.s.plain:
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

// mostBeside is how many texts of a request's metadata interceptors get to see:
// a message may be large, and finding a text takes longer the more there are.
const mostBeside = 64

// beside returns what travelled beside the request.
func (r *request) beside() []transport.Header {
	beside := slices.Clip(r.message.Headers)
	n := 0
	envelope.Members(r.msg.Metadata, func(name, value []byte) bool {
		if v := envelope.Text(value); v != nil {
			beside = append(beside, transport.Header{Name: string(name), Value: string(v)})
			n++
		}
		return n < mostBeside
	})
	return beside
}

// What a session knows of how its peer takes metadata.
const (
	metadataUnknown int32 = iota
	metadataTaken
	metadataSuspect // a call is being made again without
	metadataRefused
)

// mayMetadata reports whether a call may have metadata.
func (s *session) mayMetadata() bool { return s.metadata.Load() <= metadataTaken }

// learn looks at what came of a call that had metadata. A peer that refuses the
// first such call as invalid has not executed it; it gets the call again, without,
// and no metadata ever after if that was what it did not like.
func (s *session) learn(err error, again func() error) error {
	e, ok := errors.AsType[*Error](err)
	switch {
	case OutcomeOf(err) != Answered:
		return err
	case !ok || e.Code != CodeInvalidRequest:
		if s.metadata.Load() != metadataRefused {
			s.metadata.Store(metadataTaken)
		}
		return err
	case s.metadata.Load() == metadataTaken:
		return err
	}
	s.metadata.CompareAndSwap(metadataUnknown, metadataSuspect)
	err = again()
	e, ok = errors.AsType[*Error](err)
	refused := OutcomeOf(err) == Answered && (!ok || e.Code != CodeInvalidRequest)
	switch {
	case !refused:
		s.metadata.CompareAndSwap(metadataSuspect, metadataUnknown)
	case s.metadata.Load() != metadataTaken: // what another call has shown since
		s.metadata.Store(metadataRefused)
	}
	return err
}

// refusesMetadata finds the call that an error without an id can only mean: the
// specification (section 5) has peers forget the id of an invalid request, and the
// only call that waits may be one to them, with metadata. It needs calls.mu.
func (s *session) refusesMetadata(fault []byte) *waiter {
	if len(s.calls.waiting) != 1 || s.metadata.Load() != metadataUnknown {
		return nil
	}
	for _, w := range s.calls.waiting {
		if !w.metadata || w.group != nil {
			break
		}
		if e, ok := errors.AsType[*Error](decodeError(s.codec, fault)); ok && e.Code == CodeInvalidRequest {
			return w
		}
	}
	return nil
}
