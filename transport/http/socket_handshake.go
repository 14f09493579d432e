package http

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/polyport/polyport/transport"
)

// beatHeader says, between ends of ours, how often an end offers and asks for signs
// of life, in milliseconds; 0 means never.
const beatHeader = "Polyport-Heartbeat"

// openSocket makes a WebSocket of the request's connection. info is that of the
// conversation, with User set and Scheme "http"; it is openSocket's to change.
func (h *host) openSocket(w http.ResponseWriter, r *http.Request, info *transport.Info) {
	if r.ContentLength != 0 {
		w.Header().Set("Connection", "close")
		refuse(w, http.StatusBadRequest, "A request for a WebSocket has no body.")
		return
	}
	theirs, ours := beatOf(r.Header)
	if ours {
		setBeat(w.Header(), h.o.Heartbeat)
	}
	if ours || r.Header["Sec-Websocket-Protocol"] != nil {
		info.Profile = "" // it is none of the older system's
	}
	taken := &taking{ResponseWriter: w}
	// The page has been judged. Without extensions there is no compression: it
	// would hold memory for each connection, and let a peer's few bytes become many.
	c, err := websocket.Accept(taken, r, &websocket.AcceptOptions{
		Subprotocols: []string{ownProtocol, plainProtocol}, InsecureSkipVerify: true,
	})
	if err != nil {
		h.o.Logger.Info("WebSocket refused", "remote", r.RemoteAddr, "err", err)
		return
	}
	info.Lockstep = false
	s := newSocket(taken.nc, info, &h.o.Options)
	if len(taken.ahead) > 0 {
		s.stream.Reader.Unread(taken.ahead)
	}
	s.frames.masked, s.served, s.to, s.bye = true, h.o.Destinations, h.doors.paths[r.URL.Path], websocket.StatusGoingAway
	s.agree(c.Subprotocol(), theirs, &h.o.Options)
	_ = c.CloseNow() // what the library holds
	if s.odl() {
		h.ready(transport.NewPatientAnswerer(s, s.stream))
		return
	}
	h.ready(s)
}

// destinationOf returns the destination that the path of a URL names.
func destinationOf(u *url.URL) string {
	return cmp.Or(strings.Trim(u.Path, "/"), transport.DefaultDestination)
}

// taking lets websocket.Accept answer, and takes the connection in its place.
type taking struct {
	http.ResponseWriter

	nc    net.Conn
	ahead []byte // that the peer sent before it was answered
}

// Hijack takes the connection, and hands out one that leads nowhere.
func (t *taking) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, buf, err := http.NewResponseController(t.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	if t.ahead, err = buf.Reader.Peek(buf.Reader.Buffered()); err != nil {
		return nil, nil, errors.Join(err, nc.Close())
	}
	t.nc = nc
	empty := bufio.NewReadWriter(bufio.NewReaderSize(nowhere{}, 16), bufio.NewWriterSize(nowhere{}, 16))
	return nowhere{}, empty, nil
}

// nowhere is a connection on which there is nothing, and which is not closed by who
// closes it.
type nowhere struct{ net.Conn }

func (nowhere) Read([]byte) (int, error)    { return 0, io.EOF }
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) Close() error                { return nil }

// dialSocket opens a WebSocket.
func dialSocket(ctx context.Context, nc net.Conn, u *url.URL, o *transport.DialOptions) (transport.Conn, error) {
	socket := u.Query().Get("socket")
	if err := odlSocket(socket, o.Profile); err != nil {
		return nil, err
	}
	s := newSocket(nc, &transport.Info{User: u.User.Username(), TLS: transport.TLSState(nc), Profile: o.Profile}, &o.Options)
	s.masks, s.to, s.bye = true, destinationOf(u), websocket.StatusNormalClosure
	if err := s.upgrade(ctx, nc, u, o); err != nil {
		s.stream.Fail(err)
		return nil, err
	}
	switch {
	case s.odl() && socket == "sub":
		return newSocketFeed(s), nil
	case s.odl():
		return transport.NewAsker(s, s.stream, nil), nil
	}
	return s, nil
}

