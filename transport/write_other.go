//go:build !unix

package transport

import "net"

// atOnce does nothing here.
type atOnce struct{}

func (*atOnce) init(net.Conn) {}

func (*atOnce) able() bool { return false }

func (*atOnce) write([]byte) (n int, err error) { return 0, nil }
