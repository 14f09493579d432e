package transport

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// RedialOptions adjust [Redial]. A nil pointer means the defaults.
type RedialOptions struct {
	DialOptions
	// First and Most bound the pause between attempts, which grows from the one
	// to the other by half each time; what is waited is between half and one
	// and a half of it, by chance. Zero means 100 ms and 10 s.
	First, Most time.Duration
	// GiveUp ends the connection for good when an outage lasts longer. Zero
	// means never.
	GiveUp time.Duration
	// Dial makes a connection. Nil means [Dial] to the URL with DialOptions.
	Dial func(ctx context.Context) (Conn, error)
}

// Redial connects as [Dial] does and returns a Conn that outlives the loss of
// the connection below it: it dials again with growing, random pauses and
// renews its subscriptions.
//
// Each loss makes Recv return one error that wraps [ErrReconnecting]: all that
// was sent before and not answered is unknown. The next Recv does the dialing,
// and a Send waits for it, within its ctx. The ctx of Recv bounds an attempt,
// too. Nothing is ever sent twice. The first attempt is made before Redial
// returns, and its failure is returned. A peer that refuses ([ErrRefused]) on
// the first connection, before anything else came from it, has refused what
// was asked for, such as a subscription, and that is the end. Connections that
// are lost as soon as they are made are made again at the pace of failures.
func Redial(ctx context.Context, rawURL string, o *RedialOptions) (Conn, error) {
	if o == nil {
		o = new(RedialOptions)
	}
	u, s, err := lookup(rawURL)
	if err != nil {
		return nil, &OpError{Op: "dial", Err: err}
	}
	d := o.DialOptions.WithDefaults()
	r := &redialer{url: u, scheme: s, o: *o, log: d.Logger, receiving: make(chan struct{}, 1), up: make(chan struct{})}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	if r.o.Dial == nil {
		r.o.Dial = func(ctx context.Context) (Conn, error) { return dial(ctx, u, s, d) }
	}
	c, err := r.o.Dial(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.set(c); err != nil {
		return nil, err
	}
	return r, nil
}

type redialer struct {
	url    *url.URL
	scheme Scheme
	o      RedialOptions
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelCauseFunc

	receiving chan struct{} // held by Recv
	outage    outage        // protected by receiving
	heard     bool          // something was received, or lost; protected by receiving

	mu       sync.Mutex // protects the fields below
	followed Conn       // what Recv reads from, also when a sender found it dead
	conn     Conn       // what senders use; nil during an outage
	last     *Info
	up       chan struct{} // closed when conn is set
	subs     []*renewable
	lastID   uint64
	gathers  bool
}

// A renewable is a subscription with the connection that it was last asked of.
type renewable struct {
	Subscription
	on Conn
}

// set makes c the connection in use, unless all is closed by now.
func (r *redialer) set(c Conn) error {
	r.mu.Lock()
	closed := context.Cause(r.ctx)
	if closed == nil {
		r.conn, r.followed, r.last = c, c, c.Info()
		if g, ok := As[Gatherer](c); ok && r.gathers {
			g.Gather()
		}
		close(r.up)
	}
	r.mu.Unlock()
	if closed != nil {
		_ = c.Close()
	}
	return closed
}

// lost makes senders wait for another connection than c.
func (r *redialer) lost(c Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conn == c {
		r.conn, r.up = nil, make(chan struct{})
	}
}

// current waits for a connection.
func (r *redialer) current(ctx context.Context, op string) (Conn, error) {
	for {
		r.mu.Lock()
		c, up := r.conn, r.up
		r.mu.Unlock()
		if err := context.Cause(r.ctx); err != nil {
			return nil, r.opError(op, err)
		}
		if c != nil {
			return c, nil
		}
		select {
		case <-up:
		case <-r.ctx.Done():
		case <-ctx.Done():
			return nil, r.opError(op, fmt.Errorf("%w: %w", ErrBusy, context.Cause(ctx)))
		}
	}
}

func (r *redialer) opError(op string, err error) error {
	return &OpError{Op: op, Scheme: r.scheme.Name, Addr: r.url.Host, Err: err}
}

// Send waits for a connection if there is none, and sends by it. A message that
// an old connection refused because it was gone is tried on the next.
func (r *redialer) Send(ctx context.Context, m *Message) error {
	return r.do(ctx, "send", func(c Conn) error { return c.Send(ctx, m) })
}

// do runs f on the current connection, and on the next one if the first was
// gone before anything was sent.
func (r *redialer) do(ctx context.Context, op string, f func(Conn) error) error {
	for {
		c, err := r.current(ctx, op)
		if err != nil {
			return err
		}
		err = f(c)
		if err == nil || !NotSent(err) || !errors.Is(err, ErrClosed) && !errors.Is(err, ErrHeartbeat) && !errors.Is(err, ErrStalled) {
			return err
		}
		if r.ctx.Err() == nil {
			r.lost(c) // Recv will find the same
		}
	}
}

// Recv receives from the current connection, or makes a new one.
func (r *redialer) Recv(ctx context.Context) (*Message, error) {
	r.receiving <- struct{}{}
	defer func() { <-r.receiving }()
	if r.follows() == nil {
		if err := r.again(ctx); err != nil {
			return nil, err
		}
	}
	c := r.follows()
	m, err := c.Recv(ctx)
	if err == nil || ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		r.heard = r.heard || err == nil
		return m, err
	}
	if !r.heard && errors.Is(err, ErrRefused) {
		r.cancel(cause(err))
	}
	r.heard = true
	if closed := context.Cause(r.ctx); closed != nil {
		return nil, r.opError("receive", closed)
	}
	r.lost(c)
	_ = c.Close()
	r.mu.Lock()
	r.followed = nil
	r.mu.Unlock()
	return nil, r.opError("receive", fmt.Errorf("%w: %w", ErrReconnecting, cause(err)))
}

