package rpc

import (
	"context"
	"reflect"
)

// The methods by which a subscriber and a publisher talk to each other.
const (
	subscribeMethod   = "rpc.subscribe"
	unsubscribeMethod = "rpc.unsubscribe"
	moreMethod        = "rpc.events.more"
	gapMethod         = "rpc.events.gap"
	endMethod         = "rpc.events.end"
)

// maxSubscriptionID is how many bytes the name of a subscription may have.
const maxSubscriptionID = 64

type subscribeParams struct {
	Filter       string `json:"filter,omitzero"`
	Window       *int   `json:"window,omitzero"`
	Subscription string `json:"subscription,omitzero"`
}

type subscribed struct {
	Subscription string `json:"subscription"`
	// Lease is in milliseconds; 0 means that there is none.
	Lease int64 `json:"lease,omitzero"`
}

type unsubscribeParams struct {
	Subscription string `json:"subscription"`
}

type moreParams struct {
	Subscription string `json:"subscription"`
	N            int    `json:"n"`
}

type gapParams struct {
	Subscription string `json:"subscription"`
	Dropped      uint64 `json:"dropped"`
}

type endParams struct {
	Subscription string `json:"subscription"`
	Dropped      uint64 `json:"dropped"`
	Code         Code   `json:"code"`
	Message      string `json:"message"`
}

var _ = []*method{
	guarded(atOnce(subscribeMethod, serveSubscribe)),
	atOnce(unsubscribeMethod, serveUnsubscribe),
	atOnce(moreMethod, serveMore),
	atOnce(gapMethod, serveGap),
	atOnce(endMethod, serveEnd),
}

// atOnce registers a built-in method that is served by the goroutine that
// receives. fn must not wait for anything.
func atOnce[P, R any](name string, fn func(r *request, params P) (R, error)) *method {
	b, codec := newBinder[P](MuxOptions{Codec: JSON()}), JSON()
	h := &method{name: name, params: reflect.TypeFor[P](), result: reflect.TypeFor[R](), atOnce: true}
	h.invoke = func(ctx context.Context, params, dst []byte) ([]byte, error) {
		var p P
		if err := b.bind(params, &p); err != nil {
			return dst, err
		}
		r, _ := ctx.Value(requestKey{}).(*request)
		result, err := fn(r, p)
		if err != nil {
			return dst, err
		}
		return appendResult(codec, dst, &result)
	}
	h.o.Store(new(MethodOptions))
	builtin(h)
	return h
}

// guarded lets interceptors decide about a built-in method.
func guarded(h *method) *method {
	h.guarded = true
	return h
}

func serveSubscribe(r *request, p subscribeParams) (subscribed, error) {
	t := &r.session.subscribers
	if t.hub == nil {
		return subscribed{}, noPublisher(r)
	}
	if p.Filter == "" && p.Subscription == "" {
		return subscribed{}, invalidParams(`"filter" is missing`)
	}
	if p.Filter != "" {
		if err := checkWords(p.Filter); err != nil {
			return subscribed{}, invalidParams(err.Error())
		}
	}
	switch {
	case len(p.Subscription) > maxSubscriptionID:
		return subscribed{}, invalidParams(`"subscription" is longer than 64 bytes`)
	case p.Window != nil && (*p.Window < 0 || *p.Window > maxWindow):
		return subscribed{}, invalidParams(`"window" must be from 0 to 1048576`)
	}
	if err := r.mayHear(p.Filter); err != nil {
		return subscribed{}, err
	}
	s, err := t.subscribe(r.message.ReplyTo, p)
	if err != nil {
		return subscribed{}, err
	}
	answer := subscribed{Subscription: s.id}
	if t.shared() {
		answer.Lease = t.hub.o.Lease.Milliseconds()
	}
	return answer, nil
}

func serveUnsubscribe(r *request, p unsubscribeParams) (bool, error) {
	s, err := subscriberOf(r, p.Subscription)
	if err != nil {
		return false, err
	}
	s.end(nil)
	return true, nil
}

func serveMore(r *request, p moreParams) (bool, error) {
	if p.N < 0 || p.N > maxWindow {
		return false, invalidParams(`"n" must be from 0 to 1048576`)
	}
	s, err := subscriberOf(r, p.Subscription)
	if err != nil {
		return false, err
	}
	s.renew()
	s.grant(p.N)
	return true, nil
}

// subscriberOf finds a subscription of whoever made r.
func subscriberOf(r *request, id string) (*subscriber, error) {
	t := &r.session.subscribers
	if t.hub == nil {
		return nil, noPublisher(r)
	}
	if s := t.find(r.message.ReplyTo, id); s != nil {
		return s, nil
	}
	return nil, Errorf(CodeUnknownHandle, "there is no subscription %.100q", id)
}

func noPublisher(r *request) error {
	return Errorf(CodeMethodNotFound, "method %.100q not found: this end publishes nothing", r.msg.Method)
}
