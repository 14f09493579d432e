package stomp

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/go-stomp/stomp/v3/frame"

	"github.com/polyport/polyport/transport"
)

// join introduces the connection to the broker, whose handshake is over.
func (c *serverConn) join(b transport.Broker) {
	c.handing.allow(c.o.Limits.Unsettled)
	c.handed, c.answered = c.wasHanded, c.wasAnswered
	c.before = c.ready
	c.stream.OnRoom(c.roomy)
	c.session = b.Join(c.Info())
	// Not at once: the connection's end may be found out within a call of the broker's.
	c.stream.OnEnd(func(error) { go c.session.Leave() })
}

// serves reports whether a destination is one of this server's own.
func (c *serverConn) serves(to string) bool {
	friend := c.friend.Load()
	for _, d := range c.o.Destinations {
		if below, under := strings.CutPrefix(to, d+"."); friend && under && below != "" {
			return true
		}
		if to == d || !strings.HasPrefix(d, "/") && strings.HasPrefix(to, queuePrefix) && to[len(queuePrefix):] == d {
			return true
		}
	}
	return false
}

// handOver gives the message of a SEND to the broker.
func (c *serverConn) handOver(m *transport.Message, f *frame.Frame) error {
	m.Attempt = 0
	if strings.HasPrefix(m.ReplyTo, tempPrefix) {
		s, err := c.own(m.ReplyTo)
		if err != nil {
			return err
		}
		m.ReplyTo = s.consumer.Address()
	}
	if strings.HasPrefix(m.To, tempPrefix) {
		s, err := c.own(m.To)
		if err != nil {
			return err
		}
		m.To = s.consumer.Address()
	}
	if c.friend.Load() {
		if m.To = topicOf(m.To); !c.reaches(m.To) {
			return noRoute(noSubscriptionThere)
		}
	}
	done := c.handed
	if id, asked := f.Header.Contains(frame.Receipt); asked {
		done = func(err error) { c.wasHandedWith(id, err) }
	} else if strings.HasPrefix(m.To, replyPrefix) {
		done = c.answered
	}
	c.handing.add() // for which ready has waited
	c.session.Send(m, done)
	return nil
}

// replyPrefix begins what the broker calls the private addresses of others.
const replyPrefix = "/reply-queue/"

// wasAnswered is told what became of an answer without a receipt. One to somebody
// who has gone is nothing: an ERROR would end the connection of who has answered,
// and with it what others have asked.
func (c *serverConn) wasAnswered(err error) {
	if errors.Is(err, transport.ErrNoRoute) {
		err = nil
	}
	c.wasHanded(err)
}

// ready waits, before the next frame is read, until the broker has taken, or not,
// enough of what it was given. What one can have of the broker's time is bounded so.
func (c *serverConn) ready(ctx context.Context) error {
	n := 1
	if c.last != nil {
		n = c.handing.most
	}
	err := c.await(ctx, n)
	if e := c.expelled.Load(); e != nil {
		c.stream.Abort(e.why, e.goodbye)
		return e.why
	}
	if err != nil || c.last == nil {
		return err
	}
	return c.disconnected()
}

// await waits until the broker could be given n messages.
func (c *serverConn) await(ctx context.Context, n int) error {
	if c.handing.fits(n) {
		return nil
	}
	c.stream.Release() // it may be our messages that the broker waits for
	c.handing.watch(true)
	defer c.handing.watch(false)
	for !c.handing.fits(n) {
		select {
		case <-c.handing.changed:
		case <-c.stream.Ending():
			return cmp.Or(c.stream.Err(), transport.ErrClosed)
		case <-ctx.Done():
			return os.ErrDeadlineExceeded // as a read would
		}
	}
	return nil
}

// disconnect ends the connection as the client asks. Its receipt says that all that
// it has sent was taken ("Graceful Shutdown"), so the broker has to have it.
func (c *serverConn) disconnect(f *frame.Frame) error {
	c.last = f
	if !c.handing.fits(c.handing.most) {
		return nil // ready goes on
	}
	return c.disconnected()
}

func (c *serverConn) disconnected() error {
	c.receipt(c.last)
	err := transport.WithReason(transport.ErrClosed, "the peer disconnected")
	c.stream.Abort(err, nil)
	return err
}

// failed tells the client that the broker has not taken its SEND.
func (c *serverConn) failed(err error, receipt string, asked bool) {
	if c.friend.Load() {
		c.complain(err, receipt, asked)
	} else {
		c.expel(err, receipt, asked)
	}
}

// wasHanded is told what became of a SEND without a receipt, and wasHandedWith of
// one with.
func (c *serverConn) wasHanded(err error) {
	if err != nil {
		c.failed(err, "", false)
	}
	c.handing.sub()
}

func (c *serverConn) wasHandedWith(receipt string, err error) {
	if err != nil {
		c.failed(err, receipt, true)
	} else {
		c.confirm(receipt)
	}
	c.handing.sub()
}

// An expulsion is why a connection ends, and the ERROR that says so.
type expulsion struct {
	why     error
	goodbye func([]byte) []byte
}

// expel is refuse from another goroutine than that in Recv, or from one that may
// not wait. asked says that the frame at fault has asked for a receipt.
func (c *serverConn) expel(why error, receipt string, asked bool) {
	e := &expulsion{why: why, goodbye: func(dst []byte) []byte { return c.appendError(dst, why, receipt, asked) }}
	if c.expelled.CompareAndSwap(nil, e) {
		go c.stream.CloseFor(why, e.goodbye)
	}
}

// pass sends m to a destination of the broker on behalf of the client, with whose
// rights, and waits until the broker has it.
func (c *serverConn) pass(ctx context.Context, m *transport.Message) error {
	if err := c.stream.Over("send"); err != nil {
		return err
	}
	result := make(chan error, 1)
	c.session.Send(clone(m), func(err error) { result <- err })
	select {
	case err := <-result:
		return c.passed(err)
	default:
	}
	select {
	case err := <-result:
		return c.passed(err)
	case <-c.stream.Ending():
		return c.lost(cmp.Or(c.stream.Err(), transport.ErrClosed))
	case <-ctx.Done():
		return c.lost(transport.WithReason(transport.ErrBusy, "the broker has not taken the message in time"))
	}
}

// passConfirmed is pass for one who does not wait.
func (c *serverConn) passConfirmed(ctx context.Context, m *transport.Message, done func(error)) error {
	if err := c.stream.Over("send"); err != nil {
		return err
	}
	if err := c.acquire(ctx, c.unsettledSlots, "the broker has not taken earlier messages"); err != nil {
		return c.notSent("send", err)
	}
	c.session.Send(clone(m), func(err error) {
		<-c.unsettledSlots
		c.roomy()
		done(c.passed(err))
	})
	return nil
}

// passed says that the broker has refused a message.
func (c *serverConn) passed(err error) error {
	if err == nil {
		return nil
	}
	return c.notSent("send", err)
}

// clone returns a copy of m that is the broker's to keep.
func clone(m *transport.Message) *transport.Message {
	own := *m
	own.Body, own.Headers = bytes.Clone(m.Body), slices.Clone(m.Headers)
	own.Subscription, own.Attempt = "", 0
	own.SetSettler(nil, 0)
	return &own
}
