package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"time"
)

// A sample is what one operation took, the work of both ends and of the
// garbage collector included.
type sample struct {
	// CPU is the time of the processors, Elapsed that of the clock.
	CPU     time.Duration `json:"cpu_ns"`
	Elapsed time.Duration `json:"elapsed_ns"`
	Allocs  float64       `json:"allocs"`
	Bytes   float64       `json:"bytes"`
	// Ops is how many operations this is the mean of.
	Ops int `json:"ops"`
}

// measureAll measures every peer at every workload, round by round. In a round
// the peers take turns at one workload before the next begins, so that what
// the machine does beside meets all alike; each round begins with another.
func measureAll(ctx context.Context, o *options, p *progress) (*results, error) {
	r := newResults(o)
	defer p.clear()
	cells, start := o.rounds*len(o.workloads)*len(o.peers), time.Now()
	done := 0
	for round := range o.rounds {
		for _, w := range o.workloads {
			for i := range o.peers {
				peer := o.peers[(i+round)%len(o.peers)]
				p.showf(done, cells, time.Since(start), "round %d of %d: %s, %s", round+1, o.rounds, w.name, peer.name)
				s, possible, err := measureCell(ctx, peer, w, o.time)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", peer.name, w.name, err)
				}
				if possible {
					r.add(peer, w, s)
				}
				done++
			}
		}
	}
	r.Took = time.Since(start)
	return r, nil
}

// measureCell opens p, lets it do w for about as long as wanted and closes it;
// possible is false if p cannot do w.
func measureCell(ctx context.Context, p peer, w workload, wanted time.Duration) (s sample, possible bool, err error) {
	r, err := p.start(ctx)
	if err != nil {
		return sample{}, false, err
	}
	defer func() { err = errors.Join(err, r.client.Close()) }()
	if !w.possible(r) {
		return sample{}, false, nil
	}
	n, err := warmUp(ctx, r, w, wanted)
	if err != nil {
		return sample{}, true, err
	}
	s, err = measure(ctx, r, w, n)
	return s, true, err
}

// warmUp lets r do w for a tenth of wanted, and returns how many operations
// will take as long as wanted.
func warmUp(ctx context.Context, r *rig, w workload, wanted time.Duration) (n int, err error) {
	begin := time.Now()
	for n = 1; ; n *= 2 {
		start := time.Now()
		if err := w.do(ctx, r, n); err != nil {
			return 0, err
		}
		took := time.Since(start)
		if time.Since(begin) >= wanted/10 || took >= wanted/20 {
			return max(1, int(float64(n)*float64(wanted)/float64(took))), nil
		}
	}
}

// measure does n operations.
func measure(ctx context.Context, r *rig, w workload, n int) (sample, error) {
	runtime.GC() // so that all begin with the same heap, and none pays for another's garbage
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, err := processorTime()
	if err != nil {
		return sample{}, err
	}
	start := time.Now()
	if err := w.do(ctx, r, n); err != nil {
		return sample{}, err
	}
	elapsed := time.Since(start)
	cpuEnd, err := processorTime()
	if err != nil {
		return sample{}, err
	}
	runtime.ReadMemStats(&after)
	ops := time.Duration(n)
	return sample{
		CPU: (cpuEnd - cpu) / ops, Elapsed: elapsed / ops, Ops: n,
		Allocs: float64(after.Mallocs-before.Mallocs) / float64(n),
		Bytes:  float64(after.TotalAlloc-before.TotalAlloc) / float64(n),
	}, nil
}

// processorTime is what this process has used, in user mode and in the kernel.
func processorTime() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}
