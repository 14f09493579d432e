package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// talker returns a client, and the other end of its connection in the hands of
// the test.
func talker(t *testing.T, w wire, lockstep bool) (*rpc.Client, *peer) {
	t.Helper()
	onlyMem(t, w, lockstep)
	l := w.open(t, &transport.ListenOptions{Options: still()})
	t.Cleanup(func() { _ = l.Close() })
	near, err := l.dial(t.Context(), &transport.DialOptions{Options: still()})
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := rpc.NewClient(&posing{Conn: near, lockstep: lockstep}, nil)
	t.Cleanup(func() { _ = c.Close() })
	return c, newPeer(t, far)
}

// onlyMem skips a test in lock-step on the wires that are never in it.
func onlyMem(t *testing.T, w wire, lockstep bool) {
	t.Helper()
	if lockstep && !strings.HasPrefix(w.name, memPipe.name) {
		t.Skip("the wire " + w.name + " is never in lock-step")
	}
}

// says reports what a client says if it is not this.
func says(p *peer, want string) {
	p.t.Helper()
	if got := shortened.Replace(p.hear()); got != want {
		p.t.Errorf("the client says\n%s, want\n%s", got, want)
	}
}

// isSilent reports what a client says within d.
func isSilent(p *peer, d time.Duration) {
	p.t.Helper()
	if body, err := p.listen(d); err == nil {
		p.t.Errorf("the client says %s, want nothing", body)
	}
}

const (
	lineFirst = `{"jsonrpc":"2.0","id":%d,"method":"m","params":[1],"metadata":{"async":"U"}}`
	lineBare  = `{"jsonrpc":"2.0","id":%d,"method":"m","params":[1]}`
	lineGet   = `{"jsonrpc":"2.0","id":%d,"method":"rpc.async.get","params":{"async":"U","waitMs":0}}`
	lineLong  = `{"jsonrpc":"2.0","id":%d,"method":"rpc.async.get","params":{"async":"U","waitMs":20000}}`

	ackNow       = `{"jsonrpc":"2.0","id":%d,"result":null,"metadata":{"async":"U","state":"pending","pollMs":100,"ttlMs":600000}}`
	ackJava      = `{"jsonrpc":"2.0","id":%d,"result":null,"metadata":{"async":"U"}}`
	ackBare      = `{"jsonrpc":"2.0","id":%d,"metadata":{"async":"U"}}`
	lineFinal    = `{"jsonrpc":"2.0","id":%d,"result":7}`
	lineRefused  = `{"jsonrpc":"2.0","id":%d,"error":{"code":-32600,"message":"extra fields in request","data":["metadata"]}}`
	lineNoMethod = `{"jsonrpc":"2.0","id":%d,"error":{"code":-32601,"message":"no such method"}}`
	lineBusy     = `{"jsonrpc":"2.0","id":%d,"error":{"code":-32009,"message":"busy"}}`
	lineUnknown  = `{"jsonrpc":"2.0","id":%d,"error":{"code":-32050,"message":"unknown handle","data":{"epoch":"x"}}}`
	lineExpired  = `{"jsonrpc":"2.0","id":%d,"error":{"code":-32051,"message":"expired"}}`
)

