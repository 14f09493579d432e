package acceptor

import "github.com/polyport/polyport/transport"

// AppendMessage appends the sections of m, or says why it cannot be said. size
// is how many bytes they were expected to take.
func AppendMessage(dst []byte, m *transport.Message) (b []byte, size int, err error) {
	size, err = check(m, new(transport.Limits).WithDefaults())
	if err != nil {
		return dst, 0, err
	}
	return appendMessage(dst, m), size, nil
}

// ReadMessage reads what AppendMessage has written.
func ReadMessage(b []byte) (*transport.Message, error) {
	r := messageReader{limits: new(transport.Limits).WithDefaults()}
	return r.read(b, false)
}
