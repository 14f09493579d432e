package interop_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/polyport/polyport/transport"
	_ "github.com/polyport/polyport/transport/http"
)

// TestCurl posts a call, a batch and a notification, over every version of HTTP.
func TestCurl(t *testing.T) {
	cert, ca := newCertificate(t)
	plain := fmt.Sprintf("http://127.0.0.1:%d", startServer(t, "http://127.0.0.1:0", nil))
	secure := fmt.Sprintf("https://127.0.0.1:%d", startServer(t, "https://127.0.0.1:0", &transport.ListenOptions{
		Options: transport.Options{TLS: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}},
	}))
	const (
		one  = `{"jsonrpc":"2.0","id":1,"method":"Math.Sum","params":[1,2,3]}`
		six  = `{"jsonrpc":"2.0","id":1,"result":6}`
		note = `{"jsonrpc":"2.0","method":"Math.Sum","params":[1]}`
	)
	for _, way := range []struct {
		name, version string
		args          []string
	}{
		{"HTTP/1.0", "1", []string{"--http1.0", plain}}, // as curl has it
		{"HTTP/1.1", "1.1", []string{"--http1.1", plain}},
		{"HTTP/1.1 over TLS", "1.1", []string{"--http1.1", "--cacert", ca, secure}},
		{"HTTP/2 by ALPN", "2", []string{"--http2", "--cacert", ca, secure}},
		{"HTTP/2 by prior knowledge", "2", []string{"--http2-prior-knowledge", plain}},
	} {
		t.Run(way.name, func(t *testing.T) {
			for _, r := range []struct{ name, body, want string }{
				{"a call", one, six + " 200 " + way.version},
				{"a batch", "[" + one + "," + note + "," + one + "]", "[" + six + "," + six + "] 200 " + way.version},
				{"a notification", note, " 204 " + way.version},
				{"a large call", fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"Math.Sum","params":[6%s]}`, strings.Repeat(",0", 1<<20)), six + " 200 " + way.version},
			} {
				cmd := append([]string{
					"--header", "Content-Type: application/json", "--data-binary", "@-", "--write-out", " %{http_code} %{http_version}",
				}, way.args...)
				got := curl(t, r.body, cmd...)
				if got = strings.ReplaceAll(got, "\n", ""); got != r.want {
					t.Errorf("%s: %.200q, want %q", r.name, got, r.want)
				}
			}
		})
	}
	if got := curl(t, "", plain+"/health"); got != `{"status":"ok"}`+"\n" {
		t.Errorf("health: %q", got)
	}
	if got := curl(t, "", "--write-out", " %{http_code}", "--data", one, plain); !strings.HasSuffix(got, " 415") || !strings.Contains(got, "Content-Type") {
		t.Errorf("as a form: %q, want 415 and what to do", got)
	}
}

// curl runs it with something to read, and returns what it printed.
func curl(t *testing.T, in string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		missing(t, fmt.Sprintf("curl is not installed (%v)", err), "apt-get install curl")
	}
	cmd := exec.CommandContext(t.Context(), "curl", append([]string{"--silent", "--show-error", "--max-time", "20"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(in), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("curl %q: %v: %s", args, err, stderr.String())
	}
	return string(out)
}
