package rpc

import (
	"context"
	"sync"
	"sync/atomic"
)

// discoverMethod returns the OpenRPC document of the server's [Mux].
const discoverMethod = reserved + "discover"

func init() { //nolint:gochecknoinits // builtin is for package initialization
	builtin(&method{name: discoverMethod, invoke: discover})
}

func discover(ctx context.Context, params, dst []byte) ([]byte, error) {
	r, ok := ctx.Value(requestKey{}).(*request)
	if !ok || r.session.mux == nil {
		return dst, Errorf(CodeMethodNotFound, "method %q not found", discoverMethod)
	}
	if err := nothing.bind(params, new(struct{})); err != nil {
		return dst, err
	}
	text, err := r.session.mux.document.text(r.session.mux)
	if err != nil {
		return dst, Errorf(CodeInternal, "the document cannot be made: %v", err)
	}
	return append(dst, text...), nil
}

// nothing binds params of a method that has none.
var nothing = newBinder[struct{}](MuxOptions{Codec: JSON()})

// A discovery keeps the document of a Mux until the Mux changes.
type discovery struct {
	edition atomic.Uint64 // of the Mux; changes with it

	mu   sync.Mutex // protects the fields below
	made uint64     // the edition whose document is kept, and 1
	kept []byte
}

// changed is called after a change of the Mux.
func (d *discovery) changed() { d.edition.Add(1) }

func (d *discovery) text(m *Mux) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	edition := d.edition.Load() + 1 // before the methods are read, so that a change meanwhile is noticed
	if d.made == edition {
		return d.kept, nil
	}
	text, err := m.Document().Append(nil)
	if err != nil {
		return nil, err
	}
	d.made, d.kept = edition, text
	return text, nil
}
