package transport_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

// stallWriter returns a Writer to nc, which ends with it, and what tells why.
func stallWriter(nc net.Conn, bound int) (*transport.Writer, <-chan error) {
	broke := make(chan error, 1)
	return transport.NewWriter(nc, bound, stall, func(err error) {
		broke <- err
		nc.Close()
	}), broke
}

func TestWriterStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := mem.PipeSize(16)
		defer a.Close()
		defer b.Close()
		w, broke := stallWriter(a, 100)
		start := time.Now()
		put(t, w, strings.Repeat("x", 100)) // held up for 1 ms, then left to the flusher
		waiting := make(chan error)
		go func() { waiting <- w.Append(t.Context(), 1, text("y")) }()
		if err := <-waiting; !errors.Is(err, transport.ErrStalled) {
			t.Errorf("Append that waited for room = %v, want %v", err, transport.ErrStalled)
		}
		if err := <-broke; !errors.Is(err, transport.ErrStalled) {
			t.Errorf("broke(%v), want %v", err, transport.ErrStalled)
		}
		checkTook(t, "giving up", start, stall+time.Millisecond)
		checkEnded(t, w, transport.ErrStalled)
	})
}

func TestWriterProgressIsNotAStall(t *testing.T) {
	const size = 60
	synctest.Test(t, func(t *testing.T) {
		a, b := mem.PipeSize(2)
		defer a.Close()
		defer b.Close()
		w, broke := stallWriter(a, size)
		put(t, w, strings.Repeat("x", size))
		got := ""
		for len(got) < size {
			time.Sleep(stall - time.Second)
			got += readN(t, b, 1)
		}
		if err := w.Flush(t.Context()); err != nil {
			t.Errorf("Flush = %v, want nil: a byte went each %v", err, stall-time.Second)
		}
		select {
		case err := <-broke:
			t.Errorf("broke(%v), want no call", err)
		default:
		}
	})
}

func TestWriterStallAfterProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := mem.PipeSize(2)
		defer a.Close()
		defer b.Close()
		w, broke := stallWriter(a, 100)
		put(t, w, strings.Repeat("x", 100))
		time.Sleep(10 * time.Second)
		readN(t, b, 2)
		start := time.Now()
		if err := <-broke; !errors.Is(err, transport.ErrStalled) {
			t.Errorf("broke(%v), want %v", err, transport.ErrStalled)
		}
		if took := time.Since(start); took < stall || took > stall+stall/8 {
			t.Errorf("gave up %v after the last progress, want %v to %v", took, stall, stall+stall/8)
		}
	})
}

// A TLS session is useless after a write that timed out, so being held up for
// less than the stall limit must not make one time out.
func TestWriterTLSHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server, _ := tlsPipe(t, 64)
		w, broke := stallWriter(client, 1000)
		message := strings.Repeat("x", 1000)
		start := time.Now()
		put(t, w, message)
		checkTook(t, "Append over TLS to a peer that does not read", start, 0)
		time.Sleep(stall - time.Second)
		if got := readN(t, server, 1000); got != message {
			t.Errorf("the peer got %q, want %q", got, message)
		}
		if err := w.Flush(t.Context()); err != nil {
			t.Errorf("Flush = %v, want nil", err)
		}
		select {
		case err := <-broke:
			t.Errorf("broke(%v), want no call", err)
		default:
		}
	})
}

func TestWriterTLSStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _, _ := tlsPipe(t, 64)
		w, broke := stallWriter(client, 1000)
		start := time.Now()
		put(t, w, strings.Repeat("x", 1000))
		if err := <-broke; !errors.Is(err, transport.ErrStalled) {
			t.Errorf("broke(%v), want %v", err, transport.ErrStalled)
		}
		checkTook(t, "giving up", start, stall)
		checkEnded(t, w, transport.ErrStalled)
	})
}

func TestWriterTLSProgressIsNotAStall(t *testing.T) {
	const size = 1 << 20
	synctest.Test(t, func(t *testing.T) {
		client, server, _ := tlsPipe(t, 1<<14)
		w, _ := stallWriter(client, size)
		put(t, w, strings.Repeat("x", size))
		for range size / 1024 / 16 {
			time.Sleep(time.Second)
			if _, err := io.CopyN(io.Discard, server, 16*1024); err != nil {
				t.Fatalf("reading 16 KiB a second = %v, want nil", err)
			}
		}
	})
}
