package rpc_test

import "sync/atomic"

// A counter counts from many goroutines.
type counter struct{ v atomic.Int64 }

func (c *counter) add(n int) { c.v.Add(int64(n)) }
func (c *counter) n() int    { return int(c.v.Load()) }
