package rpc

import (
	"crypto/rand"
	"encoding/binary"
	"hash/maphash"

	"github.com/polyport/polyport/rpc/internal/handles"
)

// names are ids for calls to a peer that keeps those of all its clients in one map:
// UUIDs of version 4, in the place of numbers that others have, too. The number of a
// call can be found in its name, so nothing has to be kept for it.
type names struct {
	seed maphash.Seed
	mask uint64
}

func newNames() *names {
	var mask [8]byte
	_, _ = rand.Read(mask[:]) // it does not fail
	return &names{seed: maphash.MakeSeed(), mask: binary.BigEndian.Uint64(mask[:])}
}

// variant is what the last 8 bytes of such a UUID begin with, in 2 bits (RFC 9562).
const variant, variantBits = uint64(0b10) << 62, uint64(0b11) << 62

// of returns the name of a call.
func (n *names) of(number uint64) (u handles.UUID) {
	binary.BigEndian.PutUint64(u[:8], maphash.Comparable(n.seed, number))
	u[6] = u[6]&0x0f | 0x40
	binary.BigEndian.PutUint64(u[8:], (number^n.mask)&^variantBits|variant)
	return u
}

// number returns whose name an id is, as it stands in a message.
func (n *names) number(id []byte) (number uint64, ok bool) {
	if len(id) < 2 || id[0] != '"' {
		return 0, false
	}
	u, ok := handles.Parse(string(id[1 : len(id)-1]))
	if !ok {
		return 0, false
	}
	number = (binary.BigEndian.Uint64(u[8:]) ^ n.mask) &^ variantBits
	return number, n.of(number) == u
}
