package http

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/polyport/polyport/transport"
)

// eventStream is the media type of Server-Sent Events.
const eventStream = "text/event-stream"

// openFeed answers with a stream of Server-Sent Events, until the peer goes or the
// conversation is closed. info is as for openSocket.
func (h *host) openFeed(w http.ResponseWriter, r *http.Request, info *transport.Info) {
	topics := r.URL.Query()["topic"]
	if len(topics) > h.o.Limits.Subscriptions {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("More than %d topics.", h.o.Limits.Subscriptions))
		return
	}
	beat := max(0, h.o.Heartbeat)
	if theirs, ours := beatOf(r.Header); ours {
		beat = transport.Negotiate(h.o.Heartbeat, theirs)
		setBeat(w.Header(), beat)
	}
	w.Header().Set("Content-Type", eventStream)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // by proxies
	p := &publisher{info: *info, topics: topics}
	p.info.Feed, p.info.Lockstep, p.info.Headers, p.info.Profile = true, false, false, ""
	p.info.Beat, p.info.Limits = beat, h.o.Limits
	if r.ProtoMajor == 1 {
		h.openStream(w, p)
	} else {
		h.openPipe(w, r, p)
	}
}

// openStream takes over the byte stream of HTTP/1: nothing else will be said on it,
// and the end of the events is its end.
func (h *host) openStream(w http.ResponseWriter, p *publisher) {
	nc, ahead, err := http.NewResponseController(w).Hijack()
	if err != nil {
		refuse(w, http.StatusInternalServerError, "The connection cannot be taken over.")
		return
	}
	p.begin(nc, &h.o.Options)
	early, _ := ahead.Reader.Peek(ahead.Reader.Buffered())
	p.stream.Reader.Unread(early)
	w.Header().Set("Connection", "close")
	_ = p.stream.Control("send", func(dst []byte) []byte {
		var head bytes.Buffer
		head.WriteString("HTTP/1.1 200 OK\r\n")
		_ = w.Header().Write(&head) // never fails
		return append(append(dst, head.Bytes()...), "\r\n"...)
	})
	p.startBeat()
	h.ready(p)
}

// openPipe has the response written from a pipe, because a response of HTTP/2 is no
// byte stream whose writes could be continued after a deadline.
func (h *host) openPipe(w http.ResponseWriter, r *http.Request, p *publisher) {
	near, far := newFeedPipe(p.info.Local, p.info.Remote)
	p.begin(near, &h.o.Options)
	response := http.NewResponseController(w)
	var using sync.Mutex // the response, which is nobody's when this returns
	over := false
	defer func() {
		using.Lock()
		defer using.Unlock()
		over = true
	}()
	p.stream.OnEnd(func(error) {
		using.Lock()
		defer using.Unlock()
		if !over {
			_ = response.SetWriteDeadline(time.Unix(1, 0)) // for who is in Write
		}
	})
	defer context.AfterFunc(r.Context(), func() { _ = far.Close() })()
	var accepted sync.WaitGroup
	accepted.Go(func() { h.ready(p) })
	defer accepted.Wait()
	p.startBeat()
	defer func() { _ = far.Close() }()
	buf := make([]byte, 16<<10)
	for err := response.Flush(); err == nil; err = response.Flush() {
		n, err := far.Read(buf)
		if _, wrong := w.Write(buf[:n]); wrong != nil || err != nil {
			return
		}
	}
}

// newFeedPipe returns a pipe from near to far. Near knows the addresses of the byte
// stream behind it.
func newFeedPipe(local, remote net.Addr) (near, far net.Conn) {
	near, far = net.Pipe()
	return &feedPipe{near, far, local, remote}, far
}

type feedPipe struct {
	net.Conn

	far           net.Conn
	local, remote net.Addr
}

// CloseWrite ends the pipe. What was written has been read: there is no buffer.
func (p *feedPipe) CloseWrite() error    { return p.far.Close() }
func (p *feedPipe) LocalAddr() net.Addr  { return p.local }
func (p *feedPipe) RemoteAddr() net.Addr { return p.remote }

// A publisher is the end of a feed that was dialed.
type publisher struct {
	stream *transport.Stream
	info   transport.Info
	topics []string // prefixes; none means all
}

// begin gives the publisher its byte stream.
func (p *publisher) begin(nc net.Conn, o *transport.Options) {
	p.info.Local, p.info.Remote = nc.LocalAddr(), nc.RemoteAddr()
	p.stream = transport.NewStream(nc, schemeHTTP, o, 0)
}

func (p *publisher) startBeat() { p.stream.StartHeartbeat(p.info.Beat, 0, []byte(comment)) }

// Wants reports whether the peer asked for topics that begin so.
func (p *publisher) Wants(topic string) bool {
	return (len(p.topics) == 0 || slices.ContainsFunc(p.topics, func(t string) bool { return strings.HasPrefix(topic, t) })) &&
		p.stream.Over("send") == nil
}

// Publish sends m, once, if the peer wants its topic, which is m.To.
func (p *publisher) Publish(ctx context.Context, m *transport.Message) error {
	if err := p.stream.Over("send"); err != nil {
		return err
	}
	if err := p.sayable(m); err != nil {
		return &transport.OpError{Op: "send", Scheme: schemeHTTP, Addr: p.info.Remote.String(), Err: err}
	}
	return p.stream.Write(ctx, "send", eventLen(m), func(dst []byte) []byte { return appendEvent(dst, m) })
}

// sayable returns why m cannot be sent.
func (p *publisher) sayable(m *transport.Message) error {
	switch l := p.info.Limits; {
	case len(m.Body) > l.Message:
		return tooLarge("the body has %d bytes, the limit is %d", len(m.Body), l.Message)
	case len(m.To) > l.HeaderBytes:
		return tooLarge("the topic has %d bytes, the limit is %d", len(m.To), l.HeaderBytes)
	case strings.ContainsAny(m.To, lineEnds):
		return invalid("the topic %.100q has more than one line", m.To)
	case !p.Wants(m.To):
		return noRoute("the peer has not asked for %.100q", m.To)
	}
	return nil
}

// Send is Publish.
func (p *publisher) Send(ctx context.Context, m *transport.Message) error { return p.Publish(ctx, m) }

// Recv waits for the end: after its request the peer has nothing more to say.
func (p *publisher) Recv(ctx context.Context) (*transport.Message, error) {
	return p.stream.Receive(ctx, func() (*transport.Message, error) {
		for len(p.stream.Reader.Buffered()) == 0 {
			if err := p.stream.Reader.Fill(); err != nil {
				return nil, err
			}
		}
		return nil, malformed("the peer has asked for events, and sends more before they have ended")
	})
}

// Info returns what was negotiated.
func (p *publisher) Info() *transport.Info { return &p.info }

// Flush waits until what was sent is written.
func (p *publisher) Flush(ctx context.Context) error { return p.stream.Flush(ctx) }

// Close ends the events.
func (p *publisher) Close() error { return p.stream.Close(nil) }
