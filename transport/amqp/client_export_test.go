package amqp

import "github.com/polyport/polyport/transport"

// Decode is decode, for tests.
func Decode(b []byte, l *transport.Limits) (*transport.Message, error) {
	d, err := decode(b, l)
	if err != nil {
		return nil, err
	}
	return &d.Message, nil
}
