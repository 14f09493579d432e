package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
)

// A hubWire is how programs reach a server. Each connection is one of its own.
type hubWire interface {
	// consume asks for the messages of a destination, and calls got with how many
	// came and how many of them had another body than wanted, until ctx or the
	// connection ends. ready is called when the subscription has been sent.
	consume(ctx context.Context, at hubPlace, body []byte, ready func(), got func(right, wrong int)) error
	// produce connects, and returns what sends a body n times.
	produce(ctx context.Context, at hubPlace, body []byte) (hubProducer, error)
}

// A hubProducer sends messages that are all alike.
type hubProducer interface {
	send(n int) error
	Close() error
}

// A hubPlace is a destination of a server.
type hubPlace struct {
	address string
	queue   bool // else a topic
	name    string
}

// stompWire is STOMP by the cheapest client there can be: it writes frames that
// were made before, counts those that come, and understands nothing but what it
// needs for ACK. It is the same for every server of STOMP.
type stompWire struct {
	user *url.Userinfo
	auto bool // messages of queues are not acknowledged
}

const hubReadSize = 64 << 10

func (at hubPlace) stomp() string {
	if at.queue {
		return "/queue/" + at.name
	}
	return "/topic/" + at.name
}

func (w stompWire) connect(ctx context.Context, address string) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	login := ""
	if w.user != nil {
		password, _ := w.user.Password()
		login = "login:" + w.user.Username() + "\npasscode:" + password + "\n"
	}
	_, err = fmt.Fprintf(nc, "CONNECT\naccept-version:1.2\nhost:/\n%s\n\x00", login)
	if err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	answer := make([]byte, 0, 1024)
	for !bytes.ContainsRune(answer, 0) {
		n, err := nc.Read(answer[len(answer):cap(answer)])
		if err != nil {
			return nil, errors.Join(fmt.Errorf("after CONNECT: %w", err), nc.Close())
		}
		answer = answer[:len(answer)+n]
	}
	if !bytes.HasPrefix(answer, []byte("CONNECTED")) {
		return nil, errors.Join(fmt.Errorf("after CONNECT there came %q", answer), nc.Close())
	}
	return nc, nil
}

func (w stompWire) consume(ctx context.Context, at hubPlace, body []byte, ready func(), got func(right, wrong int)) error {
	nc, err := w.connect(ctx, at.address)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = nc.Close() })()
	defer func() { _ = nc.Close() }()
	ack, prefetch, acks := "auto", "", at.queue && !w.auto
	if acks {
		ack, prefetch = "client-individual", fmt.Sprintf("prefetch-count:%d\n", hubPrefetch)
	}
	if _, err := fmt.Fprintf(nc, "SUBSCRIBE\nid:0\ndestination:%s\nack:%s\n%s\n\x00", at.stomp(), ack, prefetch); err != nil {
		return err
	}
	ready()
	err = readStomp(nc, acks, body, got)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// readStomp counts messages, and acknowledges them if asked.
func readStomp(nc net.Conn, acks bool, body []byte, got func(right, wrong int)) error {
	buf, out, have := make([]byte, hubReadSize), []byte(nil), 0
	for {
		n, err := nc.Read(buf[have:])
		if err != nil {
			return err
		}
		rest := buf[:have+n]
		right, wrong := 0, 0
		for {
			end := bytes.IndexByte(rest, 0)
			if end < 0 {
				break
			}
			f := bytes.TrimLeft(rest[:end], "\r\n")
			rest = rest[end+1:]
			switch {
			case !bytes.HasPrefix(f, []byte("MESSAGE\n")):
				return fmt.Errorf("instead of a MESSAGE there came %q", f)
			case bytes.HasSuffix(f, body):
				right++
			default:
				wrong++
			}
			if acks {
				out = appendStompAck(out, f)
			}
		}
		have = copy(buf, rest)
		if have == len(buf) {
			return errors.New("a frame of more than 64 KiB")
		}
		if len(out) > 0 {
			if _, err := nc.Write(out); err != nil {
				return err
			}
			out = out[:0]
		}
		got(right, wrong)
	}
}

// appendStompAck appends the ACK of a message.
func appendStompAck(dst, f []byte) []byte {
	_, id, _ := bytes.Cut(f, []byte("\nack:"))
	if end := bytes.IndexByte(id, '\n'); end >= 0 {
		id = id[:end]
	}
	return append(append(append(dst, "ACK\nid:"...), id...), "\n\n\x00"...)
}

// rawProducer writes what was encoded before.
type rawProducer struct {
	net.Conn
	one, many []byte
}

func (w stompWire) produce(ctx context.Context, at hubPlace, body []byte) (hubProducer, error) {
	nc, err := w.connect(ctx, at.address)
	if err != nil {
		return nil, err
	}
	one := fmt.Appendf(nil, "SEND\ndestination:%s\ncontent-length:%d\n\n%s\x00", at.stomp(), len(body), body)
	return &rawProducer{Conn: nc, one: one}, nil
}

func (p *rawProducer) send(n int) error {
	for len(p.many) < n*len(p.one) {
		p.many = append(p.many, p.one...)
	}
	_, err := p.Write(p.many[:n*len(p.one)])
	return err
}
