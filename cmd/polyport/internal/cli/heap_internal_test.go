package cli

import (
	"runtime"
	"testing"

	"github.com/polyport/polyport/app"
)

// TestHeapOfABroker: while the heap of a broker is kept, garbage is collected when
// twice as much has gathered, and not before; other servers are left as they are.
func TestHeapOfABroker(t *testing.T) {
	next := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.NextGC
	}
	before := next()
	if heap := heapOf(app.Config{}); heap != nil {
		t.Errorf("a server without a broker has %d bytes", len(heap))
	}
	heap := heapOf(app.Config{Broker: app.BrokerConfig{Enabled: true}})
	if after := next(); after < before+heapFloor {
		t.Errorf("the next collection is at %d bytes, and was at %d; want it %d later at least", after, before, heapFloor)
	}
	runtime.KeepAlive(heap)
}
