package stomp

import "sync/atomic"

// A gauge counts what is under way, of which there may be so much. Counting costs
// less than a channel, and there is one who waits. Its methods are safe for
// concurrent use, save that one goroutine at a time watches. The zero value has room
// for nothing, and nothing is under way.
type gauge struct {
	most    int
	n       atomic.Int64
	watched atomic.Bool
	changed chan struct{} // has a token when n has sunk while it was watched
}

// allow sets how much there may be, before anything is under way.
func (g *gauge) allow(most int) { g.most, g.changed = most, make(chan struct{}, 1) }

// add counts one more, which fits has allowed.
func (g *gauge) add() { g.n.Add(1) }

// sub counts one less.
func (g *gauge) sub() {
	g.n.Add(-1)
	if g.watched.Load() {
		select {
		case g.changed <- struct{}{}:
		default:
		}
	}
}

// fits reports whether there may be n more.
func (g *gauge) fits(n int) bool { return int(g.n.Load())+n <= g.most }

// watch says whether changed is to tell; after that fits is to be asked first.
func (g *gauge) watch(on bool) { g.watched.Store(on) }
