package handles

import "time"

// Options adjust a [Store]. Zero fields mean the defaults.
type Options struct {
	// TTL is how long a call may run, Retain how long what it came to is kept,
	// Bury how long its tombstone is kept after that. Zero means 10 minutes, 1
	// minute and 10 minutes.
	TTL, Retain, Bury time.Duration
	// Handles is how many handles a principal may have that run or are
	// retained, and four times as many tombstones. Zero means 256.
	Handles int
	// Bytes bounds what all handles hold together: results and errors, and a
	// part for each handle itself. Zero means 64 MiB.
	Bytes int
}

func or[T int | time.Duration](v, def T) T {
	if v > 0 {
		return v
	}
	return def
}

func (o Options) withDefaults() Options {
	return Options{
		TTL: or(o.TTL, 10*time.Minute), Retain: or(o.Retain, time.Minute), Bury: or(o.Bury, 10*time.Minute),
		Handles: or(o.Handles, 256), Bytes: or(o.Bytes, 64<<20),
	}
}

const (
	// weight is what a handle without its result counts in bytes.
	weight = 512
	// graves is how many tombstones there may be for one handle.
	graves = 4
)
