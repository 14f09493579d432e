package zmq

import (
	"bytes"
	"encoding/binary"
	"net"

	"github.com/go-zeromq/zmq4"

	"github.com/polyport/polyport/transport"
)

const (
	greetingLen = 64 // "Greeting"
	// openingLen is how much of its greeting the end that was dialed sends at
	// first: the signature and the major version, which a peer waits for before
	// it goes on.
	openingLen = 11
	// handshakeCommand is the longest command of a handshake.
	handshakeCommand = 16 << 10
)

// A greeting is what a peer opens with, as far as it matters.
type greeting struct {
	minor     byte
	mechanism zmq4.SecurityType
}

// A guard is the connection during its handshake, as zmq4 is given it. It hands
// out nothing that was not checked: zmq4 takes whatever memory a length asks for,
// and some commands make it panic. What zmq4 writes in several pieces leaves in
// one.
type guard struct {
	net.Conn
	in      *transport.Reader
	theirs  greeting // once it has been read
	greeted bool     // the peer's greeting was handed out
	checked int      // bytes at the front of in that may be handed out
	out     []byte   // not written yet
	said    int      // bytes of our greeting that were written before
	failed  error    // why Read gave up, in words of ours
}

// greet reads and checks the peer's greeting, and leaves it to be handed out.
func (g *guard) greet() error {
	for {
		buf := g.in.Buffered()
		if err := plausible(buf); err != nil {
			return err
		}
		if len(buf) >= greetingLen {
			name, _, _ := bytes.Cut(buf[12:32], []byte{0})
			g.theirs = greeting{minor: buf[11], mechanism: zmq4.SecurityType(name)}
			return nil
		}
		if err := g.in.Fill(); err != nil {
			return err
		}
	}
}

// plausible refuses what cannot become a greeting as soon as it is seen
// ("Greeting").
func plausible(buf []byte) error {
	switch {
	case len(buf) > 0 && buf[0] == 0x16:
		return malformed("expected a ZMTP greeting; this looks like TLS, which is not spoken here")
	case len(buf) > 0 && buf[0] != 0xff, len(buf) > 9 && buf[9]&1 == 0:
		return malformed("expected a ZMTP greeting, got %.20q", buf[:min(len(buf), 20)])
	case len(buf) > 10 && buf[10] < 3:
		return malformed("the peer speaks a version of ZMTP before 3.0, as libzmq did before 4.0; supported is %s", version)
	}
	return nil
}

// open sends the first part of our greeting.
func (g *guard) open() error {
	opening := [openingLen]byte{0: 0xff, 9: 0x7f, 10: 3}
	g.said = openingLen
	_, err := g.Conn.Write(opening[:])
	return err
}

// Write keeps p to be written before the next read.
func (g *guard) Write(p []byte) (int, error) {
	n := min(g.said, len(p))
	g.said -= n
	g.out = append(g.out, p[n:]...)
	return len(p), nil
}

// flush writes what was kept.
func (g *guard) flush() error {
	if len(g.out) == 0 {
		return nil
	}
	_, err := g.Conn.Write(g.out)
	g.out = g.out[:0]
	return err
}

// Read hands out bytes of the greeting or of a command that has been checked.
func (g *guard) Read(p []byte) (int, error) {
	if g.failed = g.flush(); g.failed != nil {
		return 0, g.failed
	}
	if g.checked == 0 {
		if g.failed = g.check(); g.failed != nil {
			return 0, g.failed
		}
	}
	n := copy(p, g.in.Buffered()[:g.checked])
	g.in.Discard(n)
	g.checked -= n
	return n, nil
}

// check looks at the next greeting or command.
func (g *guard) check() error {
	if !g.greeted {
		err := g.greet()
		g.greeted, g.checked = err == nil, greetingLen
		return err
	}
	for {
		n, err := commandEnd(g.in.Buffered())
		if err != nil || n > 0 {
			g.checked = n
			return err
		}
		if err := g.in.Fill(); err != nil {
			return err
		}
	}
}

// misspelled is how libzmq, 4.3.4 for one, begins the ERROR by which it refuses a
// user: in C "\x5ERROR" is one byte shorter than it looks.
const misspelled = "^RROR"

// misspeltEnd is the error that this command tells, once all of it is there.
func misspeltEnd(buf []byte, end, head int) (int, error) {
	if len(buf) < end {
		return 0, nil
	}
	return 0, refusal(buf[min(end, head+len(misspelled)):end])
}

// commandEnd returns the length of the command frame that buf begins with, or 0
// if it is not all there ("Framing").
func commandEnd(buf []byte) (int, error) {
	if len(buf) == 0 {
		return 0, nil
	}
	head := 2
	var size uint64
	switch flags := buf[0]; {
	case flags&^isLong != isCommand:
		return 0, malformed("expected a command of the handshake, got a frame with flags %#02x", flags)
	case flags&isLong != 0:
		head = 9
	}
	if len(buf) < head {
		return 0, nil
	}
	if head == 2 {
		size = uint64(buf[1])
	} else {
		size = binary.BigEndian.Uint64(buf[1:])
	}
	if size > handshakeCommand {
		return 0, tooLarge("a command of the handshake has %d bytes; the limit is %d", size, handshakeCommand)
	}
	if len(buf) >= head+len(misspelled) && string(buf[head:head+len(misspelled)]) == misspelled {
		return misspeltEnd(buf, head+int(size), head)
	}
	if len(buf) > head && int(buf[head]) >= int(size) || size == 0 {
		return 0, malformed("a command of the handshake is shorter than its name")
	}
	if end := head + int(size); len(buf) >= end {
		return end, nil
	}
	return 0, nil
}
