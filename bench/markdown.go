package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// absent stands for what a peer cannot do.
const absent = "–"

// markdown returns the tables.
func (r *results) markdown() string {
	r.compare()
	var b strings.Builder
	b.WriteString(r.conditions())
	b.WriteString(r.ratioTable())
	b.WriteString(r.absoluteTable())
	b.WriteString(r.peerTable())
	return b.String()
}

// conditions says in one paragraph what was measured where.
func (r *results) conditions() string {
	s := fmt.Sprintf("%s, %s %s, %s, GOMAXPROCS %d", r.Date.Format(time.DateOnly), r.Go, r.Platform, r.CPU, r.Procs)
	if r.Revision != "" {
		s += ", polyport " + r.Revision
	}
	s += fmt.Sprintf("; median of %d rounds of %v each.\n", r.Rounds, r.Cell)
	var spreads []float64
	for _, p := range r.Peers {
		if p.Name == yardstick {
			continue
		}
		for _, one := range p.Ratios {
			spreads = append(spreads, one.Spread)
		}
	}
	if len(spreads) > 0 && r.Rounds > 1 {
		s += fmt.Sprintf("Of a cell's rounds the middle half lies %.0f %% apart (processor time; median of all cells), "+
			"%.0f %% in the worst cell.\n",
			100*median(spreads), 100*slices.Max(spreads))
	}
	return s
}

// ratioTable has a row for each peer; without the yardstick its times are
// absolute.
func (r *results) ratioTable() string {
	var t table
	header := []string{"processor / elapsed time"}
	for _, w := range r.workloads {
		header = append(header, w.name)
	}
	t.header(append(header, "allocs/call", "B/call", "allocs/notification", "B/notification")...)
	for _, p := range r.Peers {
		row := []string{p.Name}
		for _, w := range r.workloads {
			row = append(row, p.time(w.name))
		}
		callAllocs, callBytes := p.memory("Sequential")
		noteAllocs, noteBytes := p.memory("Notify")
		t.row(append(row, callAllocs, callBytes, noteAllocs, noteBytes)...)
	}
	return t.String()
}

// time returns what p took for a workload.
func (p peerResult) time(workload string) string {
	samples := p.Samples[workload]
	if len(samples) == 0 {
		return absent
	}
	if one, ok := p.Ratios[workload]; ok {
		return fmt.Sprintf("%.2f / %.2f", one.CPU, one.Elapsed)
	}
	s := typical(samples)
	return brief(s.CPU) + " / " + brief(s.Elapsed)
}

// memory returns what p allocated for each operation of a workload.
func (p peerResult) memory(workload string) (allocs, size string) {
	samples := p.Samples[workload]
	if len(samples) == 0 {
		return absent, absent
	}
	s := typical(samples)
	return fmt.Sprintf("%.0f", s.Allocs), fmt.Sprintf("%.0f", s.Bytes)
}

// absoluteTable says what 1.00 is, and what it allocates.
func (r *results) absoluteTable() string {
	base := r.of(yardstick)
	if base == nil {
		return ""
	}
	var t table
	t.header(yardstick+" itself", "processor time", "elapsed time", "allocs", "bytes")
	for _, w := range r.workloads {
		s := typical(base.Samples[w.name])
		t.row(w.name+", a "+w.unit, brief(s.CPU), brief(s.Elapsed), fmt.Sprintf("%.0f", s.Allocs), fmt.Sprintf("%.0f", s.Bytes))
	}
	return t.String()
}

// peerTable says what was measured and how it was used.
func (r *results) peerTable() string {
	var t table
	t.header("peer", "version", "used as")
	for _, p := range r.Peers {
		version := strings.TrimSpace(p.Module + " " + p.Version)
		if p.Module == "" {
			version = "written here"
		}
		t.row(p.Name, version, p.How)
	}
	return t.String()
}

// brief shows a time with three digits.
func brief(d time.Duration) string {
	unit, name := time.Nanosecond, "ns"
	switch {
	case d >= time.Second:
		unit, name = time.Second, "s"
	case d >= time.Millisecond:
		unit, name = time.Millisecond, "ms"
	case d >= time.Microsecond:
		unit, name = time.Microsecond, "µs"
	}
	n := float64(d) / float64(unit)
	digits := 2
	if n >= 10 {
		digits = 1
	}
	if n >= 100 || unit == time.Nanosecond {
		digits = 0
	}
	return strconv.FormatFloat(n, 'f', digits, 64) + " " + name
}

// A table is one of Markdown, whose first column is text and whose others are
// numbers if they look like it.
type table struct{ b strings.Builder }

func (t *table) header(cells ...string) {
	t.b.WriteByte('\n')
	t.row(cells...)
	rules := make([]string, len(cells))
	for i := range rules {
		rules[i] = "---"
	}
	t.row(rules...)
}

func (t *table) row(cells ...string) {
	t.b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

// String returns the text.
func (t *table) String() string { return t.b.String() }

// The markers between which the tables stand in a document.
const (
	tablesMark  = "<!-- bench: written by make bench -->\n"
	brokersMark = "<!-- bench: written by make bench-brokers -->\n"
	zmqMark     = "<!-- bench: written by make bench-zmq -->\n"
	legacyMark  = "<!-- bench: written by make bench-legacy -->\n"
	hubMark     = "<!-- bench: written by make bench-hub -->\n"
	endMark     = "<!-- bench: end -->\n"
)

// replaceInFile puts s between a marker and the next end in a file.
func replaceInFile(name, beginMark, s string) error {
	old, err := os.ReadFile(name) //nolint:gosec // the user names the file
	if err != nil {
		return err
	}
	before, rest, ok1 := bytes.Cut(old, []byte(beginMark))
	_, after, ok2 := bytes.Cut(rest, []byte(endMark))
	if !ok1 || !ok2 {
		return errors.New(name + " lacks the markers " + strings.TrimSpace(beginMark) + " and " + strings.TrimSpace(endMark))
	}
	text := string(before) + beginMark + "\n" + s + "\n" + endMark + string(after)
	return os.WriteFile(name, []byte(text), 0o600) //nolint:gosec // the user names the file; it exists and keeps its mode
}
