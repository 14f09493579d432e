package faultconn_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/polyport/polyport/transport/faultconn"
	"github.com/polyport/polyport/transport/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func parse(t *testing.T, text string) *faultconn.Schedule {
	t.Helper()
	s, err := faultconn.Parse(text)
	if err != nil {
		t.Fatalf("Parse(%q) = %v, want nil", text, err)
	}
	return s
}

// wrap returns the two ends of an in-memory connection, the first of which has
// the faults.
func wrap(t *testing.T, text string) (*faultconn.Conn, net.Conn) {
	t.Helper()
	near, far := mem.Pipe()
	c := faultconn.Wrap(near, parse(t, text))
	t.Cleanup(func() { c.Close(); near.Close(); far.Close() })
	return c, far
}

// An arrival is what one Read returned, and when.
type arrival struct {
	At   time.Duration
	Data string
}

// arrivals reads until the stream ends, and says how it did.
func arrivals(c io.Reader, start time.Time) ([]arrival, error) {
	var all []arrival
	buf := make([]byte, 1<<20)
	for {
		n, err := c.Read(buf)
		if n > 0 || err == io.EOF {
			all = append(all, arrival{time.Since(start), string(buf[:n])})
		}
		if err != nil {
			return all, err
		}
	}
}

func text(all []arrival) string {
	var b strings.Builder
	for _, a := range all {
		b.WriteString(a.Data)
	}
	return b.String()
}

func wantFired(t *testing.T, c *faultconn.Conn, want ...faultconn.Kind) {
	t.Helper()
	fired := c.Fired()
	for _, k := range want {
		if fired[k] != 1 {
			t.Errorf("Fired()[%v] = %d, want 1", k, fired[k])
		}
		delete(fired, k)
	}
	if len(fired) > 0 {
		t.Errorf("Fired() has %v too, want only %v", fired, want)
	}
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: err = %v, want %v", what, err, want)
	}
}

// isBare reports whether err is io.EOF itself: many callers of Read compare.
func isBare(err error) bool {
	return err == io.EOF //nolint:errorlint // this is the point
}

func timedOut(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}
