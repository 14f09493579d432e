package broker_test

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/transport"
)

// newHub makes a hub for the time of the test.
func newHub(tb testing.TB, o *broker.Options) *broker.Hub {
	tb.Helper()
	h := broker.New(o)
	tb.Cleanup(func() {
		if err := h.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return h
}

// queueOf returns the figures of a queue; zero ones if there is none.
func queueOf(tb testing.TB, h *broker.Hub, name string) broker.QueueStats {
	tb.Helper()
	for _, q := range h.Stats().Queues {
		if q.Name == name {
			return q
		}
	}
	return broker.QueueStats{}
}

// A peer is a connection of a wire, by hand.
type peer struct {
	tb   testing.TB
	hub  *broker.Hub
	sess transport.BrokerSession
}

func join(tb testing.TB, h *broker.Hub, user string) *peer {
	tb.Helper()
	return &peer{tb, h, h.Join(&transport.Info{Scheme: "test", User: user})}
}

// send sends a text, and returns what becomes of it.
func (p *peer) send(to, text string) *sent {
	p.tb.Helper()
	return p.sendMessage(&transport.Message{To: to, Body: []byte(text)})
}

func (p *peer) sendMessage(m *transport.Message) *sent {
	s := &sent{over: make(chan struct{})}
	p.sess.Send(m, s.done)
	return s
}

// must sends a text that the broker takes at once.
func (p *peer) must(to, text string) {
	p.tb.Helper()
	if told, err := p.send(to, text).now(); err != nil || !told {
		p.tb.Fatalf("send %.20q to %s: told %t, %v", text, to, told, err)
	}
}

// A sent is what became of a message.
type sent struct {
	mu   sync.Mutex
	n    int
	err  error
	over chan struct{}
}

func (s *sent) done(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	s.err = err
	if s.n > 1 {
		panic("done was called twice")
	}
	close(s.over)
}

// now is what done was told so far.
func (s *sent) now() (told bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n > 0, s.err
}

// attach begins a subscription with room for so many messages.
func (p *peer) attach(to string, ack transport.AckMode, room int) *sink {
	p.tb.Helper()
	s := &sink{room: room, acks: ack != transport.AckNone}
	c, err := p.sess.Attach(transport.Subscription{Destination: to, Ack: ack}, s)
	if err != nil {
		p.tb.Fatalf("attach to %s: %v", to, err)
	}
	s.Consumer = c
	return s
}

// A sink is an outlet that keeps what it gets.
type sink struct {
	transport.Consumer
	acks bool

	mu    sync.Mutex
	room  int // how many more it takes
	got   []got
	ended error
}

type got struct {
	text    string
	to      string
	attempt int
	token   uint64
	m       transport.Message
}

func (s *sink) Deliver(m *transport.Message, token uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.room == 0 || s.ended != nil {
		return false
	}
	s.room--
	s.got = append(s.got, got{string(m.Body), m.To, m.Attempt, token, *m})
	return true
}

func (s *sink) End(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = why
}

// grant gives room for n more.
func (s *sink) grant(n int) {
	s.mu.Lock()
	s.room += n
	s.mu.Unlock()
	s.Ready()
}

// take returns what came, and forgets it.
func (s *sink) take() []got {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.got
	s.got = nil
	return all
}

// texts is take, as "text" or "text/attempt".
func (s *sink) texts() []string {
	texts := []string{}
	for _, g := range s.take() {
		if g.attempt > 0 {
			g.text = fmt.Sprintf("%s/%d", g.text, g.attempt)
		}
		texts = append(texts, g.text)
	}
	return texts
}

// wants checks what came.
func (s *sink) wants(tb testing.TB, want ...string) {
	tb.Helper()
	if got := s.texts(); !slices.Equal(got, want) && len(got)+len(want) > 0 {
		tb.Errorf("it got %q, want %q", got, want)
	}
}

// until waits for something that other goroutines bring about.
func until(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for start := time.Now(); !ok(); runtime.Gosched() {
		if time.Since(start) > 20*time.Second {
			tb.Fatalf("not in 20 s: %s", what)
		}
	}
}
