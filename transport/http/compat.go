package http

import (
	"net"
	"strconv"
	"strings"
)

// tolerate returns nc with a Host header, an empty one, added to requests of
// HTTP/1.1 that have none, which OpenDaylight's client sends and net/http refuses.
//
// It follows the stream from head to head by the same rules as net/http, and only
// as long as they are simple: heads with CRLF and at most one Content-Length, and
// bodies of that length. What comes after anything else passes as it is.
func tolerate(nc net.Conn, limit int) net.Conn {
	h := &hostAdder{Conn: nc, limit: limit}
	if s, ok := nc.(session); ok {
		if s.ConnectionState().NegotiatedProtocol == "h2" {
			return nc
		}
		return &hostAdderTLS{hostAdder: h, session: s}
	}
	return h
}

// A hostAdder adds the header while it reads.
type hostAdder struct {
	net.Conn
	limit int // the most bytes of a head

	in   []byte // what has come and is not judged
	out  []byte // what is to be read next
	body int64  // how much of a body passes before the next head
	done bool   // all passes
}

// A hostAdderTLS is one that shows the TLS session.
type hostAdderTLS struct {
	*hostAdder
	session session
}

// CloseWrite is that of the connection below, if it has one.
func (h *hostAdder) CloseWrite() error { return (&listening{Conn: h.Conn}).CloseWrite() }

// Read is that of [net.Conn].
func (h *hostAdder) Read(p []byte) (int, error) {
	for len(h.out) == 0 {
		pass := int64(len(h.in))
		switch {
		case h.done && pass == 0:
			return h.Conn.Read(p)
		case !h.done && h.body > 0 && pass == 0:
			n, err := h.Conn.Read(p[:min(int64(len(p)), h.body)])
			h.body -= int64(n)
			return n, err
		case !h.done && h.body > 0:
			pass = min(pass, h.body)
			h.body -= pass
		case !h.done:
			if n := headLen(h.in); n > 0 {
				head := h.in[:n]
				h.in = h.in[n:]
				h.judge(head)
			} else if err := h.fill(); err != nil {
				return 0, err
			}
			continue
		}
		h.out, h.in = h.in[:pass], h.in[pass:]
	}
	n := copy(p, h.out)
	h.out = h.out[n:]
	return n, nil
}

// fill reads more of a head. If there cannot be more all passes.
func (h *hostAdder) fill() error {
	if len(h.in) > h.limit {
		h.done = true
		return nil
	}
	if len(h.in) == cap(h.in) {
		h.in = append(make([]byte, 0, 2*len(h.in)+1024), h.in...)
	}
	n, err := h.Conn.Read(h.in[len(h.in):cap(h.in)])
	h.in = h.in[:len(h.in)+n]
	if n > 0 {
		return nil
	}
	if err != nil && len(h.in) > 0 && !isTimeout(err) {
		h.done = true
		return nil
	}
	return err
}

// judge lets a head out, with a Host if it needs one.
func (h *hostAdder) judge(head []byte) {
	line, fields, _ := strings.Cut(string(head), "\r\n")
	length, host, plain := fieldsOf(fields)
	if h.body, h.done = length, !plain || !isRequestLine(line); h.done {
		h.out = head
		return
	}
	if !host && strings.HasSuffix(line, " HTTP/1.1") {
		h.out = []byte(line + "\r\nHost:\r\n" + fields)
		return
	}
	h.out = head
}

func isTimeout(err error) bool {
	t, ok := err.(interface{ Timeout() bool })
	return ok && t.Timeout()
}

// isRequestLine reports whether s is a method, a target and a version of HTTP/1.
func isRequestLine(s string) bool {
	return strings.Count(s, " ") == 2 && strings.HasPrefix(s[strings.LastIndexByte(s, ' '):], " HTTP/1.") &&
		!strings.ContainsAny(s, "\r\n\t")
}

// fieldsOf returns what the fields of a head say: how long the body is, and whether
// there is a Host. plain is false if they say more than that about the body, or
// nothing that everybody understands in the same way.
func fieldsOf(fields string) (length int64, host, plain bool) {
	sized := false
	fields, crlf := strings.CutSuffix(fields, "\r\n")
	if !crlf {
		return 0, false, false
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(fields, "\r\n"), "\r\n") {
		if line == "" { // there are no fields
			break
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.ContainsAny(name, " \t\r\n") || strings.ContainsAny(value, "\r\n") {
			return 0, false, false
		}
		switch strings.ToLower(name) {
		case "host":
			host = true
		case "transfer-encoding", "upgrade", "expect":
			return 0, host, false
		case "content-length":
			n, err := strconv.ParseUint(strings.Trim(value, " \t"), 10, 63)
			if err != nil || sized || strings.TrimLeft(strings.Trim(value, " \t"), "0123456789") != "" {
				return 0, host, false
			}
			sized, length = true, int64(n)
		}
	}
	return length, host, true
}
