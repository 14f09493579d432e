package conformance_test

import (
	"sync/atomic"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/stomp"
)

// atHub is a wire that does one thing differently towards the broker.
func atHub(f func(*hubDefect)) func() *broken {
	return func() *broken {
		d := new(hubDefect)
		f(d)
		return &broken{
			wire: stomp.Transport{},
			listen: func(o *transport.ListenOptions) {
				if o.Broker != nil {
					o.Broker = defectBroker{o.Broker, d}
				}
			},
			hostile: [][]byte{[]byte("CONNECT\naccept-version:1.2\n\n\x00SEND\ndestination:/queue/x\n\n\x00?")},
		}
	}
}

// A hubDefect stands between a wire and the broker. Fields that are nil are right.
type hubDefect struct {
	join    func(b transport.Broker, info *transport.Info) transport.BrokerSession
	send    func(s transport.BrokerSession, m *transport.Message, done func(error))
	attach  func(s transport.BrokerSession, want transport.Subscription, out transport.Outlet) (transport.Consumer, error)
	leave   func(s transport.BrokerSession)
	address func(transport.Consumer) string
	ready   func(transport.Consumer)
	settled func(c transport.Consumer, token uint64, o transport.Outcome)
	detach  func(transport.Consumer)
	deliver func(out transport.Outlet, m *transport.Message, token uint64) bool
	end     func(out transport.Outlet, why error)

	last transport.Consumer
	n    atomic.Int32
}

type (
	defectBroker struct {
		transport.Broker
		d *hubDefect
	}
	defectSession struct {
		transport.BrokerSession
		d *hubDefect
	}
	defectConsumer struct {
		transport.Consumer
		d *hubDefect
	}
	defectOutlet struct {
		transport.Outlet
		d *hubDefect
	}
)

func (b defectBroker) Join(info *transport.Info) transport.BrokerSession {
	if b.d.join != nil {
		return defectSession{b.d.join(b.Broker, info), b.d}
	}
	return defectSession{b.Broker.Join(info), b.d}
}

func (s defectSession) Send(m *transport.Message, done func(error)) {
	if s.d.send != nil {
		s.d.send(s.BrokerSession, m, done)
		return
	}
	s.BrokerSession.Send(m, done)
}

func (s defectSession) Attach(want transport.Subscription, out transport.Outlet) (c transport.Consumer, err error) {
	attach := s.d.attach
	if attach == nil {
		attach = transport.BrokerSession.Attach
	}
	if c, err = attach(s.BrokerSession, want, defectOutlet{out, s.d}); err != nil {
		return nil, err
	}
	s.d.last = c
	return defectConsumer{c, s.d}, nil
}

func (s defectSession) Leave() {
	if s.d.leave != nil {
		s.d.leave(s.BrokerSession)
		return
	}
	s.BrokerSession.Leave()
}

func (c defectConsumer) Address() string {
	if c.d.address != nil {
		return c.d.address(c.Consumer)
	}
	return c.Consumer.Address()
}

func (c defectConsumer) Ready() {
	if c.d.ready != nil {
		c.d.ready(c.Consumer)
		return
	}
	c.Consumer.Ready()
}

func (c defectConsumer) Settled(token uint64, o transport.Outcome) {
	if c.d.settled != nil {
		c.d.settled(c.Consumer, token, o)
		return
	}
	c.Consumer.Settled(token, o)
}

func (c defectConsumer) Detach() {
	if c.d.detach != nil {
		c.d.detach(c.Consumer)
		return
	}
	c.Consumer.Detach()
}

func (o defectOutlet) Deliver(m *transport.Message, token uint64) bool {
	if o.d.deliver != nil {
		return o.d.deliver(o.Outlet, m, token)
	}
	return o.Outlet.Deliver(m, token)
}

func (o defectOutlet) End(why error) {
	if o.d.end != nil {
		o.d.end(o.Outlet, why)
		return
	}
	o.Outlet.End(why)
}

// A deafConsumer is one that the broker knows nothing of.
type deafConsumer struct{}

func (deafConsumer) Address() string                   { return "" }
func (deafConsumer) Ready()                            {}
func (deafConsumer) Settled(uint64, transport.Outcome) {}
func (deafConsumer) Detach()                           {}