func (r *redialer) follows() Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.followed
}

// An outage is a time without connection, or with none that lasted. It outlives
// a Recv whose ctx ends.
type outage struct {
	began, ended time.Time // ended is zero while it lasts
	next         time.Time // when the next attempt is due
	pauses       backoff.ExponentialBackOff
}

// lasts reports whether an outage is under way.
func (o *outage) lasts() bool { return !o.began.IsZero() && o.ended.IsZero() }

// begin starts an outage, unless one is under way.
func (o *outage) begin(first, most time.Duration) {
	now := time.Now()
	switch {
	case o.lasts():
		return
	case !o.began.IsZero() && now.Sub(o.ended) < most:
		o.began, o.ended, o.next = now, time.Time{}, now.Add(o.pauses.NextBackOff())
		return
	}
	o.began, o.ended, o.next = now, time.Time{}, now
	o.pauses = backoff.ExponentialBackOff{InitialInterval: first, MaxInterval: most, Multiplier: 1.5, RandomizationFactor: 0.5}
	o.pauses.Reset()
}

// again dials until it has a connection with all subscriptions renewed.
func (r *redialer) again(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(r.ctx, func() { cancel(context.Cause(r.ctx)) })()
	o := &r.outage
	o.begin(cmp.Or(r.o.First, 100*time.Millisecond), cmp.Or(r.o.Most, 10*time.Second))
	for {
		select {
		case <-time.After(time.Until(o.next)):
		case <-ctx.Done():
		}
		if closed := context.Cause(r.ctx); closed != nil {
			return r.opError("receive", closed)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		err := r.attempt(ctx)
		if err == nil {
			o.ended = time.Now()
			return nil
		}
		r.log.Warn("cannot reconnect", "to", r.url.Host, "err", err)
		o.next = time.Now().Add(o.pauses.NextBackOff())
		if r.o.GiveUp > 0 && time.Since(o.began) > r.o.GiveUp {
			r.cancel(WithReason(ErrClosed, "gave up reconnecting: "+err.Error()))
		}
	}
}

func (r *redialer) attempt(ctx context.Context) error {
	c, err := r.o.Dial(ctx)
	if err != nil {
		return err
	}
	r.mu.Lock()
	subs := slices.Clone(r.subs)
	r.mu.Unlock()
	for _, s := range subs {
		if err := r.renew(ctx, c, s); err != nil {
			_ = c.Close()
			return err
		}
	}
	if err := r.set(c); err != nil {
		return err
	}
	for _, s := range subs { // some may have been given up meanwhile
		if !r.wants(s) {
			if sub, ok := As[Subscriber](c); ok {
				_ = sub.Unsubscribe(ctx, s.ID) // if it fails the connection has, and Recv will see
			}
		}
	}
	return nil
}

func (r *redialer) wants(s *renewable) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.subs, s)
}

