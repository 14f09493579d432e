package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
)

// The floor is no broker, but the least that any server could do: what a producer
// sends is already what a consumer is to get, and it is passed on with the largest
// reads and writes there are. Nothing is parsed but where the last whole frame of a
// read ends, nothing is kept, and acknowledgements are thrown away. A server that is
// quicker than this there cannot be, so it says how much of a measurement is that of
// the clients and of the system.

// floorWire is stompWire to the floor: producers write MESSAGE frames.
type floorWire struct{ stompWire }

func (w floorWire) produce(ctx context.Context, at hubPlace, body []byte) (hubProducer, error) {
	nc, err := w.connect(ctx, at.address)
	if err != nil {
		return nil, err
	}
	one := fmt.Appendf(nil, "MESSAGE\nsubscription:0\nmessage-id:1234567\nack:1234567\ndestination:%s\ncontent-length:%d\n\n%s\x00",
		at.stomp(), len(body), body)
	return &rawProducer{Conn: nc, one: one}, nil
}

// A floor passes on what comes to who listens.
type floor struct {
	mu    sync.Mutex
	here  *sync.Cond // a listener has come
	all   []net.Conn
	queue bool
	turn  atomic.Uint64
}

func startFloor(ctx context.Context) (string, error) {
	ln, err := listen(ctx)
	if err != nil {
		return "", err
	}
	f := &floor{}
	f.here = sync.NewCond(&f.mu)
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go f.serve(nc)
		}
	}()
	return ln.Addr().String(), nil
}

// serve answers CONNECT, and goes by the frame after it.
func (f *floor) serve(nc net.Conn) {
	defer func() { _ = nc.Close() }()
	in := bufio.NewReaderSize(nc, hubReadSize)
	if _, err := in.ReadBytes(0); err != nil {
		return
	}
	if _, err := nc.Write([]byte("CONNECTED\nversion:1.2\n\n\x00")); err != nil {
		return
	}
	first, err := in.Peek(len("SUBSCRIBE"))
	if err != nil {
		return
	}
	buf := make([]byte, hubReadSize)
	if string(first) != "SUBSCRIBE" {
		f.pass(in, buf)
		return
	}
	head, err := in.ReadBytes(0)
	if err != nil {
		return
	}
	f.mu.Lock()
	f.queue = bytes.Contains(head, []byte("\ndestination:/queue/"))
	f.all = append(f.all, nc)
	f.mu.Unlock()
	f.here.Broadcast()
	for err == nil { // acknowledgements
		_, err = nc.Read(buf)
	}
}

// pass passes whole frames on: of a queue to one listener after the other, of a
// topic to all.
func (f *floor) pass(in *bufio.Reader, buf []byte) {
	have := 0
	for {
		n, err := in.Read(buf[have:])
		if err != nil {
			return
		}
		have += n
		whole := bytes.LastIndexByte(buf[:have], 0) + 1
		if whole == 0 {
			continue
		}
		for _, to := range f.listeners() {
			if _, err := to.Write(buf[:whole]); err != nil {
				return
			}
		}
		have = copy(buf, buf[whole:have])
	}
}

// listeners waits until there is one, and returns those whose turn it is.
func (f *floor) listeners() []net.Conn {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.all) == 0 {
		f.here.Wait()
	}
	if !f.queue {
		return slices.Clip(f.all)
	}
	i := f.turn.Add(1) % uint64(len(f.all))
	return f.all[i : i+1 : i+1]
}
