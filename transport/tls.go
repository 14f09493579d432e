package transport

import (
	"crypto/tls"
	"net"
)

// A tlsSession is a [*tls.Conn], or what wraps one and says so.
type tlsSession interface {
	ConnectionState() tls.ConnectionState
	NetConn() net.Conn // what is below
}

// TLSState returns the state of the TLS session that nc is, or nil if it is none.
// A type of net.Conn that wraps one has the methods ConnectionState and NetConn of
// [tls.Conn]. Wires fill [Info].TLS with it.
func TLSState(nc net.Conn) *tls.ConnectionState {
	t, ok := nc.(tlsSession)
	if !ok {
		return nil
	}
	state := t.ConnectionState()
	return &state
}

// isTLS reports whether what is written to nc is encrypted by it.
func isTLS(nc net.Conn) bool {
	_, ok := nc.(tlsSession)
	return ok
}

// CloseNow closes nc without a goodbye, which TLS would spend up to 5 s on.
func CloseNow(nc net.Conn) {
	for {
		t, ok := nc.(tlsSession)
		if !ok {
			break
		}
		nc = t.NetConn()
	}
	_ = nc.Close()
}
