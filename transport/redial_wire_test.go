package transport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/faultconn"
	"github.com/polyport/polyport/transport/mem"
)

func TestRedialByURL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := transport.Listen(t.Context(), "pipe://redial", nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := transport.Redial(t.Context(), "pipe://user@redial/queue", nil)
		if err != nil {
			t.Fatal(err)
		}
		background(t, func() {
			for i := range 3 {
				server, err := l.Accept(t.Context())
				if err != nil {
					t.Errorf("Accept = %v, want nil", err)
					return
				}
				if got := server.Info().User; got != "user" {
					t.Errorf("connection %d is that of %q, want user", i, got)
				}
				_ = server.Send(t.Context(), line("message"))
				server.Close()
			}
		})
		for range 3 {
			checkRecv(t, r, "message")
			checkRecv(t, r, "bye")
			err := checkRecvErr(t, r, transport.ErrReconnecting)
			checkErr(t, "Recv", err, transport.ErrClosed, true)
		}
		l.Close()
		r.Close()
	})
}

// A ledger is what a server got, by all its connections.
type ledger struct {
	mu  sync.Mutex // protects the fields below
	got map[string]int
	wg  sync.WaitGroup
}

// receive notes the whole lines from nc until it ends.
func (l *ledger) receive(nc net.Conn) {
	l.wg.Go(func() {
		b, _ := io.ReadAll(nc)
		nc.Close()
		l.mu.Lock()
		defer l.mu.Unlock()
		for m := range strings.Lines(string(b)) {
			if m, whole := strings.CutSuffix(m, "\n"); whole {
				l.got[m]++
			}
		}
	})
}

// A trial is a Redial connection whose connections are cut one after the other.
type trial struct {
	senders, each int
	cuts          []int64 // the byte in front of which each connection is cut
	downs         []bool  // which attempts to dial fail, again and again
}

// run returns what each message met with.
func (tr trial) run(t *testing.T, l *ledger) map[string]error {
	t.Helper()
	cuts, attempts := tr.cuts, 0
	r, err := transport.Redial(t.Context(), "pipe://trial", &transport.RedialOptions{Dial: func(context.Context) (transport.Conn, error) {
		if attempts++; attempts > 1 && tr.downs[attempts%len(tr.downs)] {
			return nil, errDown
		}
		a, b := mem.Pipe()
		var s *faultconn.Schedule
		if len(cuts) > 0 {
			s = &faultconn.Schedule{Rules: []faultconn.Rule{{Dir: faultconn.Write, Unit: faultconn.Byte, At: cuts[0], Kind: faultconn.Cut}}}
			cuts = cuts[1:]
		}
		l.receive(b)
		return newLineConn(faultconn.Wrap(a, s), settings(nil)), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	results := make(map[string]error)
	var senders, receiver sync.WaitGroup
	receiver.Go(func() {
		for {
			if _, err := r.Recv(t.Context()); !errors.Is(err, transport.ErrReconnecting) {
				return
			}
		}
	})
	for i := range tr.senders {
		senders.Go(func() {
			for j := range tr.each {
				m := fmt.Sprintf("%d-%d", i, j)
				err := r.Send(t.Context(), line(m))
				mu.Lock()
				results[m] = err
				mu.Unlock()
				time.Sleep(time.Duration(i) * 100 * time.Millisecond)
			}
		})
	}
	senders.Wait()
	r.Close()
	receiver.Wait()
	l.wg.Wait()
	return results
}

// Whatever happens to the connections, nothing arrives twice, and nothing that
// was reported as not sent arrives at all.
func TestRedialNeverDoubles(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tr := trial{
			senders: rapid.IntRange(1, 5).Draw(rt, "senders"),
			each:    rapid.IntRange(1, 20).Draw(rt, "each"),
			cuts:    rapid.SliceOfN(rapid.Int64Range(0, 60), 0, 10).Draw(rt, "cuts"),
			downs:   append(rapid.SliceOfN(rapid.Bool(), 0, 5).Draw(rt, "downs"), false),
		}
		l := &ledger{got: make(map[string]int)}
		var results map[string]error
		synctest.Test(t, func(t *testing.T) { results = tr.run(t, l) })
		for m, err := range results {
			switch got := l.got[m]; {
			case got > 1:
				rt.Errorf("message %s arrived %d times", m, got)
			case got == 1 && transport.NotSent(err):
				rt.Errorf("message %s arrived; Send = %v says it was not sent", m, err)
			case got == 0 && err == nil && len(tr.cuts) == 0:
				rt.Errorf("message %s was lost without a fault", m)
			case err != nil && !transport.NotSent(err) && !errors.Is(err, transport.ErrClosed):
				rt.Errorf("Send(%s) = %v, want nil or %v", m, err, transport.ErrClosed)
			}
		}
	})
}
