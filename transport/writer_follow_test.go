package transport_test

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/transport"
)

// TestStreamFollow: what follows comes after all that was taken, and after a pause.
func TestStreamFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		nc := &writes{Conn: here}
		s := transport.NewStream(nc, "test", &(*transport.DialOptions)(nil).WithDefaults().Options, 4096)
		got := make(chan int)
		go func() {
			buf, n := make([]byte, 64), 0
			for {
				m, err := there.Read(buf)
				if n += m; err != nil {
					got <- n
					return
				}
			}
		}()
		follow := func(want bool) {
			t.Helper()
			if got := s.Follow([]byte("f"), time.Second); got != want {
				t.Errorf("Follow = %v", got)
			}
			synctest.Wait()
		}
		write := func() {
			t.Helper()
			if err := s.Write(t.Context(), "send", 1, func(dst []byte) []byte { return append(dst, 'w') }); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		time.Sleep(time.Second)
		write()
		follow(false)
		time.Sleep(time.Second)
		s.Hold()
		write()
		follow(false)
		s.Release()
		synctest.Wait()
		follow(false)
		time.Sleep(time.Second)
		follow(true)
		follow(false)
		s.Fail(net.ErrClosed)
		time.Sleep(time.Second)
		follow(false)
		if n := <-got; n != 3 {
			t.Errorf("%d bytes were written, want 3", n)
		}
		_ = there.Close()
	})
}
