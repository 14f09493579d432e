package rpc_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/polyport/polyport/rpc"
)

// TestOVirtFilterCases: the twelve cases by which the Java client's filters are
// known. Events are named with the host before the first bar, as there; what a host
// sends has nothing before it.
func TestOVirtFilterCases(t *testing.T) {
	for _, tt := range []struct {
		name    string
		filters []string
		refused string
		event   string
		want    []string // the filters that it is for
	}{
		{name: "all events", filters: []string{"*|*|*|*"}, refused: "write #"},
		{name: "an empty part", filters: []string{"|*|*|*"}, refused: "empty part"},
		{name: "by unique id", filters: []string{"*|*|*|uuid", "*|*|*|uuid2"}, event: "localhost|testcase|test|uuid", want: []string{"*|*|*|uuid"}},
		{name: "by operation", filters: []string{"*|*|test|*"}, event: "localhost|testcase|test|uuid", want: []string{"*|*|test|*"}},
		{
			name: "by operation and unique id", filters: []string{"*|*|test|uuid", "*|*|test|*"},
			event: "localhost|testcase|test|uuid", want: []string{"*|*|test|uuid", "*|*|test|*"},
		},
		{
			name: "by each of three", filters: []string{"*|*|test|uuid", "*|*|test|*", "*|testcase|*|*"},
			event: "localhost|testcase|test|uuid", want: []string{"*|*|test|uuid", "*|*|test|*", "*|testcase|*|*"},
		},
		{
			name: "by operation and component", filters: []string{"*|*|*|uuid", "*|*|test|*", "*|testcase|test2|*"},
			event: "localhost|testcase|test2|uuid", want: []string{"*|*|*|uuid", "*|testcase|test2|*"},
		},
		{
			name: "mixed", filters: []string{"*|testcase|*|uuid", "*|testcase|test|*"},
			event: "localhost|testcase|test2|uuid", want: []string{"*|testcase|*|uuid"},
		},
		{
			name: "by receiver", filters: []string{"localhost|testcase|*|uuid", "remote|*|test|*"},
			event: "remote|testcase|test|uuid2", want: []string{"remote|*|test|*"},
		},
		{
			name: "by receiver and operation", filters: []string{"localhost|*|VM_status|*", "remote|*|VM_status|*"},
			event: "remote|virt|VM_status|uuid", want: []string{"remote|*|VM_status|*"},
		},
		{name: "an event about all of a host", filters: []string{"localhost|*|VM.list|*"}, event: "localhost|*|*|*", want: []string{"localhost|*|VM.list|*"}},
		{
			name: "migrations", filters: []string{"*|*|VM_migration_status|*", "10.35.0.96|*|VM_status|*"},
			event: "10.35.0.96|virt|VM_migration_status|d4b04c1d", want: []string{"*|*|VM_migration_status|*"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.refused != "" {
				err := rpc.CheckParts(tt.filters[0])
				isErr(t, "the filter", err, rpc.ErrTopic)
				if err != nil && !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("it says %q, want it to have %q", err, tt.refused)
				}
				return
			}
			host, rest, _ := strings.Cut(tt.event, "|")
			for _, event := range []string{tt.event, "|" + rest} {
				got := slices.DeleteFunc(slices.Clone(tt.filters), func(f string) bool { return !rpc.MatchesParts(f, event, host) })
				if !slices.Equal(got, tt.want) {
					t.Errorf("%s is for %q, want %q", event, got, tt.want)
				}
			}
		})
	}
}

// TestOVirtFilterFaults: what the Java client gets wrong, and what no filter is for.
func TestOVirtFilterFaults(t *testing.T) {
	for _, tt := range []struct {
		name, filter, event string
		want                bool
	}{
		{"a part in another place", "*|*|virt|*", "|virt|VM_status|1", false},
		{"two parts that have changed places", "*|VM_status|virt|*", "|virt|VM_status|1", false},
		{"the unique id of another component", "*|net|*|1", "|virt|VM_status|1", false},
		{"the receiver as a component", "*|host|*|*", "|virt|VM_status|1", false},
		{"another host", "other|*|*|1", "|virt|VM_status|1", false},
		{"a host whose name begins alike", "hos|*|*|1", "|virt|VM_status|1", false},
		{"the host in capitals", "HOST|*|*|1", "|virt|VM_status|1", true},
		{"all", "#", "|virt|VM_status|1", true},
		{"three parts", "*|*|*|1", "virt|VM_status|1", false},
		{"five parts", "*|*|*|1", "|virt|VM_status|1|2", false},
		{"no parts", "*|*|*|1", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := rpc.MatchesParts(tt.filter, tt.event, "host"); got != tt.want {
				t.Errorf("%s for %s = %v, want %v", tt.filter, tt.event, got, tt.want)
			}
		})
	}
}

// TestCheckFilterOfParts: a filter is checked before anybody knows by which
// connection it will go.
func TestCheckFilterOfParts(t *testing.T) {
	for filter, good := range map[string]bool{
		"host|virt|VM_status|*": true, "*|*|*|1": true, "#": true, "task.*": true,
		"*|*|*|*": false, "host|virt|*": false, "host|vi*|x|y": false, "||*|": false,
		"a|*|b|c|d": false, "a|b|*|" + strings.Repeat("x", 255): false,
	} {
		err := rpc.CheckFilter(filter)
		if (err == nil) != good || err != nil && !errors.Is(err, rpc.ErrTopic) {
			t.Errorf("CheckFilter(%.40s) = %v, want good: %v", filter, err, good)
		}
	}
}

// FuzzOVirtFilter: no text breaks the matcher, a good filter stands for the event of
// the same name, and a part in another place is another event.
func FuzzOVirtFilter(f *testing.F) {
	for _, seed := range [][2]string{
		{"*|virt|VM_status|*", "|virt|VM_status|1"}, {"#", "|a|b|c"}, {"host|*|*|*", "|*|*|*"}, {"|||", "|||"}, {"a|b|c|d", "a|b|c|d|e"}, {"", ""},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, filter, event string) {
		if rpc.CheckParts(filter) != nil && filter != "#" {
			return
		}
		matched := rpc.MatchesParts(filter, event, "host")
		if matched && strings.Count(event, "|") != 3 {
			t.Errorf("%q stands for %q, which has not four parts", filter, event)
		}
		if filter == "#" {
			return
		}
		if !rpc.MatchesParts(filter, filter, "host") {
			t.Errorf("%q does not stand for itself", filter)
		}
		want, is := strings.Split(filter, "|"), strings.Split(event, "|")
		for i := range want {
			if matched && i > 0 && want[i] != "*" && is[i] != "*" && want[i] != is[i] {
				t.Errorf("%q stands for %q", filter, event)
			}
		}
	})
}
