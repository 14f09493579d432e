package stomp_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
	"github.com/polyport/polyport/transport/stomp"
)

// A host is a server with oVirt's profile that publishes an event each 10 ms, and a
// client with it that reconnects. It needs a bubble.
type host struct {
	network mem.Network
	client  *rpc.Client
	mu      sync.Mutex
	nc      net.Conn // the connection of the client
	ran     map[string]int
	close   func()
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{ran: make(map[string]int)}
	ln, err := h.network.Listen("host")
	if err != nil {
		t.Fatal(err)
	}
	o := &transport.ListenOptions{}
	o.Profile = transport.OVirt
	l := transport.NewListener(ln, stomp.Transport{}, o)
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Test.echo", func(ctx context.Context, text string) (string, error) {
		h.mu.Lock()
		h.ran[text]++
		h.mu.Unlock()
		time.Sleep(50 * time.Millisecond)
		return text, nil
	})
	rpc.Handle(mux, "Test.sleep", func(ctx context.Context, seconds int) (int, error) {
		time.Sleep(time.Duration(seconds) * time.Second)
		return seconds, nil
	})
	server := rpc.NewServer(mux, nil)
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(context.Background(), l) })
	ctx, stop := context.WithCancel(context.Background())
	running.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			if _, err := server.Publish(ctx, "|virt|VM_status|vm", map[string]int{"n": i}); err != nil && ctx.Err() == nil {
				t.Errorf("Publish = %v", err)
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	u, _ := url.Parse("stomp://host")
	conn, err := transport.Redial(ctx, u.String(), &transport.RedialOptions{Dial: func(ctx context.Context) (transport.Conn, error) {
		nc, err := h.network.Dial(ctx, "host")
		if err != nil {
			return nil, err
		}
		h.mu.Lock()
		h.nc = nc
		h.mu.Unlock()
		return stomp.Transport{}.Client(ctx, nc, u, agentOptions(transport.DialOptions{}))
	}})
	if err != nil {
		t.Fatal(err)
	}
	h.client = rpc.NewClient(conn, nil)
	h.close = func() {
		stop()
		_ = h.client.Close()
		_ = l.Close()
		_ = server.Shutdown(context.Background())
		running.Wait()
	}
	return h
}

// cut ends the client's connection, if it has one, and reports whether it had.
func (h *host) cut() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.nc == nil {
		return false
	}
	_ = h.nc.Close()
	h.nc = nil
	return true
}

// TestOVirtThroughReconnects: a call that takes long, a stream of events and 50 calls
// at once go by one connection that is lost again and again. No answer is another's, no
// call runs twice, what may have been lost is said to be, and events are in order, with a
// gap only where one is told.
func TestOVirtThroughReconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		defer h.close()
		sub, err := h.client.Subscribe(t.Context(), "*|virt|VM_status|*", nil)
		if err != nil {
			t.Fatal(err)
		}
		var heard, gaps atomic.Int64
		listened := make(chan struct{})
		go func() {
			defer close(listened)
			last, told := -1, true
			for e, err := range sub.Events() {
				if _, gap := errors.AsType[*rpc.GapError](err); gap {
					gaps.Add(1)
					told = true
					continue
				}
				if err != nil {
					t.Errorf("Events: %v", err)
					return
				}
				var params struct {
					N int `json:"n"`
				}
				if err := e.Decode(&params); err != nil {
					t.Error(err)
				}
				if params.N <= last || params.N > last+1 && !told {
					t.Errorf("event %d follows %d, and no gap was told", params.N, last)
				}
				last, told = params.N, false
				heard.Add(1)
			}
		}()
		var slept, lost, answered atomic.Int64
		ctx, stop := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		callers.Go(func() {
			for ctx.Err() == nil {
				var took int
				switch err := h.client.Call(t.Context(), "Test.sleep", []int{1}, &took); {
				case err == nil && took == 1:
					slept.Add(1)
				case rpc.OutcomeOf(err) != rpc.Unknown:
					t.Errorf("the long call: %d, %v, want 1 or an unknown outcome", took, err)
				}
			}
		})
		for i := range 50 {
			callers.Go(func() {
				for j := 0; ctx.Err() == nil; j++ {
					text := fmt.Sprintf("%d-%d", i, j)
					var got string
					switch err := h.client.Call(t.Context(), "Test.echo", []string{text}, &got); {
					case err == nil && got == text:
						answered.Add(1)
					case err == nil:
						t.Errorf("the answer to %q is %q", text, got)
					case rpc.OutcomeOf(err) == rpc.Answered:
						t.Errorf("the answer to %q is %v", text, err)
					default:
						lost.Add(1)
					}
				}
			})
		}
		cuts := 0
		for cuts < 20 {
			time.Sleep(1503 * time.Millisecond)
			if h.cut() {
				cuts++
			}
		}
		time.Sleep(20 * time.Second)
		stop()
		callers.Wait()
		time.Sleep(time.Second)
		_ = sub.Close()
		<-listened
		h.mu.Lock()
		defer h.mu.Unlock()
		for text, n := range h.ran {
			if n > 1 {
				t.Errorf("%q ran %d times", text, n)
			}
		}
		t.Logf("%d answered, %d lost, %d long ones; %d events, %d gaps", answered.Load(), lost.Load(), slept.Load(), heard.Load(), gaps.Load())
		if gaps.Load() != int64(cuts) {
			t.Errorf("%d gaps were told, want one for each of %d cuts", gaps.Load(), cuts)
		}
		if int64(len(h.ran)) < answered.Load() || lost.Load() == 0 || lost.Load() > int64(50*cuts) || slept.Load() == 0 || heard.Load() < 1000 {
			t.Error("too little has come through, or nothing was lost")
		}
	})
}
