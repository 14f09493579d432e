package frames

import "github.com/polyport/polyport/transport/amqp/internal/codec"

// distributionCopy is the distribution-mode of who reads and leaves messages
// where they are (section 3.5.7).
const distributionCopy = "copy"

// A Capability says what kind of node an address is, in the words that Qpid,
// ActiveMQ and JMS have agreed on. Several are the sum.
type Capability uint8

// The capabilities known.
const (
	Queue Capability = 1 << iota
	Topic
	TemporaryQueue
	TemporaryTopic
)

var capabilities = [...]string{"queue", "topic", "temporary-queue", "temporary-topic"}

// known returns the one that a symbol names, or none.
func known(symbol []byte) Capability {
	for i, name := range capabilities {
		if string(symbol) == name {
			return 1 << i
		}
	}
	return 0
}

// parseCapabilities reads a field that is a symbol or an array of symbols (the
// specification's "multiple"). What is not known is passed over.
func parseCapabilities(d *codec.Decoder) (c Capability) {
	switch v := d.Value(); v.Kind() {
	case codec.Symbol:
		c = known(v.Bytes())
	case codec.Array:
		for items := v.Items(); items.More(); {
			if s := items.Value(); s.Kind() == codec.Symbol {
				c |= known(s.Bytes())
			}
		}
	}
	return c
}

// append appends an array of those in c.
func (c Capability) append(dst []byte) []byte {
	var some [len(capabilities)]string
	n := 0
	for i, name := range capabilities {
		if c&(1<<i) != 0 {
			some[n] = name
			n++
		}
	}
	return codec.AppendSymbols(dst, some[:n]...)
}
