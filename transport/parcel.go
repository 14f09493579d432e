package transport

// NewMessage returns an empty message, and room for a body of n bytes that is
// one piece of memory with it if n is small, as most bodies are. For a large n
// body is nil: [Reader.ReadInto] takes memory as bytes arrive. It is for wires,
// which make one for each message that they receive.
func NewMessage(n int) (m *Message, body []byte) {
	const tiny, small = 352 - 256, 512 - 256 // sizes that Go allocates whole, less the message
	switch {
	case n <= tiny:
		p := new(struct {
			message Message
			body    [tiny]byte
		})
		return &p.message, p.body[:0]
	case n <= small:
		p := new(struct {
			message Message
			body    [small]byte
		})
		return &p.message, p.body[:0]
	}
	return new(Message), nil
}
