package interop_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/polyport/polyport/internal/issuer"
	"github.com/polyport/polyport/rpc"
	_ "github.com/polyport/polyport/transport/http"
	"github.com/polyport/polyport/transport/port"
)

// A onePort is a server of every wire at one port, with TLS and without.
type onePort struct {
	number int
	ca     string // file of the authority of its certificate and of its clients'
	// cert and key are the files of a client's, whose subject is "ann".
	cert, key string
}

// serveAll serves Math.Sum, Echo, Enter, which takes {"n": N} and returns 7*N, and
// Subject, which returns whose certificate the caller has shown.
func serveAll(t *testing.T, change func(*port.Options)) onePort {
	t.Helper()
	authority, err := issuer.New("interop")
	if err != nil {
		t.Fatal(err)
	}
	server, err := authority.Issue("server", "127.0.0.1", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	o := new(port.Options)
	o.TLS = &tls.Config{Certificates: []tls.Certificate{server}, ClientCAs: authority.Pool()}
	if change != nil {
		change(o)
	}
	l, err := port.Listen(t.Context(), "127.0.0.1:0", o)
	if err != nil {
		t.Fatal(err)
	}
	mux := sampleMux()
	rpc.Handle(mux, "Enter", func(_ context.Context, p struct {
		N int `json:"n"`
	},
	) (int, error) {
		return 7 * p.N, nil
	})
	rpc.Handle(mux, "Subject", func(ctx context.Context, _ struct{}) (string, error) {
		r, _ := rpc.FromContext(ctx)
		if r.Info.TLS == nil || len(r.Info.TLS.VerifiedChains) == 0 {
			return "", errors.New("nobody")
		}
		return r.Info.TLS.PeerCertificates[0].Subject.CommonName, nil
	})
	start(t, rpc.NewServer(mux, nil), l)
	p := onePort{number: portOf(l)}
	p.write(t, authority)
	return p
}

// write puts the certificates into files.
func (p *onePort) write(t *testing.T, authority *issuer.Authority) {
	t.Helper()
	ann, err := authority.Issue("ann")
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := issuer.PEM(ann)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p.ca, p.cert, p.key = filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, text := range map[string][]byte{p.ca: authority.PEM(), p.cert: cert, p.key: key} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// url is that of the port for a scheme.
func (p *onePort) url(scheme string) string {
	return fmt.Sprintf("%s://127.0.0.1:%d", scheme, p.number)
}

// need ends the test if a program is not there.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		missing(t, program+" is not installed", "apt-get install "+program)
	}
}

// tryCurl runs curl, and returns what came, and its complaint if it failed.
func tryCurl(t *testing.T, args ...string) (out string, err error) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "curl", append([]string{"--silent", "--show-error"}, args...)...)
	var said strings.Builder
	cmd.Stderr = &said
	b, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, &said)
	}
	return string(b), err
}

// TestCurlAtThePort: curl posts a call, a batch and a notification, and asks for the health.
func TestCurlAtThePort(t *testing.T) {
	need(t, "curl")
	p := serveAll(t, nil)
	for _, scheme := range []string{"http", "https"} {
		for _, version := range []string{"--http1.1", "--http2", "--http2-prior-knowledge"} {
			if scheme == "https" && version == "--http2-prior-knowledge" {
				continue // which is without TLS
			}
			t.Run(scheme+version, func(t *testing.T) {
				post := func(body string) string {
					t.Helper()
					out, err := tryCurl(t, version, "--cacert", p.ca, "--json", body, "--write-out", "|%{http_code}", p.url(scheme))
					if err != nil {
						t.Errorf("curl: %v", err)
					}
					return out
				}
				for _, c := range []struct{ name, body, want string }{
					{"call", `{"jsonrpc":"2.0","id":1,"method":"Math.Sum","params":[1,2,3]}`, `{"jsonrpc":"2.0","id":1,"result":6}|200`},
					{
						"batch", `[{"jsonrpc":"2.0","id":1,"method":"Echo","params":["a"]},{"jsonrpc":"2.0","method":"Echo"},{"jsonrpc":"2.0","id":2,"method":"Math.Sum","params":[4]}]`,
						`[{"jsonrpc":"2.0","id":1,"result":["a"]},{"jsonrpc":"2.0","id":2,"result":4}]|200`,
					},
					{"notification", `{"jsonrpc":"2.0","method":"Echo","params":[1]}`, `|204`},
				} {
					if got := post(c.body); got != c.want {
						t.Errorf("%s: %s, want %s", c.name, got, c.want)
					}
				}
				if out, err := tryCurl(t, version, "--cacert", p.ca, "--write-out", "|%{http_code}", p.url(scheme)+"/health"); err != nil || !strings.HasSuffix(out, "|200") {
					t.Errorf("health: %s, %v", out, err)
				}
			})
		}
	}
}

