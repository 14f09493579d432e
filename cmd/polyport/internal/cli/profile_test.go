package cli_test

import (
	"strings"
	"testing"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/transport"
)

// TestOVirtVerbs: what the verbs say and print when they call as oVirt's programs do.
func TestOVirtVerbs(t *testing.T) {
	plain := serve(t, app.Config{Profile: transport.OVirt})
	url := plain + "?profile=ovirt"
	turns := strings.Replace(plain, "stomp:", "zmq:", 1) + "?socket=req"
	const (
		echo = `{"jsonrpc":"2.0","id":"a","method":"Test.echo","params":[1]}`
		ping = `{"jsonrpc":"2.0","id":7,"method":"Host.ping"}`
		fail = `{"jsonrpc":"2.0","id":8,"method":"Test.fail","params":{}}`
		note = `{"jsonrpc":"2.0","method":"Host.ping"}`
	)
	for _, tt := range []struct {
		name, stdin    string
		args           []string
		code           int
		stdout, stderr string // parts
	}{
		{"a call", "", []string{"call", url, "Host.ping"}, 0, "true\n", ""},
		{"an error of theirs", "", []string{"call", url, "Test.fail"}, 1, "", `{"code":1,"message":"Virtual machine does not exist"}`},
		{"busy", "", []string{"call", url, "Test.fail", `[1100,"Too many tasks"]`}, 1, "", "    the host has too many tasks under way, which is its code 1100; nothing was executed"},
		{"not ready", "", []string{"call", url, "Test.fail", `[99,"Recovering"]`}, 1, "", "    the host is starting or recovering, which is its code 99"},
		{"busy, for programs", "", []string{"call", url, "Test.fail", `[1100,"Too many tasks"]`, "--json"}, 1, "", "\"data\":{\"code\":1100}}\n"},
		{"a notification", "", []string{"notify", url, "Host.ping"}, 3, "", "nothing was sent: a notification ends the dispatcher"},
		{"a batch", "[" + echo + "," + ping + "]", []string{"batch", url}, 0, `[{"jsonrpc":"2.0","id":"a","result":1},{"jsonrpc":"2.0","id":7,"result":true}]`, ""},
		{"a batch with an error", "[" + fail + "]", []string{"batch", url}, 1, `[{"jsonrpc":"2.0","id":8,"error":{"code":1,"message":"Virtual machine does not exist"}}]`, ""},
		{"a batch with a notification", "[" + echo + "," + note + "]", []string{"batch", url}, 3, "", "nothing was sent: "},
		{"a batch of what is none", "[1]", []string{"batch", url}, 2, "", "the requests go one by one"},
		{"a request without a method", `[{"id":1}]`, []string{"batch", url}, 2, "", "request 0 of the batch has no method"},
		{"an empty batch", "[]", []string{"batch", url}, 2, "", "the batch is empty"},
		{"a ping", "", []string{"ping", url}, 0, "stomp 1.2", ""},
		{"calls that are counted", "", []string{"bench", url, "--calls", "50", "--concurrency", "8"}, 0, "errors   none", ""},
		{"the document", "", []string{"discover", url}, 0, "Host.getCapabilities", ""},
		{"events where calls take turns", "", []string{"events", turns, "clock", "--count", "1", "--timeout", "1s"}, 3, "", "?socket=sub"},
		{"a filter of words", "", []string{"events", url, "virt.x", "--count", "1"}, 2, "", "receiver|component|operation|unique"},
		{"a wire without it", "", []string{"call", strings.Replace(url, "stomp:", "amqp:", 1), "Host.ping"}, 2, "", "the wire amqp has no profile ovirt"},
		{"one that nobody knows", "", []string{"call", url + "s", "Host.ping"}, 2, "", `unknown profile "ovirts"; known are ovirt, odl`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := runWith(t, tt.stdin, tt.args...)
			if got.code != tt.code || !strings.Contains(got.stdout, tt.stdout) || !strings.Contains(got.stderr, tt.stderr) {
				t.Errorf("%q = %+v, want %d, %q, %q", tt.args, got, tt.code, tt.stdout, tt.stderr)
			}
			if tt.name == "busy, for programs" && strings.Contains(got.stderr, "    ") {
				t.Errorf("%q explains itself to a program: %s", tt.args, got.stderr)
			}
		})
	}
}
