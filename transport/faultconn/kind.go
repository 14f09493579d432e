package faultconn

import "fmt"

// A Kind is what goes wrong. The zero Kind is none of them.
type Kind uint8

// The kinds of fault. Lasting ones are in force from their trigger on, for as
// long as [Rule].For says; the others happen once. What Arg means is said with
// each; without a word it must be zero.
const (
	// Latency delays every byte by Arg nanoseconds. Lasting. A Write still
	// returns at once: bytes are under way, and several can be.
	Latency Kind = iota + 1
	// Jitter delays each run of 64 bytes by between 0 and Arg nanoseconds,
	// never changing the order. Lasting.
	Jitter
	// Bandwidth lets Arg bytes a second through. Lasting.
	Bandwidth
	// Slice moves one byte at a time: a Read returns one byte, and what is
	// written reaches the inner connection in Writes of one byte. Arg is the
	// pause between two of them in nanoseconds, and may be zero. Lasting.
	Slice
	// Coalesce collects for Arg nanoseconds, from the first byte on, and then
	// passes everything on in one piece. Lasting.
	Coalesce
	// Cut ends the connection with a FIN at exactly this byte: both ends read
	// the bytes before it and then io.EOF.
	Cut
	// Reset ends the connection with an RST at exactly this byte: both ends
	// fail with ECONNRESET, the peer after it read the bytes before. It needs
	// an inner connection with a SetLinger method, as TCP and mem have.
	Reset
	// HalfClose ends one direction at exactly this byte: the reader of that
	// direction sees io.EOF, the other direction works on. Of a Write it needs
	// an inner connection with a CloseWrite method.
	HalfClose
	// BlackHole loses everything from here on, in both directions, as a
	// pulled cable does: Writes succeed, nothing arrives, Reads wait for
	// their deadline, and not even Close reaches the peer. Arg is how many
	// bytes Writes still accept before they wait, as a send buffer would;
	// zero means any number.
	BlackHole
	// Stall stops one direction for Arg nanoseconds, or for ever if that is
	// zero, and loses nothing. A stalled Read takes nothing from the inner
	// connection, so that the peer finds our window closed. A stalled Write
	// finds the peer's window closed: 64 KiB more are accepted, then Writes
	// wait.
	Stall
	// BitFlip inverts bit Arg (0 to 7, 0 the least) of one byte.
	BitFlip
)

// An argument is how Arg is written.
type argument uint8

const (
	argNone argument = iota
	argDuration
	argCount
)

// kinds says about each Kind what code needs to know in general.
var kinds = [...]struct {
	name     string
	arg      argument
	min, max int64 // of Arg
	lasting  bool
}{
	Latency:   {"latency", argDuration, 1, maxDuration, true},
	Jitter:    {"jitter", argDuration, 1, maxDuration, true},
	Bandwidth: {"bandwidth", argCount, 1, maxRate, true},
	Slice:     {"slice", argDuration, 0, maxDuration, true},
	Coalesce:  {"coalesce", argDuration, 1, maxDuration, true},
	Cut:       {"cut", argNone, 0, 0, false},
	Reset:     {"reset", argNone, 0, 0, false},
	HalfClose: {"halfclose", argNone, 0, 0, false},
	BlackHole: {"blackhole", argCount, 0, 1 << 40, false},
	Stall:     {"stall", argDuration, 0, maxDuration, false},
	BitFlip:   {"bitflip", argCount, 0, 7, false},
}

const (
	maxDuration = int64(24 * 60 * 60 * 1e9) // a day, so that sums cannot overflow
	maxRate     = 1 << 40
)

// Kinds returns every kind, in the order of their declaration.
func Kinds() []Kind {
	all := make([]Kind, 0, len(kinds)-1)
	for k := Latency; k.valid(); k++ {
		all = append(all, k)
	}
	return all
}

// String returns the name that [Parse] knows, such as "latency".
func (k Kind) String() string {
	if !k.valid() {
		return fmt.Sprintf("Kind(%d)", uint8(k))
	}
	return kinds[k].name
}

func (k Kind) valid() bool { return k >= Latency && int(k) < len(kinds) }

// A Dir is a direction, as the wrapped end sees it. The zero Dir is neither.
type Dir uint8

// The two directions.
const (
	Read  Dir = iota + 1 // bytes that come from the peer
	Write                // bytes that go to the peer
)

var dirs = [...]string{Read: "read", Write: "write"}

// String returns "read" or "write".
func (d Dir) String() string {
	if !d.valid() {
		return fmt.Sprintf("Dir(%d)", uint8(d))
	}
	return dirs[d]
}

func (d Dir) valid() bool { return d == Read || d == Write }

// A Unit is what a trigger counts. The zero Unit is nothing.
type Unit uint8

// The units.
const (
	Byte Unit = iota + 1 // bytes of the direction
	Op                   // calls of Read or Write, those of no bytes left out
	Time                 // nanoseconds since Wrap
)

var units = [...]string{Byte: "byte", Op: "op", Time: "time"}

// String returns "byte", "op" or "time".
func (u Unit) String() string {
	if !u.valid() {
		return fmt.Sprintf("Unit(%d)", uint8(u))
	}
	return units[u]
}

func (u Unit) valid() bool { return u >= Byte && u <= Time }
