package transport

import (
	"cmp"
	"context"
	"errors"
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
	// First and Most are the shortest and the longest pause between attempts;
	// it grows by half each time, and half of it is chance. Zero means 100 ms
	// and 10 s.
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
// and a Send waits for it, within its ctx. Nothing is ever sent twice. The
// first attempt is made before Redial returns, and its failure is returned.
func Redial(ctx context.Context, rawURL string, o *RedialOptions) (Conn, error) {
	if o == nil {
		o = new(RedialOptions)
	}
	u, s, err := lookup(rawURL)
	if err != nil {
		return nil, &OpError{Op: "dial", Err: err}
	}
	d := o.DialOptions.WithDefaults()
	r := &redialer{url: u, scheme: s, o: *o, log: d.Logger, up: make(chan struct{})}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	if r.o.Dial == nil {
		r.o.Dial = func(ctx context.Context) (Conn, error) { return dial(ctx, u, s, d) }
	}
	c, err := r.o.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return r, r.set(c)
}

type redialer struct {
	url    *url.URL
	scheme Scheme
	o      RedialOptions
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelCauseFunc

	receiving sync.Mutex // held by Recv
	followed  Conn       // what Recv reads from; protected by receiving
	mu        sync.Mutex // protects the fields below
	conn      Conn       // what senders use; nil during an outage
	last      *Info
	up        chan struct{} // closed when conn is set
	subs      []*renewable
	lastID    uint64
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
			return nil, r.opError(op, errors.Join(ErrBusy, context.Cause(ctx)))
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
	r.receiving.Lock()
	defer r.receiving.Unlock()
	if r.followed == nil {
		if err := r.again(ctx); err != nil {
			return nil, err
		}
	}
	c := r.followed
	m, err := c.Recv(ctx)
	if err == nil || ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return m, err
	}
	if closed := context.Cause(r.ctx); closed != nil {
		return nil, r.opError("receive", closed)
	}
	_ = c.Close()
	r.lost(c)
	r.followed = nil
	return nil, r.opError("receive", errors.Join(ErrReconnecting, cause(err)))
}

// again dials until it has a connection with all subscriptions renewed.
func (r *redialer) again(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(r.ctx, func() { cancel(context.Cause(r.ctx)) })()
	pauses := &backoff.ExponentialBackOff{
		InitialInterval: cmp.Or(r.o.First, 100*time.Millisecond), MaxInterval: cmp.Or(r.o.Most, 10*time.Second),
		Multiplier: 1.5, RandomizationFactor: 0.5,
	}
	pauses.Reset()
	start := time.Now()
	for {
		err := r.attempt(ctx)
		if err == nil {
			return nil
		}
		r.log.Warn("cannot reconnect", "to", r.url.Host, "err", err)
		if r.o.GiveUp > 0 && time.Since(start) > r.o.GiveUp {
			r.cancel(WithReason(ErrClosed, "gave up reconnecting: "+err.Error()))
		}
		select {
		case <-time.After(pauses.NextBackOff()):
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			if closed := context.Cause(r.ctx); closed != nil {
				return r.opError("receive", closed)
			}
			return context.Cause(ctx)
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
	return r.set(c)
}

// Close ends the connection and all attempts to make one.
func (r *redialer) Close() error {
	r.cancel(ErrClosed)
	r.mu.Lock()
	c := r.conn
	r.mu.Unlock()
	if c == nil {
		return nil
	}
	return c.Close()
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
	if s.ID == "" {
		r.lastID++
		s.ID = "sub-" + strconv.FormatUint(r.lastID, 10)
	}
	if slices.ContainsFunc(r.subs, func(o *renewable) bool { return o.ID == s.ID }) {
		r.mu.Unlock()
		return "", r.opError("subscribe", WithReason(ErrInvalid, "subscription id "+strconv.Quote(s.ID)+" is in use"))
	}
	own := &renewable{Subscription: s}
	r.subs = append(r.subs, own)
	r.mu.Unlock()
	err = r.do(ctx, "subscribe", func(c Conn) error { return r.renew(ctx, c, own) })
	if err != nil {
		r.forget(s.ID)
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
