package conformance_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/stomp"
)

// A defect is something wrong with a wire, and the rule whose sentence it
// breaks.
type defect struct {
	name, rule string
	broken     func() *broken
}

// inSend, inRecv and so on are a wire whose ends do one thing differently.
func inSend(f func(c *conn, ctx context.Context, m *transport.Message) error) func() *broken {
	return func() *broken {
		return &broken{conn: func(c *conn) {
			c.send = func(ctx context.Context, m *transport.Message) error { return f(c, ctx, m) }
		}}
	}
}

func inRecv(f func(c *conn, ctx context.Context) (*transport.Message, error)) func() *broken {
	return func() *broken {
		return &broken{conn: func(c *conn) {
			c.recv = func(ctx context.Context) (*transport.Message, error) { return f(c, ctx) }
		}}
	}
}

// inMessage changes each message that is received.
func inMessage(f func(m *transport.Message)) func() *broken {
	return inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		m, err := c.Conn.Recv(ctx)
		if err == nil {
			f(m)
		}
		return m, err
	})
}

func inClose(f func(c *conn) error) func() *broken {
	return func() *broken {
		return &broken{conn: func(c *conn) { c.close = func() error { return f(c) } }}
	}
}

func inInfo(f func(c *conn, i *transport.Info)) func() *broken {
	return func() *broken {
		return &broken{conn: func(c *conn) {
			c.info = func() *transport.Info {
				i := *c.Conn.Info()
				f(c, &i)
				return &i
			}
		}}
	}
}

func inConfirm(f func(c *conn, inner transport.Confirmer, ctx context.Context, m *transport.Message, done func(error)) error) func() *broken {
	return func() *broken {
		return &broken{conn: func(c *conn) {
			inner, _ := transport.As[transport.Confirmer](c.Conn)
			c.own = confirmer{Conn: c.Conn, confirm: func(ctx context.Context, m *transport.Message, done func(error)) error {
				return f(c, inner, ctx, m, done)
			}}
		}}
	}
}

func inPublish(f func(c *conn, inner transport.Publisher, ctx context.Context, m *transport.Message) error) func() *broken {
	return func() *broken {
		return &broken{server: func(c *conn) {
			inner, _ := transport.As[transport.Publisher](c.Conn)
			c.own = publisher{Conn: c.Conn, publish: func(ctx context.Context, m *transport.Message) error { return f(c, inner, ctx, m) }}
		}}
	}
}

func inSubscribe(f func(inner transport.Subscriber) subscriber) func() *broken {
	return func() *broken {
		return &broken{client: func(c *conn) {
			inner, _ := transport.As[transport.Subscriber](c.Conn)
			s := f(inner)
			s.Conn, s.inner = c.Conn, inner
			c.own = s
		}}
	}
}

func inOptions(f func(*transport.Options)) func() *broken {
	return func() *broken { return &broken{options: f} }
}

func inListen(f func(*transport.ListenOptions)) func() *broken {
	return func() *broken { return &broken{listen: f} }
}

func inStream(f func(net.Conn) net.Conn) func() *broken {
	return func() *broken { return &broken{stream: f} }
}

// settlers replace what settles received messages.
type settler func(token uint64, o transport.Outcome) error

func (s settler) SettleMessage(token uint64, o transport.Outcome) error { return s(token, o) }

