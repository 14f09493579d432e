package transport

// Offer is Append for one who must not wait: it returns false, and does not call
// enc, if there is no room now or nothing more is taken in. It never waits for the
// peer, not even for the moment that Append's own write may take, and is not held
// back by Hold. When there was no room, what OnRoom was given is called later.
func (w *Writer) Offer(size int, enc func([]byte) []byte) bool {
	need := min(int64(size), w.bound)
	got := w.room.TryAcquire(need)
	w.mu.Lock()
	if w.err != nil || w.sealed != nil {
		w.mu.Unlock()
		if got {
			w.room.Release(need)
		}
		return false
	}
	if !got && !w.want(need) {
		w.mu.Unlock()
		return false
	}
	w.gather(need, enc)
	if w.writing {
		w.mu.Unlock()
		return true
	}
	w.writing = true
	if !w.now.able() || !w.resumes || now()-w.last < quiet {
		w.mu.Unlock()
		go w.flush()
		return true
	}
	w.writeAtOnce()
	return true
}

// OnRoom has f called on a goroutine of its own when an Offer found no room, and
// then half of the buffer has become free, and all that the Offer wanted. It is
// called once for all Offers that were turned down until then, and not if the
// Writer ends first. OnRoom is for one caller, before the first Offer.
func (w *Writer) OnRoom(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.roomy = f
}

// want takes room after all, which may have come back meanwhile, or else notes
// that it is wanted. It needs mu.
func (w *Writer) want(need int64) bool {
	before := w.wanted
	w.wanted = max(w.wanted, need, w.bound/2)
	if !w.room.TryAcquire(need) {
		return false
	}
	w.wanted = before
	return true
}

// tellRoom tells of the room that an Offer wanted, if it is there. It needs mu.
func (w *Writer) tellRoom() {
	if w.wanted == 0 || w.err != nil || w.sealed != nil || !w.room.TryAcquire(w.wanted) {
		return
	}
	w.room.Release(w.wanted)
	w.wanted = 0
	if w.roomy != nil {
		go w.roomy()
	}
}

// writeAtOnce writes what has gathered as far as the peer takes it without being
// waited for, and leaves the rest to a flusher. It is entered with mu held and
// writing set, and unlocks mu.
func (w *Writer) writeAtOnce() {
	buf, held, seq := w.take()
	w.mu.Unlock()
	n, err := w.now.write(buf.bytes)
	switch {
	case err != nil:
		buf.free()
		_ = w.fail(err)
		w.room.Release(held)
	case n < len(buf.bytes):
		go w.finish(buf, n, held, seq)
	default:
		buf.free()
		if w.wrote(held, seq) {
			go w.flush()
		}
	}
}
