package mem

import "weak"

// pipeRingMin is the smallest ring: room for a few small messages.
const pipeRingMin = 512

// A pipeRing is the memory of a stream that is not empty.
type pipeRing struct {
	data []byte
	head int // index of the first byte
	n    int // how many there are
}

func (r *pipeRing) put(p []byte) {
	tail := r.head + r.n
	if tail >= len(r.data) {
		tail -= len(r.data)
	}
	k := copy(r.data[tail:], p)
	copy(r.data, p[k:])
	r.n += len(p)
}

func (r *pipeRing) take(p []byte) int {
	p = p[:min(len(p), r.n)]
	k := copy(p, r.data[r.head:])
	k += copy(p[k:], r.data)
	r.n -= k
	r.head += k
	if r.head >= len(r.data) {
		r.head -= len(r.data)
	}
	return k
}

// resize moves the bytes to new memory of the given size.
func (r *pipeRing) resize(size int) {
	data := make([]byte, size)
	n := r.take(data)
	r.data, r.head, r.n = data, 0, n
}

func (h *pipeHalf) used() int {
	if h.ring == nil {
		return 0
	}
	return h.ring.n
}

// put stores what fits of p and returns how much that was.
func (h *pipeHalf) put(p []byte) int {
	used := h.used()
	n := min(len(p), h.limit-used)
	if n == 0 {
		return 0
	}
	h.reserve(used + n)
	h.ring.put(p[:n])
	return n
}

// take moves bytes out of the stream. A drained stream keeps only a weak
// reference to its ring: busy streams use it again, the collector frees it
// from idle ones.
func (h *pipeHalf) take(p []byte) int {
	n := h.ring.take(p)
	if h.ring.n == 0 {
		h.ring.head = 0
		h.ring = nil
	}
	return n
}

// reserve makes the ring hold need bytes, need being at most the limit.
func (h *pipeHalf) reserve(need int) {
	if h.ring == nil {
		h.ring = h.spare.Value()
	}
	if h.ring == nil {
		h.ring = new(pipeRing)
		h.spare = weak.Make(h.ring)
	}
	size := max(len(h.ring.data), pipeRingMin)
	if need <= len(h.ring.data) {
		return
	}
	for size < need {
		size *= 2
	}
	h.ring.resize(min(size, h.limit))
}
