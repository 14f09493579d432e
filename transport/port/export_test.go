package port

import "net"

// NewReplay is newReplay for no wire in particular.
func NewReplay(nc net.Conn, first []byte) net.Conn { return newReplay(nc, first, nil) }
