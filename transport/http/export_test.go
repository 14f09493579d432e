package http

import (
	"errors"
	"io"

	"github.com/polyport/polyport/transport"
)

// Tolerate is what Compat does to a byte stream.
var Tolerate = tolerate

// ReadResponse reads one response from a byte stream as a client does, as far as
// its status and body.
func ReadResponse(src io.Reader, limits transport.Limits) (status int, body []byte, last bool, err error) {
	in := transport.NewReader(src, limits.HeaderBytes+piece)
	r := response{limits: limits}
	for !r.whole {
		more, err := r.take(in)
		if err != nil {
			return 0, nil, false, err
		}
		if !more {
			continue
		}
		if err := in.Fill(); errors.Is(err, io.EOF) && r.untilEnd() {
			break
		} else if err != nil {
			return 0, nil, false, err
		}
	}
	return r.status, r.body, r.last, nil
}