// Close ends the connection and all attempts to make one.
func (r *redialer) Close() error {
	r.cancel(ErrClosed)
	if c := r.follows(); c != nil {
		return c.Close()
	}
	return nil
}

// Info returns that of the current connection or, during an outage, the last.
func (r *redialer) Info() *Info {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// renew asks c for a subscription, once.
func (r *redialer) renew(ctx context.Context, c Conn, s *renewable) error {
	sub, ok := As[Subscriber](c)
	if !ok {
		return r.opError("subscribe", ErrUnsupported)
	}
	r.mu.Lock()
	done := s.on == c
	s.on = c
	r.mu.Unlock()
	if done {
		return nil
	}
	_, err := sub.Subscribe(ctx, s.Subscription)
	return err
}

// Subscribe subscribes now and after every reconnect.
func (r *redialer) Subscribe(ctx context.Context, s Subscription) (id string, err error) {
	r.mu.Lock()
	taken := func() bool { return slices.ContainsFunc(r.subs, func(o *renewable) bool { return o.ID == s.ID }) }
	for auto := s.ID == ""; auto && (s.ID == "" || taken()); {
		r.lastID++
		s.ID = "sub-" + strconv.FormatUint(r.lastID, 10)
	}
	if taken() {
		r.mu.Unlock()
		return "", r.opError("subscribe", WithReason(ErrInvalid, "subscription id "+strconv.Quote(s.ID)+" is in use"))
	}
	own := &renewable{Subscription: s}
	r.subs = append(r.subs, own)
	r.mu.Unlock()
	err = r.do(ctx, "subscribe", func(c Conn) error { return r.renew(ctx, c, own) })
	if err != nil {
		c := r.forget(s.ID)
		if sub, ok := As[Subscriber](c); ok && own.on == c {
			_ = sub.Unsubscribe(ctx, s.ID) // it may have been renewed meanwhile
		}
		return "", err
	}
	return s.ID, nil
}

// forget drops a subscription and returns the connection in use.
func (r *redialer) forget(id string) Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.subs = slices.DeleteFunc(r.subs, func(s *renewable) bool { return s.ID == id })
	return r.conn
}

// Unsubscribe forgets the subscription, also when there is no connection.
func (r *redialer) Unsubscribe(ctx context.Context, id string) error {
	if sub, ok := As[Subscriber](r.forget(id)); ok {
		return sub.Unsubscribe(ctx, id)
	}
	return nil
}

// ReplyAddress is that of the current connection; it may change with it.
func (r *redialer) ReplyAddress(ctx context.Context) (addr string, err error) {
	err = r.do(ctx, "subscribe", func(c Conn) error {
		if a, ok := As[ReplyAddresser](c); ok {
			addr, err = a.ReplyAddress(ctx)
			return err
		}
		addr = ""
		return nil
	})
	return addr, err
}

// SendConfirmed is that of the current connection.
func (r *redialer) SendConfirmed(ctx context.Context, m *Message, done func(error)) error {
	return r.do(ctx, "send", func(c Conn) error {
		if f, ok := As[Confirmer](c); ok {
			return f.SendConfirmed(ctx, m, done)
		}
		return r.opError("send", ErrUnsupported)
	})
}

// Grant is that of the current connection.
func (r *redialer) Grant(ctx context.Context, subscription string, n int) error {
	return r.do(ctx, "subscribe", func(c Conn) error {
		if f, ok := As[Crediter](c); ok {
			return f.Grant(ctx, subscription, n)
		}
		return r.opError("subscribe", ErrUnsupported)
	})
}

// Gather is that of the current connection, and of those to come.
func (r *redialer) Gather() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gathers = true
	if g, ok := As[Gatherer](r.followed); ok {
		g.Gather()
	}
}

// Release is that of the current connection.
func (r *redialer) Release() {
	if g, ok := As[Gatherer](r.follows()); ok {
		g.Release()
	}
}

// Flush is that of the current connection; without one nothing waits.
func (r *redialer) Flush(ctx context.Context) error {
	r.mu.Lock()
	c := r.conn
	r.mu.Unlock()
	if f, ok := As[Flusher](c); ok {
		return f.Flush(ctx)
	}
	return nil
}
