package http

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/net/http/httpguts"

	"github.com/polyport/polyport/transport"
)

// newAsker returns the end that asks, by JSON-RPC or what translate makes of it.
func newAsker(nc net.Conn, u *url.URL, o *transport.DialOptions, translate translator) (transport.Conn, error) {
	host := cmp.Or(o.VirtualHost, u.Host)
	if !httpguts.ValidHostHeader(host) {
		return nil, invalid("the host %.60q cannot be said in HTTP", host)
	}
	c := &client{
		to: cmp.Or(strings.TrimPrefix(u.Path, "/"), transport.DefaultDestination), target: target(u, o.Profile), translate: translate,
		info: transport.Info{
			Scheme: schemeHTTP, Version: "1.1", User: u.User.Username(), Local: nc.LocalAddr(), Remote: nc.RemoteAddr(),
			TLS: transport.TLSState(nc), Limits: o.Limits, Lockstep: true, Headers: true, Profile: o.Profile,
		},
	}
	c.common = "Host: " + host + "\r\nAccept: " + accepts(translate) + "\r\nUser-Agent: " + software + "\r\n"
	if u.User != nil {
		password, _ := u.User.Password()
		if strings.Contains(c.info.User, ":") {
			return nil, invalid("a user's name has no colon in HTTP (RFC 7617, section 2)")
		}
		c.common += "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(c.info.User+":"+password)) + "\r\n"
	}
	c.stream = transport.NewStream(nc, schemeHTTP, &o.Options, o.Limits.HeaderBytes+piece)
	c.response.limits = o.Limits
	turns := transport.NewAsker(c, c.stream, nil)
	return &asker{Conn: turns, client: c}, nil
}

// software is the name that an end gives itself.
const software = "polyport"

func accepts(t translator) string {
	if t != nil {
		return "text/xml"
	}
	return isJSON[0]
}

// target returns the path and query that requests go to: u's, without what is meant
// for us.
func target(u *url.URL, p transport.Profile) string {
	t := url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}
	switch {
	case t.Path != "":
	case p == transport.OpenDaylight:
		t.Path = "/"
	default:
		t.Path = "/" + transport.DefaultDestination
	}
	q := u.Query()
	for _, name := range [...]string{"format", "profile", "socket"} {
		if q.Has(name) && (name != "socket" || p == transport.OpenDaylight) {
			q.Del(name)
			t.RawQuery = q.Encode()
		}
	}
	return t.RequestURI()
}

// An asker is a client in lock-step.
type asker struct {
	transport.Conn // in lock-step
	client         *client
}

// Unwrap returns the connection in lock-step.
func (a *asker) Unwrap() transport.Conn { return a.Conn }

// Ended reports whether the server has said, with an answer, that it closes the
// connection.
func (a *asker) Ended() bool { return a.client.last.Load() }

// Send sends m as a request.
func (a *asker) Send(ctx context.Context, m *transport.Message) error {
	if a.Ended() {
		return a.client.notSent(errLast)
	}
	return a.Conn.Send(ctx, m)
}

var errLast = transport.WithReason(transport.ErrClosed, "the server has closed the connection after its answer")

// client is the end that dialed.
type client struct {
	stream    *transport.Stream
	info      transport.Info
	to        string // the destination that was dialed
	target    string // its path and query
	common    string // the fields of every request
	translate translator
	last      atomic.Bool // no more answers will come
	waits     atomic.Bool // a request was sent, and its answer has not come out of Recv

	response response // belongs to the goroutine in Receive
}

