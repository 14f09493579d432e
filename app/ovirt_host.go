package app

import (
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// hostCapabilities says what a host is, by the names that oVirt's engine looks for.
// Numbers are texts where they are in vdsm.
type hostCapabilities struct {
	UUID           string                 `json:"uuid"`
	HostName       string                 `json:"hostName"`
	CPUCores       string                 `json:"cpuCores"`
	CPUThreads     string                 `json:"cpuThreads"`
	CPUSockets     string                 `json:"cpuSockets"`
	CPUModel       string                 `json:"cpuModel"`
	CPUFlags       string                 `json:"cpuFlags"`
	MemSize        string                 `json:"memSize" jsonschema:"In MiB."`
	Kernel         string                 `json:"kernel"`
	OS             operatingSystem        `json:"operatingSystem"`
	KVMEnabled     string                 `json:"kvmEnabled"`
	VMTypes        []string               `json:"vmTypes"`
	Software       string                 `json:"software_version"`
	Revision       string                 `json:"software_revision"`
	Packages       map[string]packageInfo `json:"packages2"`
	HBAInventory   hbaInventory           `json:"HBAInventory"`
	ISCSIInitiator string                 `json:"ISCSIInitiatorName"`
	Hooks          struct{}               `json:"hooks"`
}

type operatingSystem struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Release string `json:"release"`
}

type packageInfo struct {
	Version string `json:"version"`
	Release string `json:"release"`
}

type hbaInventory struct {
	ISCSI []initiator `json:"iSCSI"`
	FC    []struct{}  `json:"FC"`
}

type initiator struct {
	Name string `json:"InitiatorName"`
}

// hostStats says how a host is. Numbers are texts where they are in vdsm.
type hostStats struct {
	CPULoad      string   `json:"cpuLoad"      jsonschema:"How many programs wanted to run, on average of the last minute."`
	CPUUser      string   `json:"cpuUser"      jsonschema:"In percent, as the next two, since the last call."`
	CPUSys       string   `json:"cpuSys"`
	CPUIdle      string   `json:"cpuIdle"`
	MemAvailable int      `json:"memAvailable" jsonschema:"In MiB, as the next three."`
	MemFree      int      `json:"memFree"`
	SwapTotal    int      `json:"swapTotal"`
	SwapFree     int      `json:"swapFree"`
	MemUsed      string   `json:"memUsed"      jsonschema:"In percent."`
	DateTime     string   `json:"dateTime"`
	ElapsedTime  string   `json:"elapsedTime"  jsonschema:"In seconds."`
	VMCount      int      `json:"vmCount"`
	VMActive     int      `json:"vmActive"`
	VMMigrating  int      `json:"vmMigrating"`
	NetDirty     string   `json:"netConfigDirty"`
	Domains      struct{} `json:"storageDomains"`
	Network      struct{} `json:"network"`
}

const initiatorName = "iqn.2010-01.org.example:polyport"

// capabilities reads little files each time: it is called seldom.
func (h *oVirtHost) capabilities() hostCapabilities {
	name, _ := os.Hostname() // "" says that there is none
	kernel := strings.TrimSpace(procFile("sys/kernel/osrelease"))
	version, release, _ := strings.Cut(kernel, "-")
	cores := strconv.Itoa(runtime.NumCPU())
	cpu := fields(procFile("cpuinfo"))
	const software = "4.5.0" // the vdsm that this is like
	return hostCapabilities{
		UUID: h.id, HostName: name,
		CPUCores: cores, CPUThreads: cores, CPUSockets: "1",
		CPUModel: cpu["model name"], CPUFlags: strings.ReplaceAll(cpu["flags"], " ", ","),
		MemSize: strconv.Itoa(mebibytes(fields(procFile("meminfo"))["MemTotal"])),
		Kernel:  kernel, OS: operatingSystem{Name: runtime.GOOS, Version: version, Release: release},
		KVMEnabled: "false", VMTypes: []string{"kvm"}, Software: software, Revision: "0",
		Packages: map[string]packageInfo{
			"kernel": {Version: version, Release: release}, "vdsm": {Version: software, Release: "0"},
		},
		HBAInventory: hbaInventory{ISCSI: []initiator{{initiatorName}}, FC: []struct{}{}}, ISCSIInitiator: initiatorName,
	}
}

func (h *oVirtHost) stats() hostStats {
	mem := fields(procFile("meminfo"))
	total, available := mebibytes(mem["MemTotal"]), mebibytes(mem["MemAvailable"])
	used := 0
	if total > 0 {
		used = 100 * (total - available) / total
	}
	average, _, _ := strings.Cut(procFile("loadavg"), " ")
	user, system, idle := h.load.since(procFile("stat"))
	return hostStats{
		CPULoad: average, CPUUser: user, CPUSys: system, CPUIdle: idle,
		MemAvailable: available, MemFree: mebibytes(mem["MemFree"]), MemUsed: strconv.Itoa(used),
		SwapTotal: mebibytes(mem["SwapTotal"]), SwapFree: mebibytes(mem["SwapFree"]),
		DateTime: time.Now().UTC().Format("2006-01-02T15:04:05 GMT"), ElapsedTime: seconds(time.Since(h.started)),
		VMCount: 1, VMActive: 1, NetDirty: "False",
	}
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

// procFile returns the text of a file of Linux, "" on other systems.
func procFile(name string) string {
	text, err := os.ReadFile("/proc/" + name)
	if err != nil {
		return ""
	}
	return string(text)
}

// fields reads lines "name : value". The first of a name counts.
func fields(text string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); ok && all[name] == "" {
			all[name] = strings.TrimSpace(value)
		}
	}
	return all
}

// mebibytes reads "123 kB".
func mebibytes(text string) int {
	digits, _, _ := strings.Cut(text, " ")
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return n / 1024
}

// A load remembers how long the processors have done what.
type load struct {
	mu   sync.Mutex
	last [3]float64 // user, system, idle
}

// since returns the percentages since the last call, of the first line of
// /proc/stat: "cpu user nice system idle …". They are "" if it says nothing.
func (l *load) since(stat string) (user, system, idle string) {
	line, _, _ := strings.Cut(stat, "\n")
	words := strings.Fields(line)
	if len(words) < 5 || words[0] != "cpu" {
		return "", "", ""
	}
	now := [3]float64{ticks(words[1]) + ticks(words[2]), ticks(words[3]), ticks(words[4])}
	l.mu.Lock()
	past := l.last
	l.last = now
	l.mu.Unlock()
	total := 0.0
	for i := range now {
		total += now[i] - past[i]
	}
	percent := func(i int) string {
		return strconv.FormatFloat(math.Round(10_000*(now[i]-past[i])/max(1, total))/100, 'f', 2, 64)
	}
	return percent(0), percent(1), percent(2)
}

func ticks(word string) float64 {
	n, err := strconv.ParseUint(word, 10, 64)
	if err != nil {
		return 0
	}
	return float64(n)
}
