package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/polyport/polyport/transport"
)

// presenceRules are about what can be seen of the wire from a client's end.
var presenceRules = []Rule{
	{
		Name:  "Handshake",
		Text:  "A client is let in and told what was agreed on: the wire, both ends, its own limits; the same for the connection's life.",
		check: checkHandshake,
	},
	{
		Name:  "Goodbye",
		Text:  "A client's Close returns within the linger time, ends its Recv with ErrClosed, and others are let in after it.",
		check: checkGoodbye,
	},
	{
		Name:  "GarbageOpening",
		Text:  "A peer that sends what is not the wire, and then no more, is cut off, and a good client goes on.",
		needs: needsServer,
		check: checkGarbageOpening,
	},
	{
		Name:  "SilentOpening",
		Text:  "A peer that does not finish the wire's handshake is cut off when its time is over, and keeps nobody waiting.",
		needs: needsServer,
		check: checkSilentOpening,
	},
}

func checkHandshake(r *rig) {
	limits := transport.Limits{Message: 123_456, HeaderBytes: 12_345, Headers: 99, Subscriptions: 17, Unsettled: 55}
	c := r.visit(func(o *transport.Options) { o.Limits = limits })
	before := *c.Info()
	a := &asker{rig: r, conn: c, back: r.replyAddress(c)}
	a.check(refused(request(noMethod, "", "1"), "1", -32601))
	i := c.Info()
	if r.h.URL != "" && i.Scheme != r.h.name() {
		r.Errorf("Scheme = %q, want the URL's, %q", i.Scheme, r.h.name())
	}
	if i.Local == nil || i.Remote == nil {
		r.Errorf("Local = %v, Remote = %v, want the ends of the byte stream", i.Local, i.Remote)
	}
	if i.Limits != limits {
		r.Errorf("Limits = %+v, want those of the options, %+v", i.Limits, limits)
	}
	if fmt.Sprint(*i) != fmt.Sprint(before) {
		r.Errorf("Info = %+v, before it was %+v", *i, before)
	}
}

func checkGoodbye(r *rig) {
	const linger = time.Second
	a := r.asker()
	a.check(refused(request(noMethod, "", "1"), "1", -32601))
	leaving := r.visit(func(o *transport.Options) { o.Linger = linger })
	over := make(chan error, 1)
	r.Go(func() {
		_, err := leaving.Recv(r.Context())
		over <- err
	})
	start := time.Now()
	r.close(leaving)
	if took := time.Since(start); took > 2*linger {
		r.Errorf("Close took %v, want at most the linger time, %v", took, linger)
	}
	select {
	case err := <-over:
		r.wantClosed("Recv", err)
	case <-r.soon().Done():
		r.Errorf("Recv has not returned %v after Close", r.patience())
	}
	a.check(refused(request(noMethod, "", "2"), "2", -32601))
	r.asker().check(refused(request(noMethod, "", "3"), "3", -32601))
}

// intrude sends an opening on a fresh stream, and nothing more if half is set,
// and reports whether the server cuts it off within d.
func (r *rig) intrude(name string, nc net.Conn, opening []byte, half bool, d time.Duration) (cut bool) {
	defer func() { _ = nc.Close() }()
	_ = nc.SetDeadline(time.Now().Add(d))
	var wrote sync.WaitGroup
	wrote.Go(func() {
		_, err := nc.Write(opening)
		if h, ok := nc.(interface{ CloseWrite() error }); ok && half && err == nil {
			_ = h.CloseWrite()
		}
	})
	_, err := io.Copy(io.Discard, nc)
	cut = !errors.Is(err, os.ErrDeadlineExceeded)
	if !cut {
		r.Errorf("%s: the connection is still open after %v", name, d)
	}
	_ = nc.Close()
	wrote.Wait()
	return cut
}

func checkGarbageOpening(r *rig) {
	a := r.asker()
	for name, opening := range r.allOpenings() {
		if !r.intrude(name, r.h.RawDial(r), opening, true, r.patience()) {
			return // the others would be kept, too, and each takes its time
		}
		a.check(refused(request(noMethod, "", "1"), "1", -32601))
	}
	r.asker().check(refused(request(noMethod, "", "2"), "2", -32601))
}

func checkSilentOpening(r *rig) {
	limit := r.h.Server.handshakeTimeout()
	if r.patience() <= limit {
		r.skipf("a server has %v for a handshake, and the rule waits no longer than %v; give it more", limit, r.patience())
	}
	a := r.asker()
	var gone sync.WaitGroup
	defer gone.Wait()
	for name, opening := range map[string][]byte{"a peer that says nothing": nil, "a peer that says a line feed": {'\n'}} {
		nc := r.h.RawDial(r)
		gone.Go(func() { _ = r.intrude(name, nc, opening, false, r.patience()) })
	}
	r.asker().check(refused(request(noMethod, "", "1"), "1", -32601))
	gone.Wait()
	a.check(refused(request(noMethod, "", "2"), "2", -32601))
}

// isLate reports whether err says that nothing came in time.
func isLate(err error) bool { return errors.Is(err, context.DeadlineExceeded) }