// conversations are what a client says to peers of all ages, and how its call
// ends. Questions and answers alternate.
var conversations = []struct {
	name   string
	duplex bool
	o      rpc.DetachOptions
	talk   []string
	want   string // the result
	code   rpc.Code
	err    error
}{
	{name: "a server that answers at once", talk: []string{lineFirst, lineFinal}, want: "7"},
	{name: "a server of ours", talk: []string{lineFirst, ackNow, lineGet, ackNow, lineGet, lineFinal}, want: "7"},
	{name: "a server of ours that pushes back on a full-duplex wire", duplex: true, talk: []string{lineFirst, ackNow, lineLong, ackNow, lineLong, lineFinal}, want: "7"},
	{name: "an older server", talk: []string{lineFirst, ackJava, lineFirst, ackJava, lineFirst, lineFinal}, want: "7"},
	{name: "an older server without results", talk: []string{lineFirst, ackBare, lineFirst, ackBare, lineFirst, lineFinal}, want: "7"},
	{name: "a server that refuses metadata", talk: []string{lineFirst, lineRefused, lineBare, lineFinal}, want: "7"},
	{name: "a server that refuses more", talk: []string{lineFirst, lineRefused, lineBare, lineRefused}, code: -32600},
	{name: "a server of ours that refuses the handle", talk: []string{lineFirst, `{"jsonrpc":"2.0","id":%d,"error":{"code":-32600,"message":"invalid metadata.async: no"}}`}, code: -32600},
	{name: "a server that is busy when asked", talk: []string{lineFirst, ackNow, lineGet, lineBusy, lineGet, lineFinal}, want: "7"},
	{name: "a server that is busy when called", talk: []string{lineFirst, lineBusy}, code: rpc.CodeBusy},
	{name: "a server that has restarted", talk: []string{lineFirst, ackNow, lineGet, lineUnknown}, err: rpc.ErrHandleLost},
	{name: "a result that was not fetched in time", talk: []string{lineFirst, ackNow, lineGet, lineExpired}, code: rpc.CodeExpired},
	{name: "an error of the method", talk: []string{lineFirst, ackNow, lineGet, lineNoMethod}, code: rpc.CodeMethodNotFound},
	{name: "an error at once", talk: []string{lineFirst, lineNoMethod}, code: rpc.CodeMethodNotFound},
	{name: "an answer with neither result nor error", talk: []string{lineFirst, `{"jsonrpc":"2.0","id":%d,"metadata":{"async":"V"}}`}, err: rpc.ErrBadAnswer},
	{name: "a malformed acknowledgement", talk: []string{lineFirst, `{"jsonrpc":"2.0","id":%d,"result":null,"error":{"code":1,"message":""},"metadata":{"async":"U"}}`}, err: rpc.ErrBadAnswer},
	{name: "pollMs out of all reason", talk: []string{lineFirst, `{"jsonrpc":"2.0","id":%d,"result":null,"metadata":{"async":"U","state":"pending","pollMs":9999999999999}}`, lineGet, lineFinal}, want: "7"},
	{name: "pollMs that is none", talk: []string{lineFirst, `{"jsonrpc":"2.0","id":%d,"result":null,"metadata":{"async":"U","state":"pending","pollMs":-1e9}}`, lineGet, lineFinal}, want: "7"},
	{name: "an upper-case handle", o: rpc.DetachOptions{Handle: strings.ToUpper(handleU)}, talk: []string{lineFirst, ackNow, lineGet, lineFinal}, want: "7"},
	{name: "an error without a code", talk: []string{lineFirst, `{"jsonrpc":"2.0","id":%d,"error":{"code":"x"}}`}, code: rpc.CodeInternal},
}

func TestDetachConversations(t *testing.T) {
	for _, tt := range conversations {
		t.Run(tt.name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, w wire) {
				c, p := talker(t, w, !tt.duplex)
				o := tt.o
				if o.Handle == "" {
					o.Handle = handleU
				}
				f := rpc.Detach[int](t.Context(), c, "m", []int{1}, &o)
				for i, line := range tt.talk {
					line = fmt.Sprintf(line, i/2+1)
					if i%2 == 0 {
						says(p, line)
					} else {
						p.say(spelled.Replace(line))
					}
				}
				got, err := get(t, f)
				switch {
				case tt.err != nil:
					isErr(t, "Detach()", err, tt.err)
					isOutcome(t, "Detach()", err, rpc.Unknown)
				case tt.code != 0:
					isCode(t, "Detach()", err, tt.code)
				case err != nil || strconv.Itoa(got) != tt.want:
					t.Errorf("Detach() = %v, %v, want %s", got, err, tt.want)
				}
				isSilent(p, time.Minute)
			})
		})
	}
}

// A refusal of metadata is remembered as long as the connection lasts; but a
// peer that has taken some means what it says.
func TestDetachRemembersRefusals(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		o := &rpc.DetachOptions{Handle: handleU}
		c, p := talker(t, w, true)
		f := rpc.Detach[int](t.Context(), c, "m", []int{1}, o)
		says(p, fmt.Sprintf(lineFirst, 1))
		p.say(fmt.Sprintf(lineRefused, 1))
		says(p, fmt.Sprintf(lineBare, 2))
		p.say(fmt.Sprintf(lineFinal, 2))
		_, _ = get(t, f)
		f = rpc.Detach[int](t.Context(), c, "m", []int{1}, o)
		says(p, fmt.Sprintf(lineBare, 3))
		p.say(fmt.Sprintf(lineFinal, 3))
		if got, err := get(t, f); got != 7 || err != nil {
			t.Errorf("second Detach() = %v, %v, want 7, nil", got, err)
		}

		for _, taken := range []string{lineFinal, ackNow, lineNoMethod} {
			c, p = talker(t, w, true)
			rpc.Detach[int](t.Context(), c, "m", []int{1}, o)
			says(p, fmt.Sprintf(lineFirst, 1))
			p.say(spelled.Replace(fmt.Sprintf(taken, 1)))
			synctest.Wait()
			f = rpc.Detach[int](t.Context(), c, "m", []int{1}, o)
			says(p, fmt.Sprintf(lineFirst, 2))
			p.say(fmt.Sprintf(lineRefused, 2))
			_, err := get(t, f)
			isCode(t, "Detach() of a method that refuses", err, rpc.CodeInvalidRequest)
		}
	})
}

