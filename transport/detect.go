package transport

// A Verdict is what the first bytes of a byte stream say of one wire.
type Verdict uint8

const (
	// No: they cannot begin a conversation on this wire.
	No Verdict = iota
	// More: they can, if the right ones follow.
	More
	// Yes: they do.
	Yes
)

// A Matcher is a [Transport] whose clients speak first, in a way that tells its
// wire from all others, so that it can share a port with them.
type Matcher interface {
	Transport
	// Match judges the first bytes that a peer sent, after the TLS handshake if
	// there was one. It depends on nothing but prefix, which it must not change or
	// keep. Once it has said Yes or No of a prefix it says the same of every longer one.
	// It must have decided at [MatchBytes] bytes, and of the empty prefix says More.
	// No two wires that share a port may say Yes to the same prefix.
	Match(prefix []byte) Verdict
}

// MatchBytes is how many bytes suffice every [Matcher].
const MatchBytes = 64

// A Negotiator is a [Matcher] whose clients may ask for its wire by name in the TLS
// handshake (ALPN, RFC 7301).
type Negotiator interface {
	Matcher
	// Protocols returns these names, the one that is liked best first. A byte stream
	// on which one of them was agreed is a [*tls.Conn] of which nothing was read.
	Protocols() []string
}