// xmlrpc calls Math.Sum by Python's xmlrpc.client.
const xmlrpc = `
import sys, ssl, xmlrpc.client
url, ca, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
context = ssl.create_default_context(cafile=ca) if url.startswith("https") else None
server = xmlrpc.client.ServerProxy(url, context=context)
for i in range(n):
    assert server.Math.Sum(i, 2 * i) == 3 * i, i
try:
    server.No.Such()
except xmlrpc.client.Fault as fault:
    print(n, fault.faultCode)
`

func xmlrpcSums(t *testing.T, p onePort, scheme string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, python, "-c", xmlrpc, p.url(scheme), p.ca, strconv.Itoa(n)).CombinedOutput()
	if got := strings.TrimSpace(string(out)); err != nil || got != fmt.Sprint(n, " -32601") {
		t.Errorf("xmlrpc.client over %s: %v\n%s", scheme, err, out)
	}
}

// TestXMLRPCAtThePort: Python's xmlrpc.client calls Math.Sum.
func TestXMLRPCAtThePort(t *testing.T) {
	need(t, "python3")
	p := serveAll(t, nil)
	for _, scheme := range []string{"http", "https"} {
		xmlrpcSums(t, p, scheme, 3)
	}
}

// A terminal is openssl s_client, with somebody who types.
type terminal struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func (p *onePort) terminal(t *testing.T, args ...string) *terminal {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	args = append([]string{"s_client", "-quiet", "-verify_quiet", "-verify_return_error", "-CAfile", p.ca, "-connect", fmt.Sprintf("127.0.0.1:%d", p.number)}, args...)
	s := &terminal{t: t, cmd: exec.CommandContext(ctx, "openssl", args...)}
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.out = bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.in.Close()
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	})
	return s
}

// types sends a frame of STOMP, and returns the next that comes.
func (s *terminal) types(frame string) string {
	s.t.Helper()
	if _, err := io.WriteString(s.in, frame+"\x00"); err != nil {
		s.t.Errorf("typing: %v", err)
	}
	got, err := s.out.ReadString(0)
	if err != nil {
		s.t.Errorf("after %.20q came %q, %v", frame, got, err)
	}
	return strings.TrimLeft(got, "\n")
}

// TestStompByHand: openssl s_client, then STOMP as one would type it.
func TestStompByHand(t *testing.T) {
	need(t, "openssl")
	p := serveAll(t, nil)
	s := p.terminal(t)
	if got := s.types("CONNECT\naccept-version:1.2\nhost:/\n\n"); !strings.HasPrefix(got, "CONNECTED\n") {
		t.Fatalf("CONNECT is answered by %q", got)
	}
	if _, err := io.WriteString(s.in, "SUBSCRIBE\nid:1\ndestination:/queue/me\n\n\x00"); err != nil {
		t.Fatal(err)
	}
	got := s.types("SEND\ndestination:/queue/rpc\nreply-to:/queue/me\n\n" + `{"jsonrpc":"2.0","id":1,"method":"Math.Sum","params":[1,2,3]}`)
	if !strings.HasPrefix(got, "MESSAGE\n") || !strings.HasSuffix(got, `{"jsonrpc":"2.0","id":1,"result":6}`+"\x00") {
		t.Errorf("SEND is answered by %q, want a MESSAGE with 6", got)
	}
}