// Send sends m as a request.
func (c *client) Send(ctx context.Context, m *transport.Message) error {
	if err := fits(len(m.Body), &c.info); err != nil {
		return c.notSent(err)
	}
	if err := checkFields(m, c.info.Limits); err != nil {
		return c.notSent(err)
	}
	target := c.targetOf(m.To)
	body, kind := m.Body, cmp.Or(m.ContentType, isJSON[0])
	if c.translate != nil {
		var err error
		if body, kind, err = c.translate.request(m); err != nil {
			return c.notSent(err)
		}
	}
	size := len(target) + len(c.common) + len(kind) + len(body) + len(m.Subject) + 160
	for _, h := range m.Headers {
		size += len(h.Name) + len(h.Value) + 4
	}
	c.waits.Store(true)
	err := c.stream.Write(ctx, "send", size, func(dst []byte) []byte {
		dst = append(append(append(dst, "POST "...), target...), " HTTP/1.1\r\n"...)
		dst = append(dst, c.common...)
		dst = append(append(append(dst, "Content-Type: "...), kind...), "\r\nContent-Length: "...)
		dst = append(strconv.AppendInt(dst, int64(len(body)), 10), "\r\n"...)
		if m.Subject != "" {
			dst = append(append(append(dst, subjectField+": "...), m.Subject...), "\r\n"...)
		}
		for _, h := range m.Headers {
			dst = append(append(append(append(dst, h.Name...), ": "...), h.Value...), "\r\n"...)
		}
		return append(append(dst, "\r\n"...), body...)
	})
	if transport.NotSent(err) {
		c.waits.Store(false)
	}
	return err
}

// targetOf returns the path and query of a destination.
func (c *client) targetOf(to string) string {
	if to == "" || to == c.to {
		return c.target
	}
	t := url.URL{Path: "/" + strings.TrimPrefix(to, "/")}
	return t.RequestURI()
}

// Recv returns the next answer.
func (c *client) Recv(ctx context.Context) (*transport.Message, error) {
	return c.stream.Receive(ctx, c.next)
}

// next reads a response. After an interruption it goes on where it was.
func (c *client) next() (*transport.Message, error) {
	if c.last.Load() {
		return nil, errLast
	}
	r := &c.response
	in := c.stream.Reader
	for !r.whole {
		if len(in.Buffered()) > 0 || r.begun() {
			c.stream.MidFrame()
		}
		more, err := r.take(in)
		if err != nil {
			return nil, err
		}
		if !more {
			continue
		}
		if err := in.Fill(); err == io.EOF && r.untilEnd() { //nolint:errorlint // as net.Conn returns it
			r.whole = true
		} else if err != nil {
			return nil, c.cut(err)
		}
	}
	c.stream.FrameDone()
	done := *r
	*r = response{limits: r.limits}
	if !c.waits.Load() && done.status == statusTimeout {
		return nil, transport.WithReason(transport.ErrClosed, "the server has waited long enough for the next request")
	}
	m, err := c.message(&done)
	if err != nil {
		return nil, err
	}
	if done.last {
		c.last.Store(true)
	}
	c.waits.Store(false)
	return m, nil
}

// cut says what it means that the stream ended in the middle of a response.
func (c *client) cut(err error) error {
	if err == io.EOF && c.response.begun() { //nolint:errorlint // as net.Conn returns it
		return transport.WithReason(transport.ErrClosed, "the server closed the connection in the middle of an answer")
	}
	return err
}

// message makes a message of a response, or says why there is none.
func (c *client) message(r *response) (*transport.Message, error) {
	m := &transport.Message{ContentType: r.contentType, Subject: r.subject, Headers: r.headers, Body: r.body}
	switch {
	case r.status == statusNoContent, r.status == statusAccepted && len(r.body) == 0:
		m.Body = nil
		if c.translate == nil {
			return m, nil
		}
	case r.status == statusOK:
	case isAnswer(r):
		return m, nil
	default:
		return nil, r.failure()
	}
	if c.translate == nil {
		return m, nil
	}
	body, err := c.translate.answer(r.contentType, m.Body)
	if err != nil {
		return nil, err
	}
	m.Body, m.ContentType = body, isJSON[0]
	return m, nil
}

// isAnswer reports whether a response that is an error of HTTP is an answer in
// JSON-RPC as well, as several servers have it.
func isAnswer(r *response) bool {
	return r.mayAnswer() && bytes.Contains(r.body, []byte(`"jsonrpc"`))
}

// Info returns what is known of the connection.
func (c *client) Info() *transport.Info { return &c.info }

// Flush waits until what was sent is written.
func (c *client) Flush(ctx context.Context) error { return c.stream.Flush(ctx) }

// Close ends the connection.
func (c *client) Close() error { return c.stream.Close(nil) }

// notSent is the error for something that was refused before it was sent.
func (c *client) notSent(err error) error {
	return &transport.OpError{Op: "send", Scheme: schemeHTTP, Addr: fmt.Sprint(c.info.Remote), Err: err}
}