// upgrade asks for a WebSocket (section 4.1).
func (s *socket) upgrade(ctx context.Context, nc net.Conn, u *url.URL, o *transport.DialOptions) error {
	asks := &asking{nc: nc, in: s.stream.Reader, most: o.Limits.HeaderBytes}
	headers, protocols := requestHeaders(u), []string{ownProtocol, plainProtocol}
	if s.odl() {
		protocols = nil
	} else {
		setBeat(headers, o.Heartbeat)
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	at := "ws://" + u.Host + target(u, o.Profile)
	c, answer, err := websocket.Dial(ctx, at, &websocket.DialOptions{ //nolint:bodyclose // it is what was read
		HTTPClient: &http.Client{Transport: asks, CheckRedirect: stay},
		HTTPHeader: headers, Host: hostHeader(u, o), Subprotocols: protocols,
	})
	switch {
	case asks.err != nil:
		return asks.err
	case err != nil && answer == nil:
		return invalid("%v", err)
	case err != nil && answer.StatusCode != http.StatusSwitchingProtocols:
		return refusal(answer)
	case err != nil:
		return malformed("the answer is no WebSocket handshake: %v", err)
	}
	s.info.Peer = answer.Header.Get("Server")
	theirs, _ := beatOf(answer.Header)
	s.agree(c.Subprotocol(), theirs, &o.Options)
	_ = c.CloseNow() // what the library holds
	return nil
}

// An asking is the http.RoundTripper of one request on a connection that is there.
type asking struct {
	nc   net.Conn
	in   *transport.Reader
	most int
	err  error // why there is no answer
}

// RoundTrip sends the request and reads the head of its answer, and no more if that
// switches protocols.
func (a *asking) RoundTrip(r *http.Request) (*http.Response, error) {
	var answer *http.Response
	if a.err = writeRequest(a.nc, r); a.err == nil {
		answer, a.err = readResponse(a.in, r, a.most)
	}
	if a.err == nil && answer.StatusCode == http.StatusSwitchingProtocols {
		answer.Body = nowhere{}
	}
	return answer, a.err
}

// writeRequest writes a request at once.
func writeRequest(w io.Writer, r *http.Request) error {
	var buf bytes.Buffer
	if err := r.Write(&buf); err != nil {
		return invalid("%v", err)
	}
	_, err := w.Write(buf.Bytes())
	return err
}

// readResponse reads the head of an answer of at most so many bytes. Its body is
// what is in the buffer then, as far as it matters: the reason for a refusal.
func readResponse(in *transport.Reader, r *http.Request, most int) (*http.Response, error) {
	for {
		buf := in.Buffered()
		end := headLen(buf)
		switch {
		case !couldBeHTTP(buf):
			return nil, notHTTP(buf)
		case end > most, end == 0 && len(buf) > most:
			return nil, tooLarge("the head of the answer has more than %d bytes", most)
		case end == 0:
			err := in.Fill()
			if errors.Is(err, io.EOF) {
				err = transport.WithReason(transport.ErrClosed, "the peer closed the connection before it had answered")
			}
			if err != nil {
				return nil, err
			}
			continue
		}
		answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(buf[:end])), r)
		if err != nil {
			return nil, malformed("the head of the answer makes no sense: %v", err)
		}
		in.Discard(end)
		if answer.StatusCode >= 100 && answer.StatusCode < 200 && answer.StatusCode != http.StatusSwitchingProtocols {
			continue // what it announces is of no use here
		}
		answer.Body = io.NopCloser(bytes.NewReader(bytes.Clone(in.Buffered())))
		return answer, nil
	}
}

// refusal makes an error of an answer that is none of success.
func refusal(answer *http.Response) error {
	r := response{status: answer.StatusCode, contentType: answer.Header.Get("Content-Type")}
	r.body, _ = io.ReadAll(io.LimitReader(answer.Body, enough))
	if to := answer.Header.Get("Location"); to != "" {
		r.body = fmt.Appendf(r.body, " It points to %.200q.", to)
	}
	return r.failure()
}

// requestHeaders returns those of a request by u, with its credentials (RFC 7617).
func requestHeaders(u *url.URL) http.Header {
	headers := http.Header{"User-Agent": {software}}
	if u.User != nil {
		password, _ := u.User.Password()
		r := http.Request{Header: headers}
		r.SetBasicAuth(u.User.Username(), password)
	}
	return headers
}

// hostHeader returns the virtual host asked for.
func hostHeader(u *url.URL, o *transport.DialOptions) string { return cmp.Or(o.VirtualHost, u.Host) }

// setBeat says how often this end wants signs of life.
func setBeat(h http.Header, beat time.Duration) {
	h.Set(beatHeader, strconv.FormatInt(max(0, beat.Milliseconds()), 10))
}

// beatOf returns what the peer says of them. An end that is none of ours says
// nothing; then the interval is negative.
func beatOf(h http.Header) (beat time.Duration, ours bool) {
	n, err := strconv.ParseUint(h.Get(beatHeader), 10, 31)
	if err != nil {
		return -1, false
	}
	return time.Duration(n) * time.Millisecond, true
}
