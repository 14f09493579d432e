package amqp

import (
	"context"
	"time"

	goamqp "github.com/Azure/go-amqp"

	"github.com/polyport/polyport/transport"
)

const (
	// mostSessions is how many a connection has at most. The peer may allow less;
	// RabbitMQ 4 has 64.
	mostSessions = 256
	// forOutlets are sessions that inlets leave to outlets.
	forOutlets = 16
	// mostLinks is how many links share a session at most.
	mostLinks = 64
	// attachPatience bounds the time for a session and a link on it, and
	// attachTries how often that is tried: RabbitMQ 4 leaves one of some thousands
	// of attempts without an answer.
	attachPatience = 8 * time.Second
	attachTries    = 3
	// detachPatience bounds the wait for the end of a link.
	detachPatience = time.Second
	// endPatience bounds the wait for the end of a session.
	endPatience = 5 * time.Second
)

// sessions are the sessions of a connection. A link has one to itself while
// there are any, because brokers answer an error of one link by the end of the
// whole session. The connection's mu protects it.
type sessions struct {
	most, open int
	shared     []*seat // those of inlets
}

// A seat is a session with the number of links on it, which the connection's mu
// protects.
type seat struct {
	*goamqp.Session

	links int
}

// ownSeat begins a session for one outlet.
func (c *clientConn) ownSeat(ctx context.Context) (*seat, error) {
	for {
		c.mu.Lock()
		free := c.sessions.open < c.sessions.most
		if free {
			c.sessions.open++
		}
		c.mu.Unlock()
		if free {
			return c.begin(ctx)
		}
		if err := c.evict(ctx); err != nil {
			return nil, err
		}
	}
}

// inletSeat finds a session for an inlet: a new one, or the one with the fewest
// links.
func (c *clientConn) inletSeat(ctx context.Context) (*seat, error) {
	c.mu.Lock()
	if c.sessions.open+min(forOutlets, c.sessions.most/2) < c.sessions.most {
		c.sessions.open++
		c.mu.Unlock()
		s, err := c.begin(ctx)
		if err == nil {
			c.mu.Lock()
			c.sessions.shared = append(c.sessions.shared, s)
			c.mu.Unlock()
		}
		return s, err
	}
	defer c.mu.Unlock()
	var least *seat
	for _, s := range c.sessions.shared {
		if s.links < mostLinks && (least == nil || s.links < least.links) {
			least = s
		}
	}
	if least == nil {
		return nil, transport.WithReason(transport.ErrBusy, "all sessions that the peer allows are full")
	}
	least.links++
	return least, nil
}

// begin begins a session, for which there is room.
func (c *clientConn) begin(ctx context.Context) (*seat, error) {
	s, err := c.conn.NewSession(ctx, nil)
	if err != nil {
		c.mu.Lock()
		c.sessions.open--
		c.mu.Unlock()
		return nil, err
	}
	return &seat{Session: s, links: 1}, nil
}

// leave gives up a link's place in a session, and ends the session if it was
// the last. It waits for that, within ctx.
func (c *clientConn) leave(ctx context.Context, s *seat) {
	c.mu.Lock()
	s.links--
	ended := s.links == 0
	if ended {
		c.forget(s)
	}
	c.mu.Unlock()
	if !ended {
		return
	}
	_ = s.Close(ctx) // it may have ended
	c.mu.Lock()
	c.sessions.open--
	c.mu.Unlock()
}

// last reports whether a session has but one link.
func (c *clientConn) last(s *seat) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return s.links == 1
}

// forget keeps others from sharing a session. It needs mu.
func (c *clientConn) forget(s *seat) {
	for i, o := range c.sessions.shared {
		if o == s {
			c.sessions.shared = append(c.sessions.shared[:i:i], c.sessions.shared[i+1:]...)
			return
		}
	}
}

// leaveSoon is leave for who does not wait.
func (c *clientConn) leaveSoon(s *seat) {
	go func() {
		ctx, cancel := context.WithTimeout(c.ctx, endPatience)
		defer cancel()
		c.leave(ctx, s)
	}()
}

// patiently has f get a link, and has it try again if the peer does not answer.
// If the connection ends meanwhile, the reason for that is the error.
func (c *clientConn) patiently(ctx context.Context, f func(context.Context) error) (err error) {
	defer c.guard.hold.hurry()()
	for range attachTries {
		try, cancel := context.WithTimeout(ctx, attachPatience)
		stop := context.AfterFunc(c.ctx, cancel)
		err = f(try)
		unanswered := try.Err() != nil && ctx.Err() == nil && c.ctx.Err() == nil
		stop()
		cancel()
		if err == nil || !unanswered {
			break
		}
	}
	if cause := context.Cause(c.ctx); err != nil && cause != nil {
		return cause
	}
	return linkErr(err)
}
