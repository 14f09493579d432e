package mem

import "net/url"

const (
	// socketReq asks for lock-step, as ZMQ's REQ socket has it.
	socketReq = "req"
	// socketSub asks for a feed, as ZMQ's SUB socket does.
	socketSub = "sub"
)

// socketOf returns the socket that a URL asks for.
func socketOf(u *url.URL) (string, error) {
	switch s := u.Query().Get("socket"); s {
	case "", socketReq, socketSub:
		return s, nil
	default:
		return "", invalid("socket=%.60q: there is only socket=%s and socket=%s", s, socketReq, socketSub)
	}
}
