package frames

import "github.com/polyport/polyport/transport/amqp/internal/codec"

// The codes of SASL outcomes (section 5.3.3.6).
const (
	SASLOK   = 0
	SASLAuth = 1
)

// SASLInit is the sasl-init performative (section 5.3.3.2).
type SASLInit struct {
	Mechanism, Response, Hostname []byte
}

// Parse reads the fields of a sasl-init performative.
func (s *SASLInit) Parse(d *codec.Decoder) {
	var there bool
	s.Mechanism, there = d.Symbol()
	d.Require(there, "mechanism")
	s.Response, _ = d.Binary()
	s.Hostname, _ = d.Text()
}

// AppendSASLMechanisms appends a frame with the mechanisms that a server offers
// (section 5.3.3.1).
func AppendSASLMechanisms(dst []byte, mechanisms ...string) []byte {
	dst, f := begin(dst, TypeSASL, 0, CodeSASLMechanisms)
	return f.end(codec.AppendSymbols(dst, mechanisms...), 1)
}

// AppendSASLOutcome appends a frame with the outcome (section 5.3.3.6).
func AppendSASLOutcome(dst []byte, code uint8) []byte {
	dst, f := begin(dst, TypeSASL, 0, CodeSASLOutcome)
	return f.end(codec.AppendUbyte(dst, code), 1)
}
