package cli

import "github.com/polyport/polyport/app"

// heapFloor is how much the heap of a broker seems to hold at least. Go collects
// garbage when the heap has doubled; one of a few MiB, through which messages run at
// 100 MB a second and more, does so fifty times a second, and that takes a third of the
// broker's time (ADR 0035).
const heapFloor = 32 << 20

// heapOf returns what raises the heap of a server to its floor, if it is a broker. It
// is never touched, so it takes no memory of the machine's; what it costs is as much
// garbage that may lie about. It counts as long as somebody keeps it.
func heapOf(conf app.Config) []byte {
	if !conf.Broker.Enabled {
		return nil
	}
	return make([]byte, heapFloor)
}
