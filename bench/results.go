package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// results is what a run found.
type results struct {
	Date      time.Time     `json:"date"`
	Go        string        `json:"go"`
	Platform  string        `json:"platform"`
	CPU       string        `json:"cpu"`
	Procs     int           `json:"gomaxprocs"`
	Revision  string        `json:"revision,omitempty"`
	Rounds    int           `json:"rounds"`
	Cell      time.Duration `json:"time_per_cell_ns"`
	Took      time.Duration `json:"took_ns"`
	Peers     []peerResult  `json:"peers"`
	workloads []workload
}

// A peerResult is what one peer took.
type peerResult struct {
	Name    string `json:"name"`
	Module  string `json:"module,omitempty"`
	Version string `json:"version,omitempty"`
	How     string `json:"how"`
	// Samples has one for each round, by the name of the workload.
	Samples map[string][]sample `json:"samples"`
	// Ratios are those of the medians' rounds to the yardstick.
	Ratios map[string]ratio `json:"ratios,omitempty"`
}

// A ratio compares a peer with the yardstick: the median of the rounds.
type ratio struct {
	CPU     float64 `json:"cpu"`
	Elapsed float64 `json:"elapsed"`
	// Spread is how far the middle half of the rounds' CPU ratios lies apart,
	// as a part of the median.
	Spread float64 `json:"spread"`
}

func newResults(o *options) *results {
	r := &results{
		Date: time.Now().UTC().Truncate(time.Second), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		CPU: processor(), Procs: runtime.GOMAXPROCS(0), Revision: revision(), Rounds: o.rounds, Cell: o.time, workloads: o.workloads,
	}
	versions := moduleVersions()
	for _, p := range o.peers {
		r.Peers = append(r.Peers, peerResult{
			Name: p.name, Module: p.module, Version: versions[p.module], How: p.how,
			Samples: map[string][]sample{}, Ratios: map[string]ratio{},
		})
	}
	return r
}

// add takes the sample of the round.
func (r *results) add(p peer, w workload, s sample) {
	samples := r.of(p.name).Samples
	samples[w.name] = append(samples[w.name], s)
}

// of returns the result of a peer, nil if it was not measured.
func (r *results) of(name string) *peerResult {
	i := slices.IndexFunc(r.Peers, func(p peerResult) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	return &r.Peers[i]
}

// compare sets the ratios, if the yardstick was measured.
func (r *results) compare() {
	base := r.of(yardstick)
	if base == nil {
		return
	}
	for _, p := range r.Peers {
		for name, samples := range p.Samples {
			cpu, elapsed := make([]float64, len(samples)), make([]float64, len(samples))
			for round, s := range samples {
				b := base.Samples[name][round]
				cpu[round] = float64(s.CPU) / float64(b.CPU)
				elapsed[round] = float64(s.Elapsed) / float64(b.Elapsed)
			}
			middle := median(cpu)
			p.Ratios[name] = ratio{
				CPU: middle, Elapsed: median(elapsed),
				Spread: (quantile(cpu, 0.75) - quantile(cpu, 0.25)) / middle,
			}
		}
	}
}

// typical returns the medians of the rounds.
func typical(samples []sample) sample {
	over := func(f func(s sample) float64) float64 {
		numbers := make([]float64, len(samples))
		for i, s := range samples {
			numbers[i] = f(s)
		}
		return median(numbers)
	}
	return sample{
		CPU:     time.Duration(over(func(s sample) float64 { return float64(s.CPU) })),
		Elapsed: time.Duration(over(func(s sample) float64 { return float64(s.Elapsed) })),
		Allocs:  over(func(s sample) float64 { return s.Allocs }),
		Bytes:   over(func(s sample) float64 { return s.Bytes }),
		Ops:     int(over(func(s sample) float64 { return float64(s.Ops) })),
	}
}

func median(numbers []float64) float64 { return quantile(numbers, 0.5) }

// quantile returns the number below which the part q of numbers lies, between
// two of them if need be.
func quantile(numbers []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(numbers))
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 == len(sorted) {
		return sorted[i]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

func (r *results) writeJSON(w io.Writer) error {
	r.compare()
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// moduleVersions are the versions that this program was built with.
func moduleVersions() map[string]string {
	versions := map[string]string{}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return versions
	}
	for _, m := range info.Deps {
		if m.Replace == nil {
			versions[m.Path] = m.Version
		}
	}
	return versions
}

// revision is the commit of the tree around, if git knows it.
func revision() string {
	out, err := exec.CommandContext(context.Background(), "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// processor is the name of the processor, if the system tells it.
func processor() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
