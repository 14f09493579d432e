package app_test

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/rpc/openrpc"
	"github.com/polyport/polyport/transport"
)

func TestOVirtMethods(t *testing.T) {
	r := start(t, app.Config{Profile: transport.OVirt, Listen: []string{"mem://host:0"}})
	c := dial(t, r.url(), nil)
	for _, tt := range []struct {
		name, method, params string

		result, message string
		code            rpc.Code
	}{
		{name: "for who cannot take null", method: "Host.ping", params: `{}`, result: `true`},
		{name: "by name", method: "Test.echo", params: `{"msg":{"a":[1.0]}}`, result: `{"a":[1.0]}`},
		{name: "by position", method: "Test.echo", params: `["x"]`, result: `"x"`},
		{name: "nothing", method: "Test.echo", params: `{}`, code: rpc.CodeInvalidParams, message: "/msg"},
		{name: "by name", method: "Test.sleep", params: `{"ms":1}`, result: `1`},
		{name: "before now", method: "Test.sleep", params: `[-1]`, code: rpc.CodeInvalidParams},
		{name: "as vdsm", method: "Test.fail", code: 1, message: "Virtual machine does not exist"},
		{name: "with empty params", method: "Test.fail", params: `{}`, code: 1, message: "Virtual machine does not exist"},
		{name: "by name", method: "Test.fail", params: `{"code":1100,"message":"Too many tasks"}`, code: 1100, message: "Too many tasks"},
		{name: "by position", method: "Test.fail", params: `[99,"not yet"]`, code: 99, message: "not yet"},
		{name: "the other samples, too", method: "Math.Sum", params: `[1,2]`, result: `3`},
	} {
		t.Run(tt.method+" "+tt.name, func(t *testing.T) {
			var params any
			if tt.params != "" {
				params = json.RawMessage(tt.params)
			}
			got, err := rpc.Call[json.RawMessage](t.Context(), c, tt.method, params)
			if tt.code == 0 {
				if string(got) != tt.result || err != nil {
					t.Errorf("%s(%s) = %s, %v, want %s", tt.method, tt.params, got, err, tt.result)
				}
				return
			}
			e, ok := errors.AsType[*rpc.Error](err)
			if !ok || e.Code != tt.code || !strings.Contains(e.Message, tt.message) {
				t.Errorf("%s(%s) = %s, %v, want %q with code %d", tt.method, tt.params, got, err, tt.message, tt.code)
			}
		})
	}
}

// Capabilities and statistics have what an engine looks for, and are of this machine.
func TestOVirtHost(t *testing.T) {
	r := start(t, app.Config{Profile: transport.OVirt, Listen: []string{"mem://host:0"}})
	c := dial(t, r.url(), nil)
	caps, err := rpc.Call[map[string]any](t.Context(), c, "Host.getCapabilities", map[string]any{})
	if err != nil {
		t.Fatal(err)
	}
	name, _ := os.Hostname()
	for key, want := range map[string]any{"hostName": name, "cpuCores": strconv.Itoa(runtime.NumCPU()), "kvmEnabled": "false"} {
		if caps[key] != want {
			t.Errorf("capabilities: %s = %v, want %v", key, caps[key], want)
		}
	}
	for _, key := range []string{"uuid", "cpuModel", "kernel", "operatingSystem", "packages2", "HBAInventory", "hooks", "software_version", "memSize"} {
		if caps[key] == nil {
			t.Errorf("capabilities have no %s", key)
		}
	}
	for range 2 { // the second has the load since the first
		stats, err := rpc.Call[map[string]any](t.Context(), c, "Host.getStats", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"cpuLoad", "cpuUser", "cpuSys", "cpuIdle", "memUsed", "elapsedTime"} {
			if n, err := strconv.ParseFloat(stats[key].(string), 64); (err != nil || n < 0) && runtime.GOOS == "linux" {
				t.Errorf("statistics: %s = %v, want a number", key, stats[key])
			}
		}
		if stats["memAvailable"] == 0.0 && runtime.GOOS == "linux" {
			t.Error("statistics: no memory is available")
		}
		if at, err := time.Parse("2006-01-02T15:04:05 GMT", stats["dateTime"].(string)); err != nil || time.Since(at).Abs() > time.Hour {
			t.Errorf("statistics: dateTime = %v, %v", stats["dateTime"], err)
		}
	}
}

