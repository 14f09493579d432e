package transport_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/polyport/polyport/transport"
)

// writes notes what each write has.
type writes struct {
	net.Conn
	mu  sync.Mutex
	all []string
}

func (w *writes) Write(p []byte) (int, error) {
	w.mu.Lock()
	w.all = append(w.all, string(p))
	w.mu.Unlock()
	return w.Conn.Write(p)
}

// TestWriterApart: messages that gathered leave by a write each.
func TestWriterApart(t *testing.T) {
	here, there := net.Pipe()
	defer there.Close()
	nc := &writes{Conn: here}
	w := transport.NewWriter(nc, 1<<20, time.Second, nil)
	w.Apart()
	w.Hold()
	want := []string{"one", "two", string(bytes.Repeat([]byte("three"), 1000)), "4"}
	for _, m := range want {
		if err := w.Append(t.Context(), len(m), func(dst []byte) []byte { return append(dst, m...) }); err != nil {
			t.Fatal(err)
		}
	}
	go w.Release()
	got := make([]byte, len(want[0])+len(want[1])+len(want[2])+len(want[3]))
	if _, err := io.ReadFull(there, got); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	nc.mu.Lock()
	defer nc.mu.Unlock()
	if len(nc.all) != len(want) {
		t.Fatalf("%d writes, want %d", len(nc.all), len(want))
	}
	for i, m := range want {
		if nc.all[i] != m {
			t.Errorf("write %d = %.20q, want %.20q", i, nc.all[i], m)
		}
	}
	_ = here.Close()
}

// TestProfileUnknown: a wire is asked for no profile that it does not have.
func TestProfileUnknown(t *testing.T) {
	for _, url := range []string{"line://127.0.0.1:1?profile=ovirt", "mem://x?profile=gopher"} {
		if _, err := transport.Dial(t.Context(), url, nil); err == nil {
			t.Errorf("Dial(%s) succeeds", url)
		}
		if ln, err := transport.Listen(t.Context(), url, nil); err == nil {
			_ = ln.Close()
			t.Errorf("Listen(%s) succeeds", url)
		}
	}
}

// TestWriterApartLater: what gathered before stays together, what gathers after does
// not.
func TestWriterApartLater(t *testing.T) {
	here, there := net.Pipe()
	defer there.Close()
	nc := &writes{Conn: here}
	w := transport.NewWriter(nc, 1<<20, time.Second, nil)
	w.Hold()
	for i, m := range []string{"one", "two", "3", "4"} {
		if i == 2 {
			w.Apart()
			w.Apart() // does nothing more
		}
		if err := w.Append(t.Context(), len(m), func(dst []byte) []byte { return append(dst, m...) }); err != nil {
			t.Fatal(err)
		}
	}
	go w.Release()
	if _, err := io.ReadFull(there, make([]byte, len("onetwo34"))); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	nc.mu.Lock()
	defer nc.mu.Unlock()
	if got := strings.Join(nc.all, " "); got != "onetwo 3 4" {
		t.Errorf("writes of %q, want onetwo, 3 and 4", got)
	}
	_ = here.Close()
}
