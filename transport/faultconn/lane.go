package faultconn

import "time"

const (
	// laneLimit is how many bytes may be under way in one direction: a send
	// buffer, or a receive window.
	laneLimit = 64 << 10
	// packet is what a slow link passes on at once, at most.
	packet = 1460
)

// A parcel is a run of bytes that arrive together. With a pause they arrive
// one by one: due is when the first does.
type parcel struct {
	due    time.Time
	data   []byte
	single bool // hand over one byte at a time
	pause  time.Duration
}

// A lane holds the bytes of one direction that are under way. Nothing in it
// overtakes anything else.
type lane struct {
	parcels []parcel
	size    int
	free    time.Time // when the link has sent what it was given
	open    int       // size of the last packet, to which more may be added until then
	pause   time.Time // until when no other byte may arrive
	batch   time.Time // until when bytes are collected
}

func (l *lane) empty() bool { return len(l.parcels) == 0 }
func (l *lane) room() int   { return laneLimit - l.size }
func (l *lane) clear()      { l.parcels, l.size = nil, 0 }

// due returns when the first byte arrives; zero if there is none.
func (l *lane) due() time.Time {
	if l.empty() {
		return time.Time{}
	}
	return l.parcels[0].due
}

// push takes data, which it keeps, and works out when it arrives. That depends
// on the bytes and on the time, not on how many calls they came in.
func (l *lane) push(now time.Time, data []byte, sh *shape, jitter time.Duration) {
	l.size += len(data)
	if sh.rate == 0 {
		l.add(data, l.arrival(now, len(data), sh, jitter), sh)
		return
	}
	// The link passes on what it sends in 10 ms, in packets that are neither
	// silly nor giant.
	size := int(min(max(sh.rate/100, 16), packet))
	for len(data) > 0 {
		joins := l.open < size && l.free.After(now) && !l.empty() && !sh.slice
		if !joins {
			l.open = 0
		}
		n := min(size-l.open, len(data))
		l.open += n
		due := l.arrival(now, n, sh, jitter)
		if joins {
			last := &l.parcels[len(l.parcels)-1]
			last.due, last.data = due, append(last.data, data[:n]...)
		} else {
			l.add(data[:n:n], due, sh)
		}
		data = data[n:]
	}
}

func (l *lane) add(data []byte, due time.Time, sh *shape) {
	l.parcels = append(l.parcels, parcel{due, data, sh.slice, sh.pause})
	if sh.pause > 0 {
		l.pause = due.Add(time.Duration(len(data)) * sh.pause)
	}
}

// arrival works out when n bytes that are sent now arrive, or the end of the
// stream if n is zero; not before what went ahead of them, of course.
func (l *lane) arrival(now time.Time, n int, sh *shape, jitter time.Duration) time.Time {
	sent := now
	if sh.rate > 0 {
		sent = later(now, l.free).Add(time.Duration(int64(n) * int64(time.Second) / sh.rate))
		l.free = sent
	}
	if sh.collect > 0 {
		if !now.Before(l.batch) {
			l.batch = now.Add(sh.collect)
		}
		sent = later(sent, l.batch)
	}
	due := sent.Add(sh.latency + jitter)
	if n > 0 {
		due = later(due, l.pause)
	}
	return due
}

// pop moves bytes that have arrived to p and returns how many.
func (l *lane) pop(now time.Time, p []byte) (n int) {
	for n < len(p) && !l.empty() {
		first := &l.parcels[0]
		if first.due.After(now) || first.single && n > 0 {
			break
		}
		if first.single {
			p = p[:1]
			first.due = first.due.Add(first.pause)
		}
		n += l.take(p[n:])
	}
	return n
}

// take moves bytes of the first parcel, at least one, whenever they are due.
func (l *lane) take(p []byte) int {
	first := &l.parcels[0]
	n := copy(p, first.data)
	first.data = first.data[n:]
	l.size -= n
	if len(first.data) == 0 {
		*first = parcel{} // the array behind the slice must not keep the bytes
		l.parcels = l.parcels[1:]
	}
	if l.empty() {
		l.parcels = nil
	}
	return n
}

// arrived returns how many bytes pop can move now, at most.
func (l *lane) arrived(now time.Time) (n int) {
	for _, p := range l.parcels {
		if p.due.After(now) {
			break
		}
		n += len(p.data)
	}
	return n
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// sooner returns the earlier of two times; zero means never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
