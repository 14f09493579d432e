package http

import (
	"context"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/polyport/polyport/transport"
)

// dialFeed opens a stream of Server-Sent Events.
func dialFeed(ctx context.Context, nc net.Conn, u *url.URL, o *transport.DialOptions) (transport.Conn, error) {
	l := &listener{info: transport.Info{
		Scheme: schemeHTTP, User: u.User.Username(), Local: nc.LocalAddr(), Remote: nc.RemoteAddr(), TLS: transport.TLSState(nc),
		Limits: o.Limits, Feed: true,
	}}
	l.stream = transport.NewStream(nc, schemeHTTP, &o.Options, o.Limits.HeaderBytes+longestChunkLine)
	l.events = eventReader{stream: l.stream, limits: o.Limits}
	if err := l.ask(ctx, nc, u, o); err != nil {
		l.stream.Fail(err)
		return nil, err
	}
	return l, nil
}

// A listener is the end of a feed that dialed. What the server sends is settled by
// the request, so its subscriptions choose among that.
type listener struct {
	stream *transport.Stream
	events eventReader
	info   transport.Info
	choices
}

// ask sends the request and reads the head of the answer.
func (l *listener) ask(ctx context.Context, nc net.Conn, u *url.URL, o *transport.DialOptions) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+u.Host+target(u, o.Profile), http.NoBody)
	if err != nil {
		return invalid("%v", err)
	}
	r.Header, r.Host = requestHeaders(u), hostHeader(u, o)
	r.Header.Set("Accept", eventStream)
	r.Header.Set("Cache-Control", "no-store")
	setBeat(r.Header, o.Heartbeat)
	if err := writeRequest(nc, r); err != nil {
		return err
	}
	answer, err := readResponse(l.stream.Reader, r, o.Limits.HeaderBytes) //nolint:bodyclose // it is what was read
	if err != nil {
		return err
	}
	media, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	switch {
	case answer.StatusCode != http.StatusOK:
		return refusal(answer)
	case media != eventStream:
		return malformed("expected %s, got %.60q; is there a feed at this path?", eventStream, media)
	}
	l.info.Version, l.info.Peer = strings.TrimPrefix(answer.Proto, "HTTP/"), answer.Header.Get("Server")
	l.events.chunks.used = len(answer.TransferEncoding) > 0
	if beat, ours := beatOf(answer.Header); ours {
		l.info.PeerBeat = transport.Negotiate(o.Heartbeat, beat)
		l.stream.StartHeartbeat(0, l.info.PeerBeat, nil)
	}
	return nil
}

// Recv returns the next event.
func (l *listener) Recv(ctx context.Context) (*transport.Message, error) {
	return l.stream.Receive(ctx, func() (*transport.Message, error) {
		for {
			m, err := l.events.next()
			if err != nil || l.wants(m, m.To) {
				return m, err
			}
		}
	})
}

// Send fails: over HTTP the server has the word.
func (l *listener) Send(context.Context, *transport.Message) error {
	if err := l.stream.Over("send"); err != nil {
		return err
	}
	return l.notSent("send", transport.WithReason(transport.ErrUnsupported,
		"this connection only carries events (?format=sse); dial without it to send"))
}

// Subscribe chooses the topics that begin with s.Destination.
func (l *listener) Subscribe(_ context.Context, s transport.Subscription) (id string, err error) {
	if err := l.stream.Over("subscribe"); err != nil {
		return "", err
	}
	if id, err = l.choose(s, l.info.Limits); err != nil {
		return "", l.notSent("subscribe", err)
	}
	return id, nil
}

// Unsubscribe undoes Subscribe.
func (l *listener) Unsubscribe(_ context.Context, id string) error {
	if err := l.drop(id); err != nil {
		return l.notSent("subscribe", err)
	}
	return nil
}

// Info returns what was negotiated.
func (l *listener) Info() *transport.Info { return &l.info }

// Flush returns at once: nothing was sent that could wait.
func (l *listener) Flush(ctx context.Context) error { return l.stream.Flush(ctx) }

// Close ends the connection.
func (l *listener) Close() error { return l.stream.Close(nil) }

// notSent is the error for something that was refused before it was sent.
func (l *listener) notSent(op string, err error) error {
	return &transport.OpError{Op: op, Scheme: schemeHTTP, Addr: l.info.Remote.String(), Err: err}
}