var messageDefects = []defect{
	{"cuts large bodies", "WholeMessage", inMessage(func(m *transport.Message) { m.Body = m.Body[:min(len(m.Body), 64<<10)] })},
	{"takes NUL for the end", "WholeMessage", inMessage(func(m *transport.Message) { m.Body, _, _ = bytes.Cut(m.Body, []byte{0}) })},
	{"loses the subject", "Fields", inMessage(func(m *transport.Message) { m.Subject = "" })},
	{"loses the expiry", "Fields", inMessage(func(m *transport.Message) { m.Expires = time.Time{} })},
	{"loses ReplyTo", "Fields", inMessage(func(m *transport.Message) { m.ReplyTo = "" })},
	{"says that everything is durable not", "Fields", inMessage(func(m *transport.Message) { m.Durable = false })},
	{"trims values", "FieldText", inMessage(func(m *transport.Message) { m.Subject = strings.TrimSpace(m.Subject) })},
	{"cuts values at a colon", "FieldText", inMessage(func(m *transport.Message) {
		for i, h := range m.Headers {
			m.Headers[i].Value, _, _ = strings.Cut(h.Value, ":")
		}
	})},
	{"refuses every text that is not plain", "FieldText", inSend(func(c *conn, ctx context.Context, m *transport.Message) error {
		if strings.ContainsRune(m.Subject, ' ') {
			return transport.ErrInvalid // without saying that nothing was sent
		}
		return c.Conn.Send(ctx, m)
	})},
	{"loses headers", "Headers", inMessage(func(m *transport.Message) { m.Headers = nil })},
	{"keeps headers in a map", "Headers", inMessage(func(m *transport.Message) {
		slices.SortStableFunc(m.Headers, func(a, b transport.Header) int { return strings.Compare(a.Name, b.Name) })
	})},
	{"keeps one header of a name", "Headers", inMessage(func(m *transport.Message) {
		m.Headers = slices.CompactFunc(m.Headers, func(a, b transport.Header) bool { return strings.EqualFold(a.Name, b.Name) })
	})},
	{"makes numbers into texts", "IDKinds", inMessage(func(m *transport.Message) {
		if m.CorrelationID.Kind() == transport.IDNumber {
			m.CorrelationID = transport.TextID(m.CorrelationID.String())
		}
	})},
	{"keeps the caller's body", "SendCopies", func() *broken {
		return &broken{conn: func(c *conn) {
			var held *transport.Message // goes out with the next one
			c.send = func(ctx context.Context, m *transport.Message) error {
				if m.Subject == "" {
					return c.Conn.Send(ctx, m)
				}
				last, own := held, *m
				held = &own
				if last == nil {
					return nil
				}
				return c.Conn.Send(ctx, last)
			}
		}}
	}},
	{"reuses the body", "RecvKeeps", func() *broken {
		return &broken{conn: func(c *conn) {
			var buf [1 << 20]byte
			c.recv = func(ctx context.Context) (*transport.Message, error) {
				m, err := c.Conn.Recv(ctx)
				if err == nil {
					m.Body = buf[:copy(buf[:], m.Body)]
				}
				return m, err
			}
		}}
	}},
	{"hands out a body with another's bytes behind it", "RecvKeeps", func() *broken {
		return &broken{conn: func(c *conn) {
			var buf []byte
			c.recv = func(ctx context.Context) (*transport.Message, error) {
				m, err := c.Conn.Recv(ctx)
				if err == nil {
					if len(buf) < len(m.Body) {
						buf = make([]byte, 1<<20)
					}
					n := copy(buf, m.Body)
					m.Body, buf = buf[:n], buf[n:]
				}
				return m, err
			}
		}}
	}},
	{"depends on how reads are cut", "AnySlices", inStream(func(nc net.Conn) net.Conn { return &lossy{Conn: nc} })},
	{"forgets the destination", "DefaultDestination", inMessage(func(m *transport.Message) { m.To = "" })},
}

// lossy loses reads of one byte.
type lossy struct{ net.Conn }

func (l *lossy) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if n == 1 && err == nil {
		return l.Conn.Read(p)
	}
	return n, err
}

func (l *lossy) CloseWrite() error { return closeWrite(l.Conn) }

func closeWrite(nc net.Conn) error { return nc.(interface{ CloseWrite() error }).CloseWrite() }

var orderDefects = []defect{
	{"drops the 100th message", "Order", inSend(func(c *conn, ctx context.Context, m *transport.Message) error {
		if c.next() == 100 {
			return nil
		}
		return c.Conn.Send(ctx, m)
	})},
	{"doubles a message", "Order", inSend(func(c *conn, ctx context.Context, m *transport.Message) error {
		if c.next() == 200 {
			_ = c.Conn.Send(ctx, m)
		}
		return c.Conn.Send(ctx, m)
	})},
	{"swaps two messages", "Order", func() *broken {
		return &broken{conn: func(c *conn) {
			var held *transport.Message
			c.recv = func(ctx context.Context) (*transport.Message, error) {
				if m := held; m != nil {
					held = nil
					return m, nil
				}
				m, err := c.Conn.Recv(ctx)
				if err != nil || c.next() != 50 {
					return m, err
				}
				held = m
				return c.Conn.Recv(ctx)
			}
		}}
	}},
	{"mixes bodies of senders", "ConcurrentSenders", func() *broken {
		return &broken{conn: func(c *conn) {
			var last []byte
			c.send = func(ctx context.Context, m *transport.Message) error {
				c.mu.Lock()
				defer c.mu.Unlock()
				mixed := *m
				if len(last) > 3000 {
					mixed.Body = append(slices.Clone(m.Body[:len(m.Body)/2]), last[len(last)/2:]...)
				}
				last = slices.Clone(m.Body)
				return c.Conn.Send(ctx, &mixed)
			}
		}}
	}},
	{"sends one way at a time", "BothWays", func() *broken {
		turn := make(chan struct{}, 1)
		return &broken{conn: func(c *conn) {
			c.send = func(ctx context.Context, m *transport.Message) error {
				if len(m.Body) < 8<<10 {
					return c.Conn.Send(ctx, m)
				}
				select {
				case turn <- struct{}{}: // and keeps it
				default:
					select {
					case <-ctx.Done():
					case <-time.After(tooLong):
					}
				}
				return c.Conn.Send(ctx, m)
			}
		}}
	}},
}

