package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestPeers lets every peer do a little of all that it can; the workloads
// compare the answers.
func TestPeers(t *testing.T) {
	t.Parallel()
	for _, p := range allPeers() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			r, err := p.start(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := r.client.Close(); err != nil {
					t.Error("close:", err)
				}
			}()
			for _, w := range allWorkloads() {
				if !w.possible(r) {
					continue
				}
				n := map[string]int{"Callers64": 2 * callers, "Notify": burst + 1}[w.name]
				if err := w.do(t.Context(), r, max(1, n)); err != nil {
					t.Errorf("%s: %v", w.name, err)
				}
			}
		})
	}
}

// TestWrongAnswer proves that a workload notices what TestPeers relies on.
func TestWrongAnswer(t *testing.T) {
	for _, w := range allWorkloads() {
		if w.name == "Notify" {
			continue // has no answer
		}
		r := &rig{client: liar{}, service: &service{noted: newCounter()}}
		if err := w.do(t.Context(), r, 1); err == nil {
			t.Errorf("%s believed a wrong answer", w.name)
		}
	}
}

// liar answers all wrongly.
type liar struct{}

func (liar) Sum(context.Context, []float64) (float64, error) { return 1, nil }
func (liar) Echo(context.Context, text) (text, error)        { return text{"no"}, nil }
func (liar) Close() error                                    { return nil }
func (liar) SumBatch(_ context.Context, calls [][]float64) ([]float64, error) {
	return make([]float64, len(calls)), nil
}

// bench runs the program and returns what it printed.
func bench(t *testing.T, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if got := run(t.Context(), args, &out, &errs); got != code {
		t.Fatalf("bench %q = %d, want %d; stderr: %s", args, got, code, &errs)
	}
	return out.String(), errs.String()
}

func TestMarkdown(t *testing.T) {
	doc := filepath.Join(t.TempDir(), "bench.md")
	const before, after = "before\n\n", "\nafter\n"
	if err := os.WriteFile(doc, []byte(before+tablesMark+"old"+endMark+after), 0o600); err != nil {
		t.Fatal(err)
	}
	out, stderr := bench(t, 0, "-peers", "raw-json,net/rpc", "-workloads", "sequential,notify", "-rounds", "2", "-time", "1ms", "-doc", doc)
	if stderr != "" {
		t.Errorf("stderr = %q, want nothing where it is no terminal", stderr)
	}
	for _, want := range []string{"| raw-json | 1.00 / 1.00 | 1.00 / 1.00 |", "| Notify, a notification |", "| net/rpc | net/rpc/jsonrpc | "} {
		if !strings.Contains(out, want) {
			t.Errorf("Markdown lacks %q:\n%s", want, out)
		}
	}
	if row := line(out, "| net/rpc | "); !strings.Contains(row, " | – | ") {
		t.Errorf("net/rpc cannot notify, but its row is %q", row)
	}
	got, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	if want := before + tablesMark + "\n" + out + "\n" + endMark + after; string(got) != want {
		t.Errorf("document = %q, want %q", got, want)
	}
}

// line returns the first line that begins with prefix.
func line(s, prefix string) string {
	for l := range strings.Lines(s) {
		if strings.HasPrefix(l, prefix) {
			return l
		}
	}
	return ""
}

func TestJSON(t *testing.T) {
	out, _ := bench(t, 0, "-peers", "raw-json,raw-bytes", "-workloads", "Echo16KiB", "-rounds", "3", "-time", "1ms", "-json")
	var got results
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	for _, p := range got.Peers {
		samples := p.Samples["Echo16KiB"]
		if len(samples) != 3 || samples[0].Elapsed <= 0 || samples[0].Ops < 1 || p.Ratios["Echo16KiB"].Elapsed <= 0 {
			t.Errorf("%s: %+v", p.Name, p)
		}
	}
}

// TestZMQ: without libzmq that is said, and all else is measured.
func TestZMQ(t *testing.T) {
	doc := filepath.Join(t.TempDir(), "bench.md")
	if err := os.WriteFile(doc, []byte(zmqMark+endMark), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-zmq", "-rounds", "1", "-time", "1ms", "-doc", doc}
	measured, stderr := bench(t, 0, args...)
	switch {
	case strings.Contains(stderr, "NOT MEASURED"):
		t.Skip(stderr)
	case stderr != "":
		t.Errorf("stderr = %q", stderr)
	}
	t.Setenv("PATH", "")
	without, stderr := bench(t, 0, args...)
	if !strings.Contains(stderr, "libzmq is NOT MEASURED") || !strings.Contains(stderr, "libzmq3-dev") {
		t.Errorf("without gcc, stderr = %q", stderr)
	}
	for out, dashes := range map[string]int{measured: 0, without: 3} {
		row := line(out, "| 64 B | 64 | ")
		if row == "" || strings.Count(row, absent) != dashes || line(out, "| 1000 | ") == "" {
			t.Errorf("want rows for 64 B, with %d things missing, and for 1000 connections:\n%s", dashes, out)
		}
	}
	if text, err := os.ReadFile(doc); err != nil || !strings.Contains(string(text), without) {
		t.Errorf("the document is %s, %v", text, err)
	}
}

func TestProfile(t *testing.T) {
	cpu, mem := filepath.Join(t.TempDir(), "cpu.out"), filepath.Join(t.TempDir(), "mem.out")
	bench(t, 0, "-peers", "raw-bytes", "-workloads", "Callers64", "-rounds", "1", "-time", "1ms", "-cpuprofile", cpu, "-memprofile", mem)
	for _, file := range []string{cpu, mem} {
		if info, err := os.Stat(file); err != nil || info.Size() == 0 {
			t.Errorf("profile %s: %v, %v", file, info, err)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{"-peers", "carrier-pigeon"},
		{"-workloads", "Sequential,Sequential"},
		{"-rounds", "0"},
		{"-cpuprofile", "cpu.out"},
		{"more"},
	} {
		if _, stderr := bench(t, 2, args...); !strings.Contains(stderr, "bench: ") {
			t.Errorf("bench %q says %q", args, stderr)
		}
	}
	bench(t, 0, "-h")
}

func TestQuantile(t *testing.T) {
	numbers := []float64{4, 1, 3, 2}
	for q, want := range map[float64]float64{0: 1, 0.5: 2.5, 0.75: 3.25, 1: 4} {
		if got := quantile(numbers, q); got != want {
			t.Errorf("quantile(%v, %v) = %v, want %v", numbers, q, got, want)
		}
	}
}

func TestBrief(t *testing.T) {
	for d, want := range map[time.Duration]string{
		999: "999 ns", 1500: "1.50 µs", 25 * time.Microsecond: "25.0 µs", 131 * time.Millisecond: "131 ms", 2 * time.Second: "2.00 s",
	} {
		if got := brief(d); got != want {
			t.Errorf("brief(%d) = %q, want %q", d, got, want)
		}
	}
}
