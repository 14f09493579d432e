package main

import (
	"net"
	"os"
	"testing"
	"time"
)

// TestForeign: a process is found by its port, and what it uses is seen.
func TestForeign(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	p, err := listener(port)
	if err != nil || p.pid != os.Getpid() {
		t.Fatalf("listener = %+v, %v; want the process %d", p, err, os.Getpid())
	}
	before, err := p.cpu()
	if err != nil {
		t.Fatal(err)
	}
	ours, err := processorTime()
	if err != nil {
		t.Fatal(err)
	}
	for now := ours; now < ours+5*tick; {
		if now, err = processorTime(); err != nil {
			t.Fatal(err)
		}
	}
	if after, err := p.cpu(); err != nil || after-before < 3*tick || after-before > time.Minute {
		t.Errorf("50 ms and more were seen as %v, %v", after-before, err)
	}
	_ = ln.Close()
	if p, err := listener(port); err == nil {
		t.Errorf("at a port that is closed listens %+v", p)
	}
	if d, err := (foreign{-1}).cpu(); err == nil {
		t.Errorf("a process that is none has used %v", d)
	}
}