// TestForeignersAtOnePort: stomp.py, libzmq, Qpid Proton, curl and Python's
// xmlrpc.client at the same time at the same port, plain and with TLS; libzmq has
// no TLS.
func TestForeignersAtOnePort(t *testing.T) {
	needStompPy(t)
	needPyzmq(t)
	need(t, "curl")
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import proton").CombinedOutput(); err != nil {
		missing(t, "Qpid Proton is not installed: "+lastLine(out), "apt-get install python3-qpid-proton")
	}
	const calls = 100
	p := serveAll(t, nil)
	stomp := func(t *testing.T, o options) {
		o["port"], o["version"], o["reply_to"], o["ack"], o["calls"] = p.number, "1.2", "/queue/answers", "auto", sums(calls)
		judgeSums(t, stompPy(t, o), calls)
	}
	zmq := func(t *testing.T, o options) {
		o["endpoint"], o["method"], o["first"], o["calls"], o["patience"] = tcp(p.number), "Enter", 0, calls, patience.Seconds()
		judgeClient(t, startScript(t, "zmq_client.py", o), calls)
	}
	amqp := func(t *testing.T, o options) {
		o["role"], o["n"], o["target"] = "call", calls, "rpc"
		e := startScript(t, "proton_client.py", o).await("done", 3*patience)
		if e.Answered != calls || len(e.Lost)+len(e.Doubled)+len(e.Wrong) > 0 {
			t.Errorf("Proton told %+v, want %d answers", e, calls)
		}
	}
	web := func(t *testing.T, scheme string) {
		for i := range 10 {
			want := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":%d}`, i, 3*i)
			out, err := tryCurl(t, "--cacert", p.ca, "--json", sums(10)[i], p.url(scheme))
			var got any
			if err != nil || json.Unmarshal([]byte(out), &got) != nil || out != want {
				t.Errorf("curl over %s: %s, %v, want %s", scheme, out, err, want)
			}
		}
	}
	var all sync.WaitGroup
	for name, call := range map[string]func(*testing.T){
		"stomp":      func(t *testing.T) { stomp(t, options{}) },
		"stomp tls":  func(t *testing.T) { stomp(t, options{"ca": p.ca}) },
		"zmq dealer": func(t *testing.T) { zmq(t, options{"socket": "DEALER", "window": 10}) },
		"zmq req":    func(t *testing.T) { zmq(t, options{"socket": "REQ"}) },
		"amqp":       func(t *testing.T) { amqp(t, options{"url": fmt.Sprintf("127.0.0.1:%d", p.number)}) },
		"amqp tls":   func(t *testing.T) { amqp(t, options{"url": p.url("amqps"), "ca": p.ca}) },
		"http":       func(t *testing.T) { web(t, "http") },
		"https":      func(t *testing.T) { web(t, "https") },
		"xmlrpc":     func(t *testing.T) { xmlrpcSums(t, p, "http", calls) },
		"xmlrpc tls": func(t *testing.T) { xmlrpcSums(t, p, "https", calls) },
	} {
		all.Go(func() { // subtests would not run all at once
			call(t)
			t.Logf("%s: done", name)
		})
	}
	all.Wait()
}

// TestForeignersWithCertificates: without one a program is refused with words, with
// one the handler sees the subject.
func TestForeignersWithCertificates(t *testing.T) {
	need(t, "curl")
	need(t, "openssl")
	const subject = `{"jsonrpc":"2.0","id":1,"method":"Subject"}`
	for name, c := range map[string]struct {
		change func(*port.Options)
		words  string
	}{
		"in TLS": {func(o *port.Options) { o.TLS.ClientAuth = tls.RequireAndVerifyClientCert }, "required"},
		"by the wire": {
			func(o *port.Options) {
				o.ClientCerts = map[string]port.ClientCert{"http": port.Required, "stomp": port.Required}
			},
			"a client certificate is required",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := serveAll(t, c.change)
			out, err := tryCurl(t, "--cacert", p.ca, "--json", subject, p.url("https"))
			if told := fmt.Sprint(out, err); !strings.Contains(told, c.words) {
				t.Errorf("curl without a certificate: %s, want %q", told, c.words)
			}
			out, err = tryCurl(t, "--cacert", p.ca, "--cert", p.cert, "--key", p.key, "--json", subject, p.url("https"))
			if want := `{"jsonrpc":"2.0","id":1,"result":"ann"}`; out != want || err != nil {
				t.Errorf("curl with a certificate: %s, %v, want %s", out, err, want)
			}
			if name == "by the wire" {
				got := p.terminal(t).types("CONNECT\naccept-version:1.2\nhost:/\n\n")
				if !strings.HasPrefix(got, "ERROR\n") || !strings.Contains(got, c.words) {
					t.Errorf("openssl without a certificate: %q, want an ERROR with %q", got, c.words)
				}
			}
			s := p.terminal(t, "-cert", p.cert, "-key", p.key)
			if got := s.types("CONNECT\naccept-version:1.2\nhost:/\n\n"); !strings.HasPrefix(got, "CONNECTED\n") {
				t.Fatalf("openssl with a certificate: %q", got)
			}
			if _, err := io.WriteString(s.in, "SUBSCRIBE\nid:1\ndestination:/queue/me\n\n\x00"); err != nil {
				t.Fatal(err)
			}
			if got := s.types("SEND\ndestination:/queue/rpc\nreply-to:/queue/me\n\n" + subject); !strings.Contains(got, `"result":"ann"`) {
				t.Errorf("openssl with a certificate: %q, want ann", got)
			}
		})
	}
}
