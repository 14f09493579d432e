package transport_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/polyport/polyport/transport"
)

// TestWriterControlBehindMessages: only what Control itself has appended counts
// for its bound, not a large message that waits to be written.
func TestWriterControlBehindMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound = 10
		c, gate := gated()
		w := newWriter(t, c, bound)
		large := strings.Repeat("x", 10*bound)
		control := func(b string, want error) {
			t.Helper()
			if err := w.Control(text(b)); !errors.Is(err, want) {
				t.Errorf("Control of %d bytes = %v, want %v", len(b), err, want)
			}
		}
		control("a", nil)
		synctest.Wait() // it is being written
		put(t, w, large)
		control("b", nil)
		control(large, nil)
		control("too much", transport.ErrStalled)
		close(gate)
		synctest.Wait()
		control("z", nil)
		synctest.Wait()
		if got, want := c.written(), "a"+large+"b"+large+"z"; got != want {
			t.Errorf("written %q, want %q", got, want)
		}
	})
}