// What cannot be sent has failed when Detach returns.
func TestDetachNotSent(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		c, p := talker(t, w, true)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for name, f := range map[string]*queue.Future[int]{
			"no UUID":        rpc.Detach[int](t.Context(), c, "m", nil, &rpc.DetachOptions{Handle: "me"}),
			"params":         rpc.Detach[int](t.Context(), c, "m", 5, nil),
			"a channel":      rpc.Detach[int](t.Context(), c, "m", make(chan int), nil),
			"an ended ctx":   rpc.Detach[int](ended, c, "m", nil, nil),
			"closed, at end": rpc.Detach[int](t.Context(), closedClient(t, w), "m", nil, nil),
		} {
			_, err, ok := f.TryGet()
			if !ok {
				t.Errorf("%s: the future is not complete", name)
			}
			isOutcome(t, name, err, rpc.NotSent)
		}
		isSilent(p, time.Minute)
	})
}

func closedClient(t *testing.T, w wire) *rpc.Client {
	t.Helper()
	c, _ := talker(t, w, false)
	_ = c.Close()
	return c
}

// Without options each call has a handle of its own.
func TestDetachChoosesHandles(t *testing.T) {
	if a, b := rpc.NewHandle(), rpc.NewHandle(); a == b || len(a) != 36 || a[14] != '4' {
		t.Errorf("NewHandle() = %s, then %s", a, b)
	}
	inBubbles(t, func(t *testing.T, w wire) {
		s := onStage(t, w, true, nil)
		c := s.client(nil)
		fs := make([]*queue.Future[int], 20)
		for i := range fs {
			fs[i] = rpc.Detach[int](t.Context(), c, "Task", []int{300}, nil)
		}
		for _, f := range fs {
			if got, err := get(t, f); got != 300 || err != nil {
				t.Errorf("Detach() = %v, %v, want 300, nil", got, err)
			}
		}
		if got := len(s.journal.take()); got != len(fs) {
			t.Errorf("the handler ran %d times, want %d", got, len(fs))
		}
	})
}

// TestDetachReconnect: a call outlives its connection, on the way there and
// while it is asked after.
func TestDetachReconnect(t *testing.T) {
	onTransports(t, func(t *testing.T, tr transport.Transport) {
		var j journal
		c, d, _ := redialed(t, tr, asyncMux(&j), nil)
		f := rpc.Detach[int](t.Context(), c, "Task", []int{90_000}, nil)
		plain := rpc.Go[int](t.Context(), c, "Task", []int{90_001})
		time.Sleep(time.Second)
		for range 3 {
			d.cut()
			time.Sleep(10 * time.Second)
		}
		_, err := get(t, plain)
		isErr(t, "Go()", err, transport.ErrReconnecting)
		time.Sleep(time.Minute)
		if got, err := get(t, f); got != 90_000 || err != nil {
			t.Errorf("Detach() = %v, %v, want 90000, nil", got, err)
		}
		want := []string{"Task90000", "Task90001", "stopped: transport: closed"}
		ran := j.take()
		slices.Sort(ran)
		if diff := cmp.Diff(want, ran); diff != "" {
			t.Errorf("executed (-want +got):\n%s", diff)
		}
	})
}

