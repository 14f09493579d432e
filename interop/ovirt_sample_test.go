package interop_test

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
)

// testSample has the engine call "polyport serve --profile ovirt". With
// POLYPORT_LONG=1 it waits for the event, too.
func testSample(t *testing.T) {
	_, number, err := net.SplitHostPort(startBroker(t, "--profile", "ovirt", "--heartbeat", "1s"))
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(number)
	e := startOVirt(t, "engine.py", options{"port": n})
	e.call(`true`, "Host.ping", nil)
	e.call(`{"a": 1}`, "Test.echo", options{"msg": options{"a": 1}})
	e.call(`1`, "Test.sleep", options{"ms": 1})
	e.call(`error 1: Virtual machine does not exist`, "Test.fail", nil)
	for method, field := range map[string]string{"Host.getCapabilities": "cpuCores", "Host.getStats": "memFree"} {
		if got := e.do("call", options{"method": method}).result(); !strings.Contains(got, fmt.Sprintf("%q:", field)) {
			t.Errorf("%s came to %s, want that it has %s", method, got, field)
		}
	}
	e.all(100, nil)
	if os.Getenv("POLYPORT_LONG") == "1" {
		heard := e.do("events", options{"n": 2, "wait": 22}).Events
		if len(heard) != 2 || !strings.HasPrefix(heard[0].ID, "127.0.0.1|virt|VM_status|") {
			t.Errorf("the engine heard %+v", heard)
		}
	}
}
