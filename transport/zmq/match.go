package zmq

import "github.com/polyport/polyport/transport"

// signatureLen is how much of its greeting a peer sends at once, before it waits
// for ours: 0xff, eight bytes that do not matter, and one whose lowest bit is set
// ("Greeting").
const signatureLen = 10

// Match finds the signature of ZMTP 2.0 and later. ZMTP 1.0, in which a message
// takes its place, is none of ours; to 2.0 Server answers before it gives up.
func (Transport) Match(prefix []byte) transport.Verdict {
	switch {
	case len(prefix) == 0:
		return transport.More
	case prefix[0] != 0xff:
		return transport.No
	case len(prefix) < signatureLen:
		return transport.More
	case prefix[signatureLen-1]&1 == 0:
		return transport.No
	}
	return transport.Yes
}
