package stomp

import (
	"cmp"
	"slices"
)

// A delivery is a message that waits for its ACK. Either done is told of it, and
// may be nil, or, if the message is a broker's, the subscription's consumer.
type delivery struct {
	id       uint64
	sub      *subscription
	done     func(error)
	token    uint64 // the broker's
	brokered bool
	settled  bool // only its place is left
}

// deliveries are those of a connection, oldest first. One is found and taken out
// in a logarithm of their number; the places of those that were are cleared away
// when they are the most, so that taking all in turn costs no more.
type deliveries struct {
	list    []delivery
	settled int
	// next is the place after that of the last one found, for most peers settle in
	// turn.
	next int
}

// manyPlaces is how many places of settled deliveries are not worth a clearing.
const manyPlaces = 32

// add appends a delivery, whose id is the highest.
func (u *deliveries) add(d delivery) { u.list = append(u.list, d) }

// find returns the delivery with an id, or nil. It is valid until the next change.
func (u *deliveries) find(id uint64) *delivery {
	i := u.next
	if i >= len(u.list) || u.list[i].id != id {
		var found bool
		i, found = slices.BinarySearchFunc(u.list, id, func(d delivery, id uint64) int { return cmp.Compare(d.id, id) })
		if !found {
			return nil
		}
	}
	u.next = i + 1
	if u.list[i].settled {
		return nil
	}
	return &u.list[i]
}

// takeOne takes out what find has returned.
func (u *deliveries) takeOne(d *delivery) delivery {
	out := *d
	u.leave(d)
	u.clear()
	return out
}

// take takes out those that match, up to an id, and appends them to out.
func (u *deliveries) take(out []delivery, last uint64, match func(*delivery) bool) []delivery {
	for i := range u.list {
		d := &u.list[i]
		if d.id > last {
			break
		}
		if !d.settled && match(d) {
			out = append(out, *d)
			u.leave(d)
		}
	}
	u.clear()
	return out
}

// leave leaves only the place of d.
func (u *deliveries) leave(d *delivery) {
	*d = delivery{id: d.id, settled: true}
	u.settled++
}

// clear takes away the places of settled deliveries if they are the most.
func (u *deliveries) clear() {
	if u.settled == len(u.list) {
		u.list, u.settled, u.next = u.list[:0], 0, 0
	}
	if u.settled < manyPlaces || u.settled < len(u.list)/2 {
		return
	}
	u.list = slices.DeleteFunc(u.list, func(d delivery) bool { return d.settled })
	u.settled, u.next = 0, 0
}