// reconnecting is a client of the test's peer, whose connection the test can
// exchange.
func reconnecting(t *testing.T, tr transport.Transport) (c *rpc.Client, next func() *peer) {
	t.Helper()
	l := byPipe(tr)(t, &transport.ListenOptions{Options: still()})
	t.Cleanup(func() { _ = l.Close() })
	conn, err := transport.Redial(t.Context(), "mem://unused", &transport.RedialOptions{
		First: time.Millisecond, Most: time.Millisecond,
		Dial: func(ctx context.Context) (transport.Conn, error) {
			return l.dial(ctx, &transport.DialOptions{Options: still()})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	c = rpc.NewClient(conn, nil)
	t.Cleanup(func() { _ = c.Close() })
	return c, func() *peer {
		t.Helper()
		far, err := l.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return newPeer(t, far)
	}
}

func TestDetachAfterLoss(t *testing.T) {
	for _, tt := range []struct {
		name   string
		o      rpc.DetachOptions
		before []string // what is said and answered until the connection is lost
		after  []string
		want   string
		err    error
	}{
		{name: "a server of ours", before: []string{lineFirst}, after: []string{lineLong, lineFinal}, want: "7"},
		{name: "another server of ours", before: []string{lineFirst}, after: []string{lineLong, lineUnknown}, err: rpc.ErrHandleLost},
		{name: "a server without handles", before: []string{lineFirst}, after: []string{lineLong, lineNoMethod}, err: transport.ErrReconnecting},
		{name: "a server without handles, but it does no harm", o: rpc.DetachOptions{Repeatable: true}, before: []string{lineFirst}, after: []string{lineLong, lineNoMethod, lineFirst, lineFinal}, want: "7"},
		{name: "an older server", before: []string{lineFirst, ackJava, lineFirst}, after: nil, err: transport.ErrReconnecting},
		{name: "an older server, but it does no harm", o: rpc.DetachOptions{Repeatable: true}, before: []string{lineFirst, ackJava, lineFirst}, after: []string{lineFirst, lineFinal}, want: "7"},
		{name: "a server that refused metadata", before: []string{lineFirst, lineRefused, lineBare}, after: nil, err: transport.ErrReconnecting},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onTransports(t, func(t *testing.T, tr transport.Transport) {
				c, next := reconnecting(t, tr)
				p := next()
				o := tt.o
				o.Handle = handleU
				f := rpc.Detach[int](t.Context(), c, "m", []int{1}, &o)
				for i, line := range append(tt.before, tt.after...) {
					if i == len(tt.before) {
						_ = p.conn.Close()
						p = next()
					}
					line = fmt.Sprintf(line, i/2+1)
					if i >= len(tt.before) {
						line = strings.Replace(line, fmt.Sprintf(`"id":%d`, i/2+1), fmt.Sprintf(`"id":%d`, (i+1)/2+1), 1)
					}
					if strings.Contains(line, `"method"`) {
						says(p, line)
					} else {
						p.say(spelled.Replace(line))
					}
				}
				if tt.after == nil {
					_ = p.conn.Close()
					p = next()
				}
				got, err := get(t, f)
				if tt.err != nil {
					isErr(t, "Detach()", err, tt.err)
					isOutcome(t, "Detach()", err, rpc.Unknown)
				} else if err != nil || strconv.Itoa(got) != tt.want {
					t.Errorf("Detach() = %v, %v, want %s", got, err, tt.want)
				}
				isSilent(p, time.Minute)
			})
		})
	}
}

// TestDetachAtServers: what Detach says to a server of ours comes to what a
// user wants.
func TestDetachAtServers(t *testing.T) {
	for _, lockstep := range []bool{false, true} {
		t.Run(fmt.Sprintf("lockstep %v", lockstep), func(t *testing.T) {
			inBubbles(t, func(t *testing.T, w wire) {
				s := onStage(t, w, lockstep, nil)
				c := s.client(nil)
				o := &rpc.DetachOptions{Handle: handleU}
				one, two := rpc.Detach[int](t.Context(), c, "Task", []int{300}, o), rpc.Detach[int](t.Context(), c, "Task", []int{300}, o)
				other := rpc.Detach[int](t.Context(), c, "Task", []int{301}, o)
				failing := rpc.Detach[int](t.Context(), c, "Fail", nil, nil)
				sync := rpc.Detach[int](t.Context(), c, "Sync", []int{400}, nil)
				for _, f := range []*queue.Future[int]{one, two} {
					if got, err := get(t, f); got != 300 || err != nil {
						t.Errorf("Detach() = %v, %v, want 300, nil", got, err)
					}
				}
				_, err := get(t, other)
				isCode(t, "Detach() with a handle in use", err, rpc.CodeConflict)
				_, err = get(t, failing)
				if e := isCode(t, "Detach(Fail)", err, 7); string(e.Data) != "[1.0]" {
					t.Errorf("Detach(Fail) has data %s, want [1.0]", e.Data)
				}
				if got, err := get(t, sync); got != 400 || err != nil {
					t.Errorf("Detach(Sync) = %v, %v, want 400, nil", got, err)
				}
				if _, err := get(t, rpc.Detach[string](t.Context(), c, "Task", []int{300}, o)); err == nil || rpc.OutcomeOf(err) != rpc.Answered {
					t.Errorf("Detach() into a string = %v, want an answered error", err)
				}
			})
		})
	}
}

// TestDetachClose: who closes the client learns that the outcome is unknown.
func TestDetachClose(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		s := onStage(t, w, true, nil)
		c := s.client(nil)
		f := rpc.Detach[int](t.Context(), c, "Task", []int{3_000}, nil)
		time.Sleep(time.Second)
		_ = c.Close()
		_, err := get(t, f)
		isOutcome(t, "Detach()", err, rpc.Unknown)
		if !errors.Is(err, rpc.ErrClosed) && !errors.Is(err, transport.ErrClosed) {
			t.Errorf("Detach() = %v, want that it was closed", err)
		}
		synctest.Wait()
	})
}
