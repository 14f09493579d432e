package mem

import (
	"time"

	"github.com/polyport/polyport/transport"
)

const (
	// helloHead bounds the head of a hello: it comes from strangers.
	helloHead = 4 << 10
	// welcomeHead bounds the head of a welcome, which lists destinations.
	welcomeHead = 64 << 10
	// maxDestinations bounds that list: its memory may be sixteen times its bytes.
	maxDestinations = 4 << 10
	// maxBeat is the longest interval of beats, in milliseconds, that can be said.
	maxBeat = 1<<31 - 1
)

// A hello is what the end that dialed says first.
type hello struct {
	oldest, newest              uint64
	software                    string
	user, password, virtualHost string
	beat                        time.Duration
	limits                      transport.Limits
	socket                      string // how the ends talk: "", socketReq or socketSub
}

func (h *hello) append(dst []byte) []byte {
	dst = appendText(dst, magic)
	dst = appendNumber(appendNumber(dst, h.oldest), h.newest)
	for _, s := range [...]string{h.software, h.user, h.password, h.virtualHost} {
		dst = appendText(dst, s)
	}
	return appendText(appendLimits(appendBeat(dst, h.beat), h.limits), h.socket)
}

// headLen is at least the length of the head.
func (h *hello) headLen() int {
	return 128 + textLen(h.software) + textLen(h.user) + textLen(h.password) + textLen(h.virtualHost) + textLen(h.socket)
}

func parseHello(f frame) (h hello, err error) {
	if f.kind != kindHello {
		return h, malformed("expected a hello frame, got a %v frame", f.kind)
	}
	in := &f.head
	if in.text() != magic {
		return h, malformed("a hello frame without the words %q", magic)
	}
	h.oldest, h.newest = in.number(1<<31-1), in.number(1<<31-1)
	h.software, h.user, h.password, h.virtualHost = in.text(), in.text(), in.text(), in.text()
	h.beat, h.limits, h.socket = in.beat(), in.limits(), in.text()
	if h.newest > version {
		in.rest = "" // newer versions may say more
	}
	return h, in.end(f.kind)
}

// A welcome is the answer to a hello.
type welcome struct {
	version      uint64
	software     string
	beat         time.Duration
	limits       transport.Limits
	destinations []string
}

func (w *welcome) append(dst []byte) []byte {
	dst = appendText(appendNumber(dst, w.version), w.software)
	dst = appendLimits(appendBeat(dst, w.beat), w.limits)
	dst = appendNumber(dst, uint64(len(w.destinations)))
	for _, d := range w.destinations {
		dst = appendText(dst, d)
	}
	return dst
}

// headLen is at least the length of the head.
func (w *welcome) headLen() int {
	n := 128
	for _, d := range w.destinations {
		n += textLen(d)
	}
	return n
}

func parseWelcome(f frame) (w welcome, err error) {
	in := &f.head
	w.version, w.software = in.number(1<<31-1), in.text()
	w.beat, w.limits = in.beat(), in.limits()
	for range in.number(maxDestinations) {
		w.destinations = append(w.destinations, in.text())
	}
	if err := in.end(f.kind); err != nil {
		return w, err
	}
	if w.version != version {
		return w, malformed("the peer chose version %d, offered was %d", w.version, version)
	}
	return w, nil
}

func appendBeat(dst []byte, d time.Duration) []byte {
	return appendNumber(dst, uint64(min(max(0, d.Milliseconds()), maxBeat)))
}

func (f *fields) beat() time.Duration {
	return time.Duration(f.number(maxBeat)) * time.Millisecond
}

// appendLimits appends the limits that a sender has to keep.
func appendLimits(dst []byte, l transport.Limits) []byte {
	for _, n := range [...]int{l.Message, l.HeaderBytes, l.Headers, l.Subscriptions} {
		dst = appendNumber(dst, uint64(min(n, maxBody)))
	}
	return dst
}

func (f *fields) limits() (l transport.Limits) {
	for _, n := range [...]*int{&l.Message, &l.HeaderBytes, &l.Headers, &l.Subscriptions} {
		*n = int(f.number(maxBody))
	}
	return l
}

// both returns what is within the limits of both ends and can be said.
func both(a, b transport.Limits) transport.Limits {
	return transport.Limits{
		Message:       min(a.Message, b.Message, maxBody),
		HeaderBytes:   min(a.HeaderBytes, b.HeaderBytes, maxHead),
		Headers:       min(a.Headers, b.Headers),
		Subscriptions: min(a.Subscriptions, b.Subscriptions),
	}
}