var sendDefects = []defect{
	{"ignores the ctx of Send", "SendContext", inSend(func(c *conn, _ context.Context, m *transport.Message) error {
		ctx, cancel := context.WithTimeout(context.Background(), tooLong)
		defer cancel()
		return c.Conn.Send(ctx, m)
	})},
	{"refuses at once when there is no room", "SendWaitsForRoom", inSend(func(c *conn, _ context.Context, m *transport.Message) error {
		return c.Conn.Send(ended, m)
	})},
	{"waits also when told not to", "SendEndedContext", inSend(func(c *conn, ctx context.Context, m *transport.Message) error {
		if ctx.Err() == nil {
			return c.Conn.Send(ctx, m)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		return c.Conn.Send(ctx, m)
	})},
	{"has no bound", "BoundedMemory", inOptions(func(o *transport.Options) { o.SendBuffer = 1 << 30 })},
	{"takes ten times the bound", "BoundedMemory", inOptions(func(o *transport.Options) { o.SendBuffer *= 4 })},
	{"cannot take more than its buffer", "LargerThanBuffer", inSend(func(c *conn, ctx context.Context, m *transport.Message) error {
		if len(m.Body) > 200<<10 {
			return &transport.OpError{Op: "send", Err: transport.ErrTooLarge}
		}
		return c.Conn.Send(ctx, m)
	})},
	{"does not say that nothing was sent", "SendTooLarge", inSend(func(c *conn, ctx context.Context, m *transport.Message) error {
		err := c.Conn.Send(ctx, m)
		if e, ok := errors.AsType[*transport.OpError](err); ok {
			e.MaybeSent = true
		}
		return err
	})},
	{"sends what is too large", "SendTooLarge", inOptions(func(o *transport.Options) { o.Limits.Message *= 2 })},
	{"closes over what is too large", "SendTooLarge", inSend(func(c *conn, ctx context.Context, m *transport.Message) error {
		err := c.Conn.Send(ctx, m)
		if errors.Is(err, transport.ErrTooLarge) {
			_ = c.nc.Close()
		}
		return err
	})},
	{"takes what is too large", "PeerTooLarge", inOptions(func(o *transport.Options) { o.Limits.Message = 1 << 20 })},
}

var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

var recvDefects = []defect{
	{"ignores the ctx of Recv", "RecvContext", inRecv(func(c *conn, _ context.Context) (*transport.Message, error) {
		ctx, cancel := context.WithTimeout(context.Background(), tooLong)
		defer cancel()
		return c.Conn.Recv(ctx)
	})},
	{"loses a message when ctx ends", "RecvContext", inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		m, err := c.Conn.Recv(ctx)
		if err == nil && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errors.Is(err, context.DeadlineExceeded) {
			soon, cancel := context.WithTimeout(context.Background(), 10*time.Microsecond)
			defer cancel()
			_, _ = c.Conn.Recv(soon)
		}
		return m, err
	})},
	{"is broken when ctx ends", "RecvContext", inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		m, err := c.Conn.Recv(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			_ = c.nc.Close()
		}
		return m, err
	})},
	{"waits with a ctx that has ended", "RecvEndedContext", inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		if ctx.Err() != nil {
			wait(tooLong)
		}
		return c.Conn.Recv(ctx)
	})},
	{"begins the frame anew when ctx ends", "RecvContextMidFrame", inStream(func(nc net.Conn) net.Conn { return &forgetful{Conn: nc} })},
}

// forgetful loses a byte when a read was interrupted.
type forgetful struct {
	net.Conn
	interrupted bool
}

func (f *forgetful) Read(p []byte) (int, error) {
	if f.interrupted {
		f.interrupted = false
		_, _ = f.Conn.Read(make([]byte, 1))
	}
	n, err := f.Conn.Read(p)
	f.interrupted = err != nil
	return n, err
}

func (f *forgetful) CloseWrite() error { return closeWrite(f.Conn) }

