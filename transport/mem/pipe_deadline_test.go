package mem_test

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// A waiting operation obeys the deadline that holds now, not the one it
// started with.
func TestDeadlineMoved(t *testing.T) {
	tests := []struct {
		name  string
		steps []time.Duration // the deadline set at seconds 0, 1, 2…; 0 clears it
		want  time.Duration
	}{
		{"kept", []time.Duration{5 * time.Second}, 5 * time.Second},
		{"later", []time.Duration{5 * time.Second, 9 * time.Second}, 9 * time.Second},
		{"earlier", []time.Duration{9 * time.Second, 5 * time.Second}, 5 * time.Second},
		{"to now", []time.Duration{9 * time.Second, time.Second}, time.Second},
		{"to the past", []time.Duration{9 * time.Second, -time.Hour}, time.Second},
		{"cleared and set", []time.Duration{5 * time.Second, 0, 7 * time.Second}, 7 * time.Second},
		{"first set while waiting", []time.Duration{0, 0, 3 * time.Second}, 3 * time.Second},
	}
	ops := map[string]struct {
		op  func(net.Conn) (int, error)
		set func(net.Conn, time.Time) error
	}{
		"Read": {
			func(c net.Conn) (int, error) { return c.Read(make([]byte, 1)) },
			net.Conn.SetReadDeadline,
		},
		"Write": {
			func(c net.Conn) (int, error) { return c.Write(make([]byte, 1)) },
			net.Conn.SetWriteDeadline,
		},
	}
	for opName, op := range ops {
		for _, test := range tests {
			t.Run(opName+"/"+test.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					a, _ := pair(t, 8)
					full(t, a, 8)
					start := time.Now()
					deadline := func(d time.Duration) time.Time {
						if d == 0 {
							return time.Time{}
						}
						return start.Add(d)
					}
					op.set(a, deadline(test.steps[0]))
					go func() {
						for _, d := range test.steps[1:] {
							time.Sleep(time.Second)
							op.set(a, deadline(d))
						}
					}()
					n, err := op.op(a)
					if n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("%s() = %d, %v, want 0, a timeout", opName, n, err)
					}
					if got := time.Since(start); got != test.want {
						t.Errorf("%s() gave up after %v, want %v", opName, got, test.want)
					}
				})
			})
		}
	}
}

func TestTimeoutError(t *testing.T) {
	a, _ := pair(t, 0)
	a.SetDeadline(time.Unix(1, 0))
	_, readErr := a.Read(make([]byte, 1))
	_, writeErr := a.Write(make([]byte, 1))
	for op, err := range map[string]error{"read": readErr, "write": writeErr} {
		ne, ok := errors.AsType[net.Error](err)
		if !ok || !ne.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: err = %#v, want a net.Error timeout that wraps os.ErrDeadlineExceeded", op, err)
		}
		oe, ok := errors.AsType[*net.OpError](err)
		if !ok || oe.Op != op || oe.Net != "mem" || oe.Source != a.LocalAddr() || oe.Addr != a.RemoteAddr() {
			t.Errorf("%s: err = %#v, want an OpError that names the operation and both ends", op, err)
		}
	}
}

// As with a socket, a deadline that passed wins over bytes that are there,
// loses nothing, and ends when it is moved.
func TestDeadlineThenRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, 0)
		a.Write([]byte("abc"))
		b.SetReadDeadline(time.Now())
		if n, err := b.Read(make([]byte, 3)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read() = %d, %v, want 0, a timeout", n, err)
		}
		b.SetReadDeadline(time.Now().Add(time.Second))
		if got := readN(t, b, 3); got != "abc" {
			t.Errorf("Read() = %q, want %q", got, "abc")
		}
	})
}

// One deadline ends all operations of its direction and none of the other.
func TestDeadlineOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, 0)
		b.SetReadDeadline(time.Now().Add(time.Second))
		errs := make(chan error, 10)
		for range cap(errs) {
			go func() {
				_, err := b.Read(make([]byte, 1))
				errs <- err
			}()
		}
		for range cap(errs) {
			if err := <-errs; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Read: err = %v, want a timeout", err)
			}
		}
		if _, err := b.Write([]byte("x")); err != nil {
			t.Errorf("Write after the read deadline = %v, want nil", err)
		}
		readN(t, a, 1)
	})
}

// A Write that timed out says how much went out, and that much arrives.
func TestPartialWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, 10)
		a.SetWriteDeadline(time.Now().Add(time.Minute))
		go func() {
			time.Sleep(time.Second)
			readN(t, b, 8)
		}()
		n, err := a.Write([]byte("0123456789abcdefghijklmnopqrstuvwxyz"))
		if n != 18 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write() = %d, %v, want 18, a timeout", n, err)
		}
		if got := readN(t, b, 10); got != "89abcdefgh" {
			t.Errorf("Read() = %q, want %q", got, "89abcdefgh")
		}
	})
}

// A deadline that is set anew for each operation costs no timer while nothing
// waits.
func TestDeadlineAllocs(t *testing.T) {
	a, b := pair(t, 0)
	buf := make([]byte, 64)
	got := testing.AllocsPerRun(100, func() {
		a.SetDeadline(time.Now().Add(time.Minute))
		b.SetDeadline(time.Now().Add(time.Minute))
		a.Write(buf)
		b.Read(buf)
	})
	if got > 0 {
		t.Errorf("set, write, read: %v allocations, want 0", got)
	}
}
