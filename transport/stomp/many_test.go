package stomp_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-stomp/stomp/v3/frame"

	"github.com/polyport/polyport/transport"
)

// TestManySenders: ids go up in the order of the wire, though many goroutines
// send at a time, so that a cumulative ACK covers what the client has seen and
// nothing else; each sender is told once.
func TestManySenders(t *testing.T) {
	const senders, each = 8, 200
	near, far := pipe(t)
	accepted := make(chan transport.Conn)
	go func() {
		c, err := serve(t, far)
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()
	fmt.Fprint(near, hello+"SUBSCRIBE\nid:s\ndestination:d\nack:client\n\n\x00")
	conn := <-accepted
	r := frame.NewReader(near)
	if f, err := r.Read(); err != nil || f.Command != "CONNECTED" {
		t.Fatalf("got %v, %v, want CONNECTED", f, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	received := make(chan error)
	go func() {
		_, err := conn.Recv(ctx)
		received <- err
	}()
	fmt.Fprint(near, "SEND\ndestination:rpc\n\n\x00")
	if err := <-received; err != nil { // so that the SUBSCRIBE has been seen
		t.Fatal(err)
	}
	go func() {
		_, err := conn.Recv(ctx) // takes in the ACKs
		received <- err
	}()

	confirmer, _ := transport.As[transport.Confirmer](conn)
	var told, failed atomic.Int64
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for range each {
				err := confirmer.SendConfirmed(t.Context(), &transport.Message{To: "d"}, func(err error) {
					told.Add(1)
					if err != nil {
						failed.Add(1)
					}
				})
				if err != nil {
					t.Errorf("SendConfirmed = %v", err)
				}
			}
		})
	}
	last := 0
	for n := 1; n <= senders*each; n++ {
		f, err := r.Read()
		if err != nil {
			t.Fatal(err)
		}
		id, _ := strconv.Atoi(f.Header.Get("message-id"))
		if id <= last {
			t.Fatalf("the message-id %d came after %d", id, last)
		}
		if last = id; n%50 == 0 {
			fmt.Fprintf(near, "ACK\nid:%d\n\n\x00", id)
		}
	}
	wg.Wait()
	eventually(t, "every sender is told", func() bool { return told.Load() == senders*each })
	if n := failed.Load(); n > 0 {
		t.Errorf("%d of %d were told of a failure", n, senders*each)
	}
	cancel()
	<-received
	_ = near.Close()
	_ = conn.Close()
}

// TestManyClientSenders: frames of many goroutines are never mixed.
func TestManyClientSenders(t *testing.T) {
	const senders, each = 8, 200
	client, server := newPair(t, "1.2")
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			for j := range each {
				body := fmt.Appendf(nil, "%d %0*d", i, 1+j*7%3000, j)
				if err := client.Send(t.Context(), &transport.Message{Subject: strconv.Itoa(len(body)), Body: body}); err != nil {
					t.Errorf("Send = %v", err)
				}
			}
		})
	}
	var next [senders]int
	for range senders * each {
		m, err := server.Recv(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sender, number, _ := strings.Cut(string(m.Body), " ")
		i, _ := strconv.Atoi(sender)
		j, err := strconv.Atoi(number)
		if err != nil || m.Subject != strconv.Itoa(len(m.Body)) || next[i] != j {
			t.Fatalf("got %.30q of %d bytes, said to be %s; want message %d of sender %d (%v)", m.Body, len(m.Body), m.Subject, next[i], i, err)
		}
		next[i]++
	}
	wg.Wait()
}
