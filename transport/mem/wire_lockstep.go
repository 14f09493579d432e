package mem

import "github.com/polyport/polyport/transport"

func newAsker(c *clientConn) transport.Conn {
	c.info.Lockstep = true
	return transport.NewAsker(c, c.stream, c.refuse)
}

func newAnswerer(c *serverConn) transport.Conn {
	c.info.Lockstep = true
	return transport.NewAnswerer(c, c.stream, c.refuse)
}