var closeDefects = []defect{
	{"does not unblock Recv", "CloseUnblocksRecv", inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		m, err := c.Conn.Recv(ctx)
		if errors.Is(err, transport.ErrClosed) {
			wait(tooLong)
		}
		return m, err
	})},
	{"returns another error than ErrClosed", "CloseUnblocksRecv", inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		m, err := c.Conn.Recv(ctx)
		if errors.Is(err, transport.ErrClosed) {
			err = net.ErrClosed
		}
		return m, err
	})},
	{"does not unblock Send", "CloseUnblocksSend", inSend(func(c *conn, ctx context.Context, m *transport.Message) error {
		err := c.Conn.Send(ctx, m)
		if errors.Is(err, transport.ErrClosed) {
			wait(tooLong)
		}
		return err
	})},
	{"cannot be closed twice", "CloseAgain", inClose(func(c *conn) error {
		if c.next() > 1 {
			return transport.ErrClosed
		}
		return c.Conn.Close()
	})},
	{"drops what waits", "CloseHandsOver", inClose(func(c *conn) error {
		_ = c.nc.Close()
		return c.Conn.Close()
	})},
	{"closes in its own time", "CloseWithinLinger", inOptions(func(o *transport.Options) { o.Linger = 3 * time.Second })},
	{"leaves the stream open", "CloseEndsStream", inStream(func(nc net.Conn) net.Conn { return halfOpen{nc} })},
	{"reports success after Close", "AfterClose", inSend(func(c *conn, ctx context.Context, m *transport.Message) error {
		if err := c.Conn.Send(ctx, m); !errors.Is(err, transport.ErrClosed) {
			return err
		}
		return nil
	})},
	{"does not see that the peer has closed", "PeerClosed", inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		m, err := c.Conn.Recv(ctx)
		if errors.Is(err, transport.ErrClosed) {
			wait(2 * time.Second)
		}
		return m, err
	})},
	{"sends to a peer that has closed", "SendToClosedPeer", inSend(func(c *conn, ctx context.Context, m *transport.Message) error {
		if err := c.Conn.Send(ctx, m); !errors.Is(err, transport.ErrClosed) {
			return err
		}
		return nil
	})},
	{"leaks a goroutine", "Info", func() *broken {
		return &broken{conn: func(*conn) { go wait(10 * time.Minute) }}
	}},
}

// halfOpen is closed in one direction only.
type halfOpen struct{ net.Conn }

func (h halfOpen) CloseWrite() error { return closeWrite(h.Conn) }
func (h halfOpen) Close() error      { return closeWrite(h.Conn) }

var lossDefects = []defect{
	{"does not see a reset", "PeerReset", inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		m, err := c.Conn.Recv(ctx)
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			wait(2 * time.Second)
		}
		return m, err
	})},
	{"takes half a frame for a message", "CutMidFrame", inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		m, err := c.Conn.Recv(ctx)
		if errors.Is(err, transport.ErrClosed) && c.next() == 1 {
			return &transport.Message{}, nil
		}
		return m, err
	})},
	{"calls every error a close", "BrokenRules", inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		m, err := c.Conn.Recv(ctx)
		if errors.Is(err, transport.ErrProtocol) || errors.Is(err, transport.ErrTooLarge) {
			err = transport.ErrClosed
		}
		return m, err
	})},
	{"takes memory on the peer's word", "HostileBytes", func() *broken {
		return &broken{failed: func(net.Conn) { hoard.Store(new([2 << 20]byte)) }}
	}},
	{"does not cut off a hostile peer", "HostileBytes", func() *broken {
		return &broken{stream: func(nc net.Conn) net.Conn { return &sticky{Conn: nc} }}
	}},
	{"takes memory for a damaged frame", "DamagedClient", func() *broken {
		return &broken{server: func(c *conn) {
			c.recv = func(ctx context.Context) (*transport.Message, error) {
				m, err := c.Conn.Recv(ctx)
				if errors.Is(err, transport.ErrProtocol) {
					hoard.Store(new([2 << 20]byte))
				}
				return m, err
			}
		}}
	}},
	{"hangs over a damaged frame", "DamagedServer", func() *broken {
		return &broken{client: func(c *conn) {
			c.recv = func(ctx context.Context) (*transport.Message, error) {
				m, err := c.Conn.Recv(ctx)
				if errors.Is(err, transport.ErrProtocol) {
					wait(tooLong)
				}
				return m, err
			}
		}}
	}},
}

// hoard keeps the compiler from leaving out an allocation.
var hoard atomic.Pointer[[2 << 20]byte]

// sticky stays open for a while after it was closed.
type sticky struct{ net.Conn }

func (s *sticky) CloseWrite() error { return nil }

func (s *sticky) Close() error {
	wait(tooLong)
	return s.Conn.Close()
}

