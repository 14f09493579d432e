package main

import (
	"errors"
	"os"
	"runtime"
	"runtime/pprof"
)

// allocRate is how many bytes are allocated between two samples of an
// allocation profile: few, because its runs are short and small objects matter.
const allocRate = 16 << 10

// startProfile starts the profiles that o asks for; stop writes them.
func (o *options) startProfile() (stop func() error, err error) {
	stops := closers{}
	if o.cpuProfile != "" {
		f, err := os.Create(o.cpuProfile)
		if err != nil {
			return nil, err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		stops.add(f.Close)
		stops.add(func() error { pprof.StopCPUProfile(); return nil })
	}
	if o.memProfile != "" {
		runtime.MemProfileRate = allocRate
		stops.add(func() error {
			f, err := os.Create(o.memProfile) //nolint:gosec // the user names the file
			if err != nil {
				return err
			}
			runtime.GC() // the profile is as of the last collection
			return errors.Join(pprof.Lookup("allocs").WriteTo(f, 0), f.Close())
		})
	}
	return stops.Close, nil
}
