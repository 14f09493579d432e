package rpc

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/polyport/polyport/rpc/openrpc"
)

// A Mux finds the handler of a method by its name. Handlers are added with
// [Handle] and [Mux.Register] before it is used; adding one later is safe too.
// A Mux is safe for concurrent use.
type Mux struct {
	o MuxOptions

	mu      sync.RWMutex // protects the field below
	methods map[string]*method

	document discovery
}

// MuxOptions adjust a [Mux]. A nil pointer means the defaults.
type MuxOptions struct {
	// Codec decodes params and encodes results. Nil means [JSON].
	Codec Codec
	// Lenient accepts params with unknown names, and params that lack names. By
	// default both are refused with [CodeInvalidParams].
	Lenient bool
	// Info is what [Mux.Document] says of the service as a whole. Without a title
	// and a version it gets some that mean nothing.
	Info openrpc.Info
	// Validate holds params to their schemas in [Mux.Document] before they are
	// decoded: null is refused where the document has none, and the data of the
	// error says path, what was expected and what came. It costs another pass over
	// the params: about a microsecond for a few values, and a tenth of one for
	// each value of a long array. It is for methods whose params the default codec decodes.
	Validate bool
}

// NewMux returns a Mux without methods.
func NewMux(o *MuxOptions) *Mux {
	m := &Mux{methods: make(map[string]*method)}
	if o != nil {
		m.o = *o
	}
	if m.o.Codec == nil {
		m.o.Codec = JSON()
	}
	return m
}

// A method is a handler made ready.
type method struct {
	name           string
	params, result reflect.Type // as the handler has them; result is nil if there is none
	fields         []field      // of params, if it is a struct
	invoke         invoke
	// at once has a built-in method served by the goroutine that receives, ahead
	// of all that waits in the queue. It must not wait for anything.
	atOnce bool
	// guarded has it pass through interceptors all the same, and so, if there are
	// any, through the queue: they may wait.
	guarded bool
	// later, if it is not nil, serves a built-in method instead of invoke. It
	// must not wait for anything, nor panic, and sees to it that the request is
	// answered once, by reply or fail, now or later.
	later func(*request)
	// o says more of it, and is replaced whole.
	o     atomic.Pointer[MethodOptions]
	quick credit // for calls that took little time
	brief credit // for calls that held up nobody, though they took some
}

// invoke decodes params, runs a handler and appends the JSON text of its result
// to dst.
type invoke func(ctx context.Context, params, dst []byte) ([]byte, error)

const (
	// little is about what it takes to have another goroutine do something.
	little = 20 * time.Microsecond
	// some is how long a call that is alone may keep others, which may come
	// meanwhile, from being received: half a tick.
	some = tick / 2
)

// took notes how long a call took. alone says whether no other was under way.
func (m *method) took(d time.Duration, alone func() bool) {
	m.quick.note(d <= little)
	m.brief.note(d <= little || d <= some && alone())
}

// doubt makes the method prove itself again.
func (m *method) doubt() {
	m.quick.n.Store(0)
	m.brief.n.Store(0)
}

// A credit is how well a method has proven itself: a good call earns 1, up to a
// most, and a bad one costs much.
type credit struct{ n atomic.Int32 }

const most, much, enough = 32, 8, 16

func (c *credit) note(good bool) {
	switch n := c.n.Load(); {
	case !good:
		c.n.Store(max(0, n-much))
	case n < most:
		c.n.Store(n + 1) // that it may lose a race does no harm
	}
}

func (c *credit) enough() bool { return c.n.Load() >= enough }

// add registers a method. It panics if the name cannot be used: that is a
// mistake in the program.
func (m *Mux) add(h *method) {
	if h.name == "" || strings.HasPrefix(h.name, reserved) {
		panic(fmt.Sprintf("rpc: method name %q is empty or reserved (specification, section 4.3)", h.name))
	}
	h.o.Store(new(MethodOptions))
	if m.o.Validate {
		h.invoke = m.validated(h)
	}
	defer m.document.changed()
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, taken := m.methods[h.name]; taken {
		panic(fmt.Sprintf("rpc: method %s is registered twice", h.name))
	}
	m.methods[h.name] = h
}

// find returns the method called name, or nil.
func (m *Mux) find(name []byte) *method {
	if m == nil {
		return nil
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.methods[string(name)]
}

// Methods returns the names of the methods in order.
func (m *Mux) Methods() []string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	names := make([]string, 0, len(m.methods))
	for name := range m.methods {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Handle registers fn as a method.
//
// A struct P takes params by name (an object whose names are those of P's
// fields) and by position (an array in the order of P's fields). Names match
// exactly. A field that is a pointer, or has the option omitempty or omitzero,
// may be left out; others may not, nor may there be unknown names, unless the
// Mux is Lenient. A slice or array P takes an array, a map an object;
// [json.RawMessage] and any take either as it is, and null without params; any
// other P takes an array of one. struct{} takes none.
//
// fn runs on a worker of the server's queue. Its ctx ends when the connection
// does, at the caller's deadline, when the caller takes the call back, and when fn
// returns; that of a call with a handle as [MethodOptions].Async has it. A plain
// error is answered with [CodeHandler] and its text, an [*Error]
// as it is, a panic with [CodeInternal]. Handle panics if the name is taken,
// empty or begins with "rpc.", or if P cannot be decoded.
func Handle[P, R any](m *Mux, name string, fn func(ctx context.Context, params P) (R, error)) {
	b := newBinder[P](m.o)
	codec := m.o.Codec
	h := &method{name: name, params: reflect.TypeFor[P](), result: reflect.TypeFor[R](), fields: b.fields}
	h.invoke = func(ctx context.Context, params, dst []byte) ([]byte, error) {
		var v struct { // both go to the codec by their addresses: one allocation
			p P
			r R
		}
		if params != nil {
			b.presize(&v.p)
		}
		err := b.bind(params, &v.p)
		if err != nil {
			return dst, err
		}
		if v.r, err = fn(ctx, v.p); err != nil {
			return dst, err
		}
		return appendResult(codec, dst, &v.r)
	}
	m.add(h)
}

// appendResult appends a result, and blames the handler if it cannot be
// encoded.
func appendResult(c Codec, dst []byte, r any) ([]byte, error) {
	out, err := c.Append(dst, r)
	if err != nil {
		return dst, &Error{Code: CodeInternal, Message: "the result cannot be encoded: " + err.Error()}
	}
	return out, nil
}
