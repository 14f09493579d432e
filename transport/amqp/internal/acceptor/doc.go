// Package acceptor is the server end of AMQP 1.0: it takes connections that
// peers open, with their sessions and links, and is a transport.Conn to the
// application.
package acceptor