var timeDefects = []defect{
	{"agrees on two intervals", "BeatsAgreed", inInfo(func(_ *conn, i *transport.Info) { i.Beat *= 2 })},
	{"sends no signs of life", "IdleLives", inStream(func(nc net.Conn) net.Conn { return &mute{Conn: nc} })},
	{"needs signs of life that it does not send", "BusySender", inStream(func(nc net.Conn) net.Conn { return &mute{Conn: nc} })},
	{"believes in a dead peer", "SilentPeer", inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		m, err := c.Conn.Recv(ctx)
		if errors.Is(err, transport.ErrHeartbeat) {
			wait(25 * time.Second)
		}
		return m, err
	})},
	{"finds a dead peer late", "SilentPeer", inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		m, err := c.Conn.Recv(ctx)
		if errors.Is(err, transport.ErrHeartbeat) {
			wait(time.Millisecond)
		}
		return m, err
	})},
	{"forgets the silence when ctx ends", "SilentPeerPolled", func() *broken {
		return &broken{
			options: func(o *transport.Options) { o.Heartbeat = -1 },
			conn: func(c *conn) {
				c.info = func() *transport.Info {
					i := *c.Conn.Info()
					i.PeerBeat = 2 * time.Second
					return &i
				}
			},
		}
	}},
	{"takes a busy receiver for a silent peer", "BusyReceiver", func() *broken {
		return &broken{conn: func(c *conn) {
			last := time.Now()
			c.recv = func(ctx context.Context) (*transport.Message, error) {
				if time.Since(last) > time.Minute {
					return nil, transport.ErrHeartbeat
				}
				defer func() { last = time.Now() }()
				return c.Conn.Recv(ctx)
			}
		}}
	}},
	{"ends what is silent", "NoBeats", inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
		defer cancel()
		return c.Conn.Recv(ctx)
	})},
	{"waits for ever for a peer that does not read", "WriteStall", inOptions(func(o *transport.Options) { o.WriteStall = time.Hour })},
	{"gives up a slow reader", "SlowReader", inSend(func(c *conn, ctx context.Context, m *transport.Message) error {
		if len(m.Body) > 50_000 {
			time.AfterFunc(20*time.Second, func() { _ = c.nc.Close() })
		}
		return c.Conn.Send(ctx, m)
	})},
	{"waits for ever for half a frame", "SlowFrame", inOptions(func(o *transport.Options) { o.FrameTimeout = time.Hour })},
	{"counts its own absence", "BusyReceiverMidFrame", inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		if c.next() > 2 {
			return nil, transport.ErrSlow
		}
		return c.Conn.Recv(ctx)
	})},
	{"gives strangers too much time", "SlowHandshake", inStream(func(nc net.Conn) net.Conn { return &patient{Conn: nc} })},
}

// mute loses signs of life: frames of kind 10 without head and body.
type mute struct{ net.Conn }

func (m *mute) CloseWrite() error { return closeWrite(m.Conn) }

func (m *mute) Write(p []byte) (int, error) {
	if len(p) == 8 && p[0] == 10 {
		return len(p), nil
	}
	return m.Conn.Write(p)
}

// patient sees a deadline much later.
type patient struct{ net.Conn }

func (p *patient) CloseWrite() error { return closeWrite(p.Conn) }

func (p *patient) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if err != nil && n == 0 {
		wait(tooLong)
	}
	return n, err
}

var routeDefects = []defect{
	{"has another reply address each time", "ReplyAddress", func() *broken {
		return &broken{wire: stomp.Transport{}, client: func(c *conn) {
			c.own = addresser{Conn: c.Conn, address: func(context.Context) (string, error) {
				return fmt.Sprint("/temp-queue/", c.next()), nil
			}}
		}}
	}},
	{"has no reply address", "ReplyAddress", func() *broken {
		return &broken{wire: stomp.Transport{}, client: func(c *conn) {
			c.own = addresser{Conn: c.Conn, address: func(context.Context) (string, error) { return "", nil }}
		}}
	}},
	{"loses what nobody waits for", "NoRoute", func() *broken {
		return &broken{wire: stomp.Transport{}, server: func(c *conn) {
			c.send = func(ctx context.Context, m *transport.Message) error {
				if err := c.Conn.Send(ctx, m); !errors.Is(err, transport.ErrNoRoute) {
					return err
				}
				return nil
			}
		}}
	}},
	{"shares reply routes", "AnswersStayApart", func() *broken {
		var mu sync.Mutex
		var last transport.Conn
		return &broken{server: func(c *conn) {
			mu.Lock()
			defer mu.Unlock()
			last = c.Conn
			c.send = func(ctx context.Context, m *transport.Message) error {
				mu.Lock()
				defer mu.Unlock()
				return last.Send(ctx, m)
			}
		}}
	}},
	{"loses the subscription's name", "Subscribe", inMessage(func(m *transport.Message) { m.Subscription = "" })},
	{"gives names twice", "SubscribeNames", inSubscribe(func(inner transport.Subscriber) subscriber {
		return subscriber{subscribe: func(ctx context.Context, s transport.Subscription) (string, error) {
			if s.ID == "" {
				s.ID = "2"
			}
			return inner.Subscribe(ctx, s)
		}}
	})},
	{"replaces a subscription", "SubscribeTwice", inSubscribe(func(inner transport.Subscriber) subscriber {
		return subscriber{subscribe: func(ctx context.Context, s transport.Subscription) (string, error) {
			_ = inner.Unsubscribe(ctx, s.ID)
			return inner.Subscribe(ctx, s)
		}}
	})},
	{"has no limit of subscriptions", "SubscribeLimit", inOptions(func(o *transport.Options) { o.Limits.Subscriptions = 100 })},
	{"does not unsubscribe", "Unsubscribe", inSubscribe(func(transport.Subscriber) subscriber {
		return subscriber{unsubscribe: func(context.Context, string) error { return nil }}
	})},
	{"publishes to one", "Publish", inPublish(func(c *conn, _ transport.Publisher, ctx context.Context, m *transport.Message) error {
		return c.Conn.Send(ctx, m)
	})},
	{"publishes to nobody", "PublishNoRoute", inPublish(func(_ *conn, inner transport.Publisher, ctx context.Context, m *transport.Message) error {
		if err := inner.Publish(ctx, m); !errors.Is(err, transport.ErrNoRoute) {
			return err
		}
		return nil
	})},
	{"publishes half and denies it", "PublishNotSent", inPublish(func(c *conn, inner transport.Publisher, ctx context.Context, m *transport.Message) error {
		err := inner.Publish(ctx, m)
		if errors.Is(err, transport.ErrBusy) {
			_ = c.Conn.Send(ctx, m)
		}
		return err
	})},
}

