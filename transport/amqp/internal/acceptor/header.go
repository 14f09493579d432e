package acceptor

// The protocol headers of section 2.2 and 5.2: plain AMQP 1.0.0, and SASL before
// it.
var (
	headerAMQP = [8]byte{'A', 'M', 'Q', 'P', 0, 1, 0, 0}
	headerSASL = [8]byte{'A', 'M', 'Q', 'P', 3, 1, 0, 0}
)