// spoilt is a defect of the messages given to the broker.
func spoilt(f func(m *transport.Message)) func() *broken {
	return atHub(func(d *hubDefect) {
		d.send = func(s transport.BrokerSession, m *transport.Message, done func(error)) {
			f(m)
			s.Send(m, done)
		}
	})
}

var hubDefects = []defect{
	{"introduces itself twice", "HubJoin", atHub(func(d *hubDefect) {
		d.join = func(b transport.Broker, info *transport.Info) transport.BrokerSession {
			b.Join(info)
			return b.Join(info)
		}
	})},
	{"never leaves", "HubJoin", atHub(func(d *hubDefect) { d.leave = func(transport.BrokerSession) {} })},
	{"leaves twice", "HubJoin", atHub(func(d *hubDefect) {
		d.leave = func(s transport.BrokerSession) {
			s.Leave()
			s.Leave()
		}
	})},
	{"says nothing of who it is", "HubJoin", atHub(func(d *hubDefect) {
		d.join = func(b transport.Broker, _ *transport.Info) transport.BrokerSession {
			return b.Join(new(transport.Info))
		}
	})},
	{"forgets the subject", "HubSend", spoilt(func(m *transport.Message) { m.Subject = "" })},
	{"forgets headers", "HubSend", spoilt(func(m *transport.Message) { m.Headers = nil })},
	{"uses the bytes of a message again", "HubBytes", func() *broken {
		var before *transport.Message
		return spoilt(func(m *transport.Message) {
			if before != nil {
				copy(before.Body, m.Body)
			}
			before = m
		})()
	}},
	{"swaps two messages", "HubSendOrder", atHub(func(d *hubDefect) {
		var kept *transport.Message
		d.send = func(s transport.BrokerSession, m *transport.Message, done func(error)) {
			if d.n.Add(1) == 200 {
				kept = m
				done(nil)
				return
			}
			s.Send(m, done)
			if kept != nil {
				s.Send(kept, func(error) {})
				kept = nil
			}
		}
	})},
	{"confirms too early", "HubConfirm", atHub(func(d *hubDefect) {
		d.send = func(s transport.BrokerSession, m *transport.Message, done func(error)) {
			s.Send(m, func(error) {})
			done(nil)
		}
	})},
	{"keeps a refusal to itself", "HubRefused", atHub(func(d *hubDefect) {
		d.send = func(s transport.BrokerSession, m *transport.Message, done func(error)) {
			s.Send(m, func(error) { done(nil) })
		}
	})},
	{"does not say why", "HubRefused", atHub(func(d *hubDefect) {
		d.send = func(s transport.BrokerSession, m *transport.Message, done func(error)) {
			s.Send(m, func(err error) {
				if err != nil {
					err = transport.ErrRefused
				}
				done(err)
			})
		}
	})},
	{"takes without a bound", "HubUndone", func() *broken {
		return &broken{wire: stomp.Transport{}, listen: func(o *transport.ListenOptions) { o.Limits.Unsettled = 1000 }}
	}},
	{"names no private address", "HubReplyTo", atHub(func(d *hubDefect) {
		d.address = func(transport.Consumer) string { return "/queue/answers" }
	})},
	{"loses an answer's body", "HubAnswers", spoilt(func(m *transport.Message) { m.Body = nil })},
	{"never leaves", "HubHostile", atHub(func(d *hubDefect) { d.leave = func(transport.BrokerSession) {} })},
	{"asks for something else", "HubAttach", atHub(func(d *hubDefect) {
		d.attach = func(s transport.BrokerSession, want transport.Subscription, out transport.Outlet) (transport.Consumer, error) {
			want.Destination += "s"
			return s.Attach(want, out)
		}
	})},
	{"keeps a refusal to itself", "HubAttachRefused", atHub(func(d *hubDefect) {
		d.attach = func(s transport.BrokerSession, want transport.Subscription, out transport.Outlet) (transport.Consumer, error) {
			if c, err := s.Attach(want, out); err == nil {
				return c, nil
			}
			return deafConsumer{}, nil
		}
	})},
	{"lets others have the requests", "HubServed", func() *broken {
		return &broken{wire: stomp.Transport{}, listen: func(o *transport.ListenOptions) { o.Destinations = []string{"other"} }}
	}},
	{"swaps two messages", "HubOrder", atHub(func(d *hubDefect) {
		var kept *transport.Message
		d.deliver = func(out transport.Outlet, m *transport.Message, token uint64) bool {
			if d.n.Add(1) == 200 {
				kept = m
				return true
			}
			if taken := out.Deliver(m, token); !taken || kept == nil {
				return taken
			}
			out.Deliver(kept, token)
			kept = nil
			return true
		}
	})},
	{"does not say what was delivered before", "HubAttempt", atHub(func(d *hubDefect) {
		d.deliver = func(out transport.Outlet, m *transport.Message, token uint64) bool {
			own := *m
			own.Attempt = 0
			return out.Deliver(&own, token)
		}
	})},
	{"settles twice", "HubSettled", atHub(func(d *hubDefect) {
		d.settled = func(c transport.Consumer, token uint64, o transport.Outcome) {
			c.Settled(token, o)
			c.Settled(token, o)
		}
	})},
	{"takes every outcome for success", "HubSettled", atHub(func(d *hubDefect) {
		d.settled = func(c transport.Consumer, token uint64, _ transport.Outcome) { c.Settled(token, transport.Accepted) }
	})},
	{"settles what was sent", "HubSettled", atHub(func(d *hubDefect) {
		d.deliver = func(out transport.Outlet, m *transport.Message, token uint64) bool {
			taken := out.Deliver(m, token)
			if taken {
				d.last.Settled(token, transport.Accepted)
			}
			return taken
		}
		d.settled = func(transport.Consumer, uint64, transport.Outcome) {}
	})},
	{"settles the last only", "HubSettledUpTo", atHub(func(d *hubDefect) {
		d.settled = func(c transport.Consumer, token uint64, o transport.Outcome) {
			if token == 2 || token == 4 {
				c.Settled(token, o)
			}
		}
	})},
	{"does not say that there is room", "HubCredit", atHub(func(d *hubDefect) { d.ready = func(transport.Consumer) {} })},
	{"does not look at credit", "HubCredit", atHub(func(d *hubDefect) {
		d.attach = func(s transport.BrokerSession, want transport.Subscription, out transport.Outlet) (transport.Consumer, error) {
			return s.Attach(want, out)
		}
		d.deliver = func(out transport.Outlet, m *transport.Message, token uint64) bool {
			out.Deliver(m, token)
			return true
		}
	})},
	{"waits for the peer", "HubRoom", atHub(func(d *hubDefect) {
		d.deliver = func(out transport.Outlet, m *transport.Message, token uint64) bool {
			if !out.Deliver(m, token) {
				wait(time.Second)
				return out.Deliver(m, token)
			}
			return true
		}
	})},
	{"does not say that there is room", "HubRoom", atHub(func(d *hubDefect) { d.ready = func(transport.Consumer) {} })},
	{"drops a message now and then", "HubRoom", atHub(func(d *hubDefect) {
		d.deliver = func(out transport.Outlet, m *transport.Message, token uint64) bool {
			return d.n.Add(1)%3 == 0 || out.Deliver(m, token)
		}
	})},
	{"does not tell of an Unsubscribe", "HubDetach", atHub(func(d *hubDefect) { d.detach = func(transport.Consumer) {} })},
	{"takes messages when all is over", "HubLeave", atHub(func(d *hubDefect) {
		d.deliver = func(out transport.Outlet, m *transport.Message, token uint64) bool {
			return out.Deliver(m, token) || token == 3
		}
	})},
	{"has room when all is over", "HubLeave", atHub(func(d *hubDefect) {
		d.leave = func(s transport.BrokerSession) {
			s.Leave()
			d.last.Ready()
		}
	})},
	{"does not tell of the end", "HubEnd", atHub(func(d *hubDefect) { d.end = func(transport.Outlet, error) {} })},
	{"loses room", "HubChurn", atHub(func(d *hubDefect) {
		d.ready = func(c transport.Consumer) {
			if d.n.Add(1)%20 != 0 {
				c.Ready()
			}
		}
	})},
	{"delivers twice", "HubChurn", atHub(func(d *hubDefect) {
		d.deliver = func(out transport.Outlet, m *transport.Message, token uint64) bool {
			taken := out.Deliver(m, token)
			if taken && d.n.Add(1)%50 == 0 {
				out.Deliver(m, token)
			}
			return taken
		}
	})},
}