var settleDefects = []defect{
	{"does not settle", "SettleReleases", inMessage(func(m *transport.Message) {
		m.SetSettler(settler(func(uint64, transport.Outcome) error { return nil }), 0)
	})},
	{"settles what was not asked for", "SettleReleases", inMessage(func(m *transport.Message) {
		if m.Subscription != "" {
			_ = m.Settle(transport.Accepted)
		}
	})},
	{"has no limit of what is unsettled", "UnsettledLimit", inOptions(func(o *transport.Options) { o.Limits.Unsettled = 100 })},
	{"settles each where it is up to", "SettleUpTo", inSubscribe(func(inner transport.Subscriber) subscriber {
		return subscriber{subscribe: func(ctx context.Context, s transport.Subscription) (string, error) {
			s.Ack = min(s.Ack, transport.AckEach)
			return inner.Subscribe(ctx, s)
		}}
	})},
	{"settles each twice", "SettleAgain", func() *broken {
		return &broken{client: func(c *conn) {
			granter, _ := transport.As[transport.Crediter](c.Conn)
			c.recv = func(ctx context.Context) (*transport.Message, error) {
				m, err := c.Conn.Recv(ctx)
				if err == nil && m.Subscription != "" {
					inner := *m
					m.SetSettler(settler(func(_ uint64, o transport.Outcome) error {
						_ = granter.Grant(ctx, inner.Subscription, 1)
						return inner.Settle(o)
					}), 0)
				}
				return m, err
			}
		}}
	}},
	{"cannot settle what needs none", "SettleNothing", inMessage(func(m *transport.Message) {
		if m.Subscription == "" {
			m.SetSettler(settler(func(uint64, transport.Outcome) error { return transport.ErrUnsupported }), 0)
		}
	})},
	{"ends over a late settlement", "SettleAfterUnsubscribe", func() *broken {
		return &broken{client: func(c *conn) {
			var gone atomic.Bool
			inner, _ := transport.As[transport.Subscriber](c.Conn)
			c.own = subscriber{Conn: c.Conn, inner: inner, unsubscribe: func(ctx context.Context, id string) error {
				gone.Store(true)
				return inner.Unsubscribe(ctx, id)
			}}
			c.recv = func(ctx context.Context) (*transport.Message, error) {
				m, err := c.Conn.Recv(ctx)
				if err != nil || m.Subscription == "" {
					return m, err
				}
				own := *m
				m.SetSettler(settler(func(_ uint64, o transport.Outcome) error {
					if gone.Load() {
						_ = c.nc.Close()
					}
					return own.Settle(o)
				}), 0)
				return m, nil
			}
		}}
	}},
	{"settles by its own numbers", "SettleUpToRace", func() *broken {
		return &broken{client: func(c *conn) {
			var held *transport.Message
			c.recv = func(ctx context.Context) (*transport.Message, error) {
				if m := held; m != nil {
					held = nil
					return m, nil
				}
				m, err := c.Conn.Recv(ctx)
				if err != nil || m.Subscription == "" || c.next() != 50 {
					return m, err
				}
				if held, err = c.Conn.Recv(ctx); err != nil {
					return nil, err
				}
				a, b := *m, *held
				m.SetSettler(settler(func(_ uint64, o transport.Outcome) error { return b.Settle(o) }), 0)
				held.SetSettler(settler(func(_ uint64, o transport.Outcome) error { return a.Settle(o) }), 0)
				return m, nil
			}
		}}
	}},
	{"hangs over a late settlement", "SettleAfterClose", inMessage(func(m *transport.Message) {
		m.SetSettler(settler(func(uint64, transport.Outcome) error { wait(tooLong); return nil }), 0)
	})},
	{"ignores grants", "Grant", func() *broken {
		return &broken{client: func(c *conn) {
			c.own = crediter{Conn: c.Conn, grant: func(context.Context, string, int) error { return nil }}
		}}
	}},
	{"does not renew credit", "SettleRenewsCredit", inMessage(func(m *transport.Message) { m.SetSettler(nil, 0) })},
	{"grants to nobody", "GrantUnknown", func() *broken {
		return &broken{client: func(c *conn) {
			inner, _ := transport.As[transport.Crediter](c.Conn)
			c.own = crediter{Conn: c.Conn, grant: func(ctx context.Context, id string, n int) error {
				_ = inner.Grant(ctx, id, n)
				return nil
			}}
		}}
	}},
}