// The sample is there only where it is asked for, and described where it is.
func TestOVirtSampleIsAskedFor(t *testing.T) {
	for _, tt := range []struct {
		conf  app.Config
		there bool
	}{
		{app.Config{Listen: []string{"mem://host:0"}}, false},
		{app.Config{Listen: []string{"mem://host:0"}, Profile: transport.OpenDaylight}, false},
		{app.Config{Listen: []string{"mem://host:0"}, Profile: transport.OVirt}, true},
		{app.Config{Listen: []string{"mem://host:0", "127.0.0.1:0?profile=ovirt"}}, true},
	} {
		r := start(t, tt.conf)
		text, err := rpc.Call[json.RawMessage](t.Context(), dial(t, r.url(), nil), "rpc.discover", nil)
		if err != nil {
			t.Fatal(err)
		}
		d, err := openrpc.Decode(text)
		if err != nil {
			t.Fatalf("the document: %v", err)
		}
		if got := d.Method("Host.ping") != nil; got != tt.there {
			t.Errorf("%v: Host.ping is there: %v, want %v", tt.conf.Listen, got, tt.there)
		}
	}
}

// A machine that is up is told of every 10 s, and no longer than the server lives.
func TestOVirtEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, app.Config{Profile: transport.OVirt, Listen: []string{"mem://host:0"}})
		c := dial(t, r.url(), nil)
		next := subscribe(t, c, "#")
		began := time.Now()
		for i := 1; i <= 3; i++ {
			e := next()
			for e.Topic == "clock" {
				e = next()
			}
			if got, want := time.Since(began), time.Duration(i)*10*time.Second; got != want {
				t.Errorf("event %d after %v, want %v", i, got, want)
			}
			part := strings.Split(e.Topic, "|")
			if len(part) != 4 || strings.Join(part[:3], "|") != "|virt|VM_status" {
				t.Fatalf("event %d on %q, want |virt|VM_status|UUID", i, e.Topic)
			}
			var params map[string]json.RawMessage
			var status struct {
				Status string `json:"status"`
			}
			if err := e.Decode(&params); err != nil || json.Unmarshal(params[part[3]], &status) != nil || status.Status != "Up" {
				t.Errorf("event %d: %s, %v, want the status of %s", i, e.Params, err, part[3])
			}
			if got, want := string(params["notify_time"]), strconv.Itoa(i*10_000); got != want {
				t.Errorf("event %d: notify_time %s, want %s", i, got, want)
			}
		}
		if err := r.stop(); err != nil {
			t.Errorf("Stop() = %v, want nil", err)
		}
	})
}

// A sleep ends with its caller's patience.
func TestOVirtSleepHonoursCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, app.Config{Profile: transport.OVirt, Listen: []string{"mem://host:0"}})
		c := dial(t, r.url(), nil)
		sleeping := rpc.Go[int](t.Context(), c, "Test.sleep", map[string]any{"ms": 3_600_000})
		synctest.Wait()
		_ = c.Close()
		if _, err := sleeping.Get(t.Context()); rpc.OutcomeOf(err) != rpc.Unknown {
			t.Errorf("Test.sleep of a closed client = %v, want an unknown outcome", err)
		}
		began := time.Now()
		if err := r.stop(); err != nil || time.Since(began) > 5*time.Second {
			t.Errorf("Stop() = %v after %v, so Test.sleep went on", err, time.Since(began))
		}
	})
}

// TestOVirtMutualTLS: the settings that docs/ovirt.md has for an engine let in who
// shows a certificate, by the profile, and nobody else.
func TestOVirtMutualTLS(t *testing.T) {
	w := newTower(t, app.Config{
		Listen: []string{"stomps://127.0.0.1:0?profile=ovirt"}, TLS: app.TLSConfig{MinVersion: "1.2"},
	})
	url := "stomps://" + w.Endpoints()[0].Addr + "?profile=ovirt"
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		o := &transport.DialOptions{}
		o.TLS = w.ann.Clone()
		o.TLS.MinVersion, o.TLS.MaxVersion = tls.VersionTLS12, version
		c := dial(t, url, o)
		if got, err := rpc.Call[bool](t.Context(), c, "Host.ping", nil); !got || err != nil {
			t.Errorf("Host.ping with TLS %x = %v, %v, want true", version, got, err)
		}
		if got, err := rpc.Call[string](t.Context(), c, "Subject", nil); got != "ann" || err != nil {
			t.Errorf("Subject = %q, %v, want ann", got, err)
		}
	}
	o := &transport.DialOptions{}
	o.TLS = w.nobody
	if c, err := transport.Dial(t.Context(), url, o); err == nil {
		_, err = c.Recv(t.Context())
		_ = c.Close()
		if err == nil {
			t.Error("a client without a certificate is let in")
		}
	} else if !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a client without a certificate: %v, want a word about it", err)
	}
	if c, err := transport.Dial(t.Context(), strings.Replace(url, "stomps", "stomp", 1), nil); err == nil {
		_ = c.Close()
		t.Error("a client without TLS is let in")
	}
}
