package broker

// A ring is a double-ended queue in one piece of memory, which grows when it is
// full. The zero value is empty.
type ring[T any] struct {
	buf  []T // its length is a power of two, or 0
	head int
	n    int
}

// at returns the place of element i, counted from the front.
func (r *ring[T]) at(i int) *T { return &r.buf[(r.head+i)&(len(r.buf)-1)] }

func (r *ring[T]) pushBack(v T) {
	r.grow()
	r.n++
	*r.at(r.n - 1) = v
}

func (r *ring[T]) pushFront(v T) {
	r.grow()
	r.head = (r.head - 1) & (len(r.buf) - 1)
	r.n++
	r.buf[r.head] = v
}

// popFront takes the first element out of a ring that is not empty.
func (r *ring[T]) popFront() T {
	var zero T
	v := r.buf[r.head]
	r.buf[r.head] = zero
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
	return v
}

// keep removes the elements that keep is false for.
func (r *ring[T]) keep(keep func(*T) bool) {
	var zero T
	kept := 0
	for i := range r.n {
		if v := r.at(i); keep(v) {
			*r.at(kept) = *v
			kept++
		}
	}
	for i := kept; i < r.n; i++ {
		*r.at(i) = zero
	}
	r.n = kept
}

// smallRing is how many elements a ring has room for at least.
const smallRing = 8

func (r *ring[T]) grow() {
	if r.n < len(r.buf) {
		return
	}
	r.resize(max(smallRing, 2*len(r.buf)))
}

func (r *ring[T]) resize(size int) {
	buf := make([]T, size)
	for i := range r.n {
		buf[i] = *r.at(i)
	}
	r.buf, r.head = buf, 0
}

// slim gives back memory that a burst has left behind.
func (r *ring[T]) slim() {
	if len(r.buf) > 64 && r.n <= len(r.buf)/8 {
		r.resize(len(r.buf) / 4)
	}
}
