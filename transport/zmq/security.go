package zmq

import (
	"cmp"
	"errors"
	"io"
	"strings"

	"github.com/go-zeromq/zmq4"

	"github.com/polyport/polyport/transport"
)

// security is the handshake after the greetings, by the mechanism NULL
// (https://rfc.zeromq.org/spec/23) or PLAIN (https://rfc.zeromq.org/spec/24), for
// either end. In place of zmq4's own, it reads what the peer says of itself
// before it answers, so that one port can have the socket that fits; it checks
// passwords, which those take for granted; and it can be used by many.
type security struct {
	mechanism      zmq4.SecurityType
	user, password string // of a client
	mine           metadata
	// meet is told what the peer said of itself, and decides whether to go on. At
	// a server it is told the credentials, too, and says what mine is.
	meet func(user, password string, peer metadata) error
}

// Type returns the mechanism's name.
func (s *security) Type() zmq4.SecurityType { return s.mechanism }

// Encrypt writes data as it is.
func (*security) Encrypt(w io.Writer, data []byte) (int, error) { return w.Write(data) }

// Decrypt writes data as it is.
func (*security) Decrypt(w io.Writer, data []byte) (int, error) { return w.Write(data) }

// Handshake lets either end say who it is.
func (s *security) Handshake(c *zmq4.Conn, server bool) error {
	if server {
		return s.answer(c)
	}
	return s.ask(c)
}

// ask is the handshake of a client.
func (s *security) ask(c *zmq4.Conn) error {
	name := zmq4.CmdReady
	if s.mechanism == zmq4.PlainSecurity {
		name = zmq4.CmdInitiate
		if err := c.SendCmd(zmq4.CmdHello, appendHello(nil, s.user, s.password)); err != nil {
			return err
		}
		if _, err := receive(c, zmq4.CmdWelcome); err != nil {
			return err
		}
	}
	if err := c.SendCmd(name, s.mine.append(nil)); err != nil {
		return err
	}
	body, err := receive(c, zmq4.CmdReady)
	if err != nil {
		return err
	}
	peer, err := parseMetadata(body)
	if err != nil {
		return err
	}
	c.Peer.Meta[socketTypeProperty] = string(peer.socket)
	return s.meet("", "", peer)
}

// answer is the handshake of a server. PLAIN would have it look at the
// credentials before WELCOME; here they are judged together with what the peer
// says of itself in the command after it, the virtual host among it.
func (s *security) answer(c *zmq4.Conn) error {
	var user, password string
	name := zmq4.CmdReady
	if s.mechanism == zmq4.PlainSecurity {
		name = zmq4.CmdInitiate
		body, err := receive(c, zmq4.CmdHello)
		if err != nil {
			return err
		}
		if user, password, err = parseHelloCommand(body); err != nil {
			return turnAway(c, err)
		}
		if err := c.SendCmd(zmq4.CmdWelcome, nil); err != nil {
			return err
		}
	}
	body, err := receive(c, name)
	if err != nil {
		return err
	}
	peer, err := parseMetadata(body)
	if err == nil {
		err = s.meet(user, password, peer)
	}
	if err != nil {
		return turnAway(c, err)
	}
	// zmq4 opened a ROUTER, and is to find that a DEALER came. Which sockets
	// these really are is between us and the peer.
	c.Peer.Meta[socketTypeProperty] = string(zmq4.Dealer)
	return c.SendCmd(zmq4.CmdReady, s.mine.append(nil))
}

// denied is the reason that libzmq understands: a status code of ZAP
// (https://rfc.zeromq.org/spec/27).
const denied = "400"

// errDenied is the error for a peer with the wrong user or password.
var errDenied = refused("access refused; check user and password")

// turnAway tells the peer why it is not let in, and returns err.
func turnAway(c *zmq4.Conn, err error) error {
	reason := transport.Reason(err)
	if errors.Is(err, errDenied) {
		reason = denied
	}
	reason = reason[:min(len(reason), 255)]
	_ = c.SendCmd(zmq4.CmdError, append([]byte{byte(len(reason))}, reason...))
	return err
}

// receive returns the body of the next command, which must have the given name.
func receive(c *zmq4.Conn, name string) ([]byte, error) {
	cmd, err := c.RecvCmd()
	switch {
	case err != nil:
		return nil, err
	case cmd.Name == name:
		return cmd.Body, nil
	case cmd.Name == zmq4.CmdError:
		return nil, refusal(cmd.Body)
	}
	return nil, malformed("expected the command %s of the handshake, got %.20q", name, cmd.Name)
}

// refusal makes an error of the body of an ERROR command.
func refusal(body []byte) error {
	reason := ""
	if len(body) > 0 && int(body[0]) < len(body) {
		reason = string(body[1 : 1+body[0]])
	}
	switch reason {
	case "":
		return refused("the peer ended the handshake and gave no reason")
	case denied:
		return errDenied
	}
	return refused("%s", reason)
}

// appendHello appends the body of PLAIN's HELLO.
func appendHello(dst []byte, user, password string) []byte {
	dst = append(append(dst, byte(len(user))), user...)
	return append(append(dst, byte(len(password))), password...)
}

func parseHelloCommand(body []byte) (user, password string, err error) {
	for _, s := range [...]*string{&user, &password} {
		if len(body) == 0 || int(body[0]) >= len(body) {
			return "", "", malformed("HELLO does not hold a user and a password")
		}
		n := 1 + int(body[0])
		*s, body = string(body[1:n]), body[n:]
	}
	if len(body) > 0 {
		return "", "", malformed("HELLO holds more than a user and a password")
	}
	return user, password, nil
}

// open has zmq4 shake hands on g. What zmq4 does not foresee in what it is given
// ends here, not the process.
func open(g *guard, s *security, socket zmq4.SocketType, server bool) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = malformed("the handshake makes no sense (%v)", v)
		}
	}()
	if _, err = zmq4.Open(g, s, socket, nil, server, nil); err != nil {
		_ = g.flush() // the reason may not have left yet
		return cmp.Or(g.failed, inOurWords(err))
	}
	return g.flush()
}

// inOurWords returns an error of zmq4's as ours, and what it only passed on as it
// was.
func inOurWords(err error) error {
	if sentinel(err) != nil {
		return err
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return malformed("the handshake makes no sense: %.100s", strings.TrimPrefix(err.Error(), "zmq4: "))
}