var confirmDefects = []defect{
	{"confirms twice", "Confirm", inConfirm(func(_ *conn, inner transport.Confirmer, ctx context.Context, m *transport.Message, done func(error)) error {
		return inner.SendConfirmed(ctx, m, func(err error) { done(err); done(err) })
	})},
	{"never confirms", "Confirm", inConfirm(func(c *conn, _ transport.Confirmer, ctx context.Context, m *transport.Message, _ func(error)) error {
		return c.Conn.Send(ctx, m)
	})},
	{"confirms what was only sent", "ConfirmMeansTaken", inConfirm(func(c *conn, _ transport.Confirmer, ctx context.Context, m *transport.Message, done func(error)) error {
		err := c.Conn.Send(ctx, m)
		if err == nil {
			done(nil)
		}
		return err
	})},
	{"says nothing when the connection is lost", "ConfirmLost", inConfirm(func(_ *conn, inner transport.Confirmer, ctx context.Context, m *transport.Message, done func(error)) error {
		return inner.SendConfirmed(ctx, m, func(err error) {
			if err == nil {
				done(nil)
			}
		})
	})},
	{"says not sent when the connection is lost", "ConfirmLost", inConfirm(func(_ *conn, inner transport.Confirmer, ctx context.Context, m *transport.Message, done func(error)) error {
		return inner.SendConfirmed(ctx, m, func(err error) {
			if err != nil {
				err = &transport.OpError{Op: "send", Err: transport.ErrClosed}
			}
			done(err)
		})
	})},
	{"fails and reports", "ConfirmClosed", inConfirm(func(_ *conn, inner transport.Confirmer, ctx context.Context, m *transport.Message, done func(error)) error {
		err := inner.SendConfirmed(ctx, m, done)
		if err != nil {
			done(err)
		}
		return err
	})},
	{"has no limit of what is unconfirmed", "ConfirmWaits", inOptions(func(o *transport.Options) { o.Limits.Unsettled = 100 })},
	{"confirms what was refused", "ConfirmRefused", inConfirm(func(_ *conn, inner transport.Confirmer, ctx context.Context, m *transport.Message, done func(error)) error {
		return inner.SendConfirmed(ctx, m, func(error) { done(nil) })
	})},
	{"waits for the confirmation", "ConfirmMeansTaken", inConfirm(func(_ *conn, inner transport.Confirmer, ctx context.Context, m *transport.Message, done func(error)) error {
		confirmed := make(chan struct{})
		err := inner.SendConfirmed(ctx, m, func(err error) {
			done(err)
			close(confirmed)
		})
		if err == nil {
			select {
			case <-confirmed:
			case <-time.After(tooLong):
			}
		}
		return err
	})},
	{"waits for room to confirm", "ConfirmBothWays", inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		m, err := c.Conn.Recv(ctx)
		if err == nil && len(m.Body) == 1<<10 {
			ctx, cancel := context.WithTimeout(ctx, tooLong)
			defer cancel()
			_ = c.Conn.Send(ctx, &transport.Message{Body: make([]byte, 1000)})
		}
		return m, err
	})},
	{"flushes nothing", "Flush", func() *broken {
		return &broken{conn: func(c *conn) {
			c.own = flusher{Conn: c.Conn, flush: func(context.Context) error { return nil }}
		}}
	}},
	{"flushes for ever", "FlushContext", func() *broken {
		return &broken{conn: func(c *conn) {
			inner, _ := transport.As[transport.Flusher](c.Conn)
			c.own = flusher{Conn: c.Conn, flush: func(context.Context) error {
				ctx, cancel := context.WithTimeout(context.Background(), tooLong)
				defer cancel()
				if inner.Flush(ctx) != nil {
					return transport.ErrBusy
				}
				return nil
			}}
		}}
	}},
}

