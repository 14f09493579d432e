package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// progress shows on a terminal how far the program is; on anything else it is
// silent.
type progress struct{ w io.Writer }

func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	if !ok {
		return &progress{w: io.Discard}
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 || info.Mode()&os.ModeDevice == 0 {
		return &progress{w: io.Discard}
	}
	return &progress{w: w}
}

// showf replaces the line: done of all are measured after elapsed.
func (p *progress) showf(done, all int, elapsed time.Duration, format string, args ...any) {
	left := "?"
	if done > 0 {
		left = (elapsed / time.Duration(done) * time.Duration(all-done)).Round(time.Second).String()
	}
	fmt.Fprintf(p.w, "\r\x1b[K%d%%, %s left: %s", 100*done/all, left, fmt.Sprintf(format, args...))
}

// clear takes the line away.
func (p *progress) clear() { fmt.Fprint(p.w, "\r\x1b[K") }
