package conformance

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
)

// canBubble reports whether rules can be run in virtual time.
func canBubble(t TB) bool {
	switch t := t.(type) {
	case *testing.T:
		return true
	case *recorder:
		return t.host != nil
	}
	return false
}

// bubble runs f in virtual time. When goroutines are left behind it fails t
// and not the process.
func bubble(t TB, f func(TB)) {
	t.Helper()
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		why := fmt.Sprint(p)
		if !strings.HasPrefix(why, "deadlock: ") {
			panic(p)
		}
		t.Errorf("%s", why)
	}()
	switch t := t.(type) {
	case *testing.T:
		synctest.Test(t, func(t *testing.T) { f(t) })
	case *recorder:
		t.inBubble(f)
	}
}