var accessDefects = []defect{
	{"has another Info each time", "Info", inInfo(func(c *conn, i *transport.Info) { i.Version = fmt.Sprint(c.next()) })},
	{"does not say its limits", "Info", inInfo(func(_ *conn, i *transport.Info) { i.Limits = transport.Limits{} })},
	{"does not say that it has TLS", "InfoTLS", inInfo(func(_ *conn, i *transport.Info) { i.TLS = nil })},
	{"lets everybody in", "Authentication", inListen(func(o *transport.ListenOptions) { o.Authenticator = nil })},
	{"lets in without a password", "Authentication", inListen(func(o *transport.ListenOptions) {
		if o.Authenticator != nil {
			o.Authenticator = lenient{o.Authenticator}
		}
	})},
	{"tells why it refuses", "Credentials", func() *broken {
		return &broken{listen: func(o *transport.ListenOptions) {
			if w, ok := o.Authenticator.(interface {
				Authenticate(context.Context, transport.Credentials) (string, error)
			}); ok {
				if _, err := w.Authenticate(context.Background(), transport.Credentials{}); err != nil {
					o.VirtualHosts = []string{err.Error()}
				}
			}
		}}
	}},
	{"serves every virtual host", "VirtualHost", inListen(func(o *transport.ListenOptions) { o.VirtualHosts = nil })},
	{"ends for good at a loss", "Redial", inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		m, err := c.Conn.Recv(ctx)
		if errors.Is(err, transport.ErrClosed) {
			wait(tooLong)
		}
		return m, err
	})},
	{"sends again what was lost", "RedialSend", func() *broken {
		var mu sync.Mutex
		var last *transport.Message
		return &broken{client: func(c *conn) {
			mu.Lock()
			defer mu.Unlock()
			if last != nil {
				_ = c.Conn.Send(context.Background(), last)
			}
			c.send = func(ctx context.Context, m *transport.Message) error {
				mu.Lock()
				defer mu.Unlock()
				last = &transport.Message{Body: slices.Clone(m.Body)}
				return c.Conn.Send(ctx, m)
			}
		}}
	}},
	{"subscribes once only", "RedialSubscriptions", func() *broken {
		var conns atomic.Int32
		return &broken{client: func(c *conn) {
			if conns.Add(1) == 1 {
				return
			}
			c.own = subscriber{Conn: c.Conn, subscribe: func(_ context.Context, s transport.Subscription) (string, error) { return s.ID, nil }}
		}}
	}},
	{"closes a lost connection slowly", "RedialClose", inClose(func(c *conn) error {
		wait(tooLong)
		return c.Conn.Close()
	})},
}

// lenient takes an empty password for the right one.
type lenient struct{ transport.Authenticator }

func (l lenient) Authenticate(ctx context.Context, c transport.Credentials) (string, error) {
	if c.Password == "" {
		return c.User, nil
	}
	return l.Authenticator.Authenticate(ctx, c)
}

// TestBroken tests the suite: each defect is found by the rule that it breaks,
// which holds for the wire that the defect was built into, and each rule finds
// some defect.
func TestBroken(t *testing.T) {
	untried := map[string]bool{}
	for _, r := range conformance.Rules() {
		untried[r.Name] = true
	}
	for _, d := range slices.Concat(messageDefects, orderDefects, sendDefects, recvDefects, closeDefects, lossDefects,
		timeDefects, routeDefects, settleDefects, confirmDefects, accessDefects) {
		delete(untried, d.rule)
		t.Run(d.rule+"/"+d.name, func(t *testing.T) {
			rule, ok := conformance.Lookup(d.rule)
			if !ok {
				t.Fatalf("there is no rule %s", d.rule)
			}
			b := d.broken()
			h := conformance.Harness{Transport: b, URL: b.url()}
			got := rule.Try(t, &h)
			if got.Verdict != conformance.Failed {
				t.Errorf("%s of a wire that %s: %s %s, want %s", d.rule, d.name, got.Verdict, got.Log, conformance.Failed)
			}
			t.Logf("%s", got.Log)
			h.Transport = (&broken{wire: b.wire}).base()
			if got := rule.Try(t, &h); got.Verdict != conformance.Passed {
				t.Errorf("%s of the wire without the defect: %s %s", d.rule, got.Verdict, got.Log)
			}
		})
	}
	for name := range untried {
		t.Errorf("no defect breaks the rule %s", name)
	}
}
