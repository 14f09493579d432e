package acceptor

import "slices"

// deliveries are those of one direction of a session that have no outcome, in
// the order of their ids, which wrap around (RFC 1982). T says what each is; its
// zero value is one that has its outcome.
type deliveries[T comparable] struct {
	all  []delivery[T]
	from int // those before it have their outcomes
	n    int // without outcome
}

type delivery[T comparable] struct {
	id uint32
	of T
}

// add appends a delivery with an id after all others.
func (d *deliveries[T]) add(id uint32, of T) {
	if d.from > 32 && d.from > len(d.all)/2 {
		d.all = slices.Delete(d.all, 0, d.from)
		d.from = 0
	}
	if n := len(d.all) - d.from; n > 64 && n > 2*d.n {
		d.compact()
	}
	d.all = append(d.all, delivery[T]{id, of})
	d.n++
}

// compact drops those that have their outcomes, so that one without does not
// keep all that came after it.
func (d *deliveries[T]) compact() {
	var none T
	d.all = slices.DeleteFunc(d.all, func(e delivery[T]) bool { return e.of == none })
	d.from = 0
}

// find returns the place of the first delivery whose id is id or after it.
func (d *deliveries[T]) find(id uint32) int {
	i, _ := slices.BinarySearchFunc(d.all[d.from:], id, func(e delivery[T], id uint32) int {
		return int(int32(e.id - id))
	})
	return d.from + i
}

// take takes out the delivery id; false means that it has its outcome.
func (d *deliveries[T]) take(id uint32) (of T, ok bool) {
	i := d.find(id)
	if i == len(d.all) || d.all[i].id != id {
		return of, false
	}
	of, ok = d.mark(i)
	d.trim()
	return of, ok
}

// takeRange takes out all from first to last and calls f for each.
func (d *deliveries[T]) takeRange(first, last uint32, f func(id uint32, of T)) {
	for i := d.find(first); i < len(d.all) && int32(d.all[i].id-last) <= 0; i++ {
		if of, ok := d.mark(i); ok {
			f(d.all[i].id, of)
		}
	}
	d.trim()
}

// takeWhere takes out those that match and calls f for each.
func (d *deliveries[T]) takeWhere(match func(of T) bool, f func(id uint32, of T)) {
	for i := d.from; i < len(d.all); i++ {
		if !match(d.all[i].of) {
			continue
		}
		if of, ok := d.mark(i); ok {
			f(d.all[i].id, of)
		}
	}
	d.trim()
}

// mark notes that the delivery at i has its outcome.
func (d *deliveries[T]) mark(i int) (of T, ok bool) {
	var none T
	of = d.all[i].of
	if of == none {
		return of, false
	}
	d.all[i].of = none
	d.n--
	return of, true
}

// trim passes over those at the beginning that have their outcomes.
func (d *deliveries[T]) trim() {
	var none T
	for d.from < len(d.all) && d.all[d.from].of == none {
		d.from++
	}
	if d.from == len(d.all) {
		d.all, d.from = d.all[:0], 0
	}
}
