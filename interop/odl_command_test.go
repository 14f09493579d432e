package interop_test

import (
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// TestODLCommand: "polyport serve --profile odl" answers all of OpenDaylight's
// transports at one port, and "polyport call" calls its servers.
func TestODLCommand(t *testing.T) {
	t.Parallel()
	bin := buildCommand(t)
	_, text, err := net.SplitHostPort(startCommand(t, bin, "--profile", "odl"))
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, scheme := range odlSchemes {
		p := odlPrograms[scheme]
		them := startODL(t, p.program, p.client, port)
		same(t, "Math.Sum over "+scheme, them.call("Math.Sum", 1, 2, 3), "6")
		same(t, "with a bare argument", them.call("Math.Sum", 7), "7")
		server := startODL(t, p.program, p.server)
		url := fmt.Sprintf("%s://127.0.0.1:%d?profile=odl", scheme, server.port)
		out, err := exec.CommandContext(t.Context(), bin, "call", url, "add", "[1,2]").CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != "3" {
			t.Errorf("call %s: %v: %s", url, err, got)
		}
	}
}
