package xmlrpc_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/polyport/polyport/transport/http/internal/xmlrpc"
)

// TestHostile: documents that are made to hurt are refused before they have cost
// memory. What is allocated is counted in all, garbage included.
func TestHostile(t *testing.T) {
	const million = 1_000_000
	var laughs strings.Builder
	laughs.WriteString("<?xml version='1.0'?>\n<!DOCTYPE lolz [\n <!ENTITY lol0 'lol'>\n")
	for i := 1; i <= 9; i++ {
		fmt.Fprintf(&laughs, " <!ENTITY lol%d '%s'>\n", i, strings.Repeat(fmt.Sprintf("&lol%d;", i-1), 10))
	}
	laughs.WriteString("]>\n" + call("<value>&lol9;</value>"))
	unlimited := xmlrpc.Limits{Bytes: 1 << 30}
	for _, c := range []struct {
		name, doc string
		limits    xmlrpc.Limits
		most      uint64 // bytes
		word      string
	}{
		{"billion laughs", laughs.String(), xmlrpc.Limits{}, 128 << 10, "document types"},
		{"quadratic blow-up", "<!DOCTYPE a [<!ENTITY a '" + strings.Repeat("a", 100_000) + "'>]>" + call("<value>"+strings.Repeat("&a;", 100_000)+"</value>"), xmlrpc.Limits{}, 128 << 10, "document types"},
		{"a file as entity", `<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]>` + call("<value>&a;</value>"), xmlrpc.Limits{}, 128 << 10, "document types"},
		{"a parameter entity", `<!DOCTYPE a [<!ENTITY % a SYSTEM "http://127.0.0.1/a">%a;]>` + call("<value/>"), xmlrpc.Limits{}, 128 << 10, "document types"},
		{"an entity within", call(`<value><!ENTITY a "a">&a;</value>`), xmlrpc.Limits{}, 128 << 10, "document types"},
		{"an entity with an endless name", call("<value>&" + strings.Repeat("a", million)), xmlrpc.Limits{}, 16 << 20, "not well formed"},
		{"arrays 10^6 deep", call(strings.Repeat("<value><array><data>", million)), unlimited, 2 << 20, "500 deep"},
		{"structs 10^6 deep", call(strings.Repeat("<value><struct><member><name>a</name>", million)), unlimited, 2 << 20, "500 deep"},
		{"tags 10^6 deep", strings.Repeat("<a>", million), xmlrpc.Limits{}, 128 << 10, "got <a>"},
		{"tags 10^6 deep in a value", call("<value>" + strings.Repeat("<a>", million)), xmlrpc.Limits{}, 128 << 10, "</a>"},
		{"10^6 members", call("<value><struct>" + strings.Repeat("<member><name/><value/></member>", million) + "</struct></value>"), xmlrpc.Limits{}, 128 << 10, "4194304"},
		{"10^6 values over the bound", call("<value><array><data>" + strings.Repeat("<value/>", million) + "</data></array></value>"), xmlrpc.Limits{Bytes: 1 << 30, Values: 1000}, 1 << 20, "1000 values"},
		{"10^6 attributes", "<methodCall " + strings.Repeat("a='' ", million/2) + ">", xmlrpc.Limits{}, 128 << 10, "1024"},
		{"an endless name of a tag", "<" + strings.Repeat("a", million), xmlrpc.Limits{}, 128 << 10, "1024"},
		{"an endless number", call("<value><double>1." + strings.Repeat("0", million) + "</double></value>"), xmlrpc.Limits{}, 16 << 20, "1024"},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc := []byte(c.doc)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, err := xmlrpc.ReadCall(doc, "", c.limits)
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if e, ok := errors.AsType[*xmlrpc.Error](err); !ok || !strings.Contains(e.Message, c.word) {
				t.Errorf("ReadCall = %v, want an *Error with %q in it", err, c.word)
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > c.most {
				t.Errorf("%d bytes allocated for %d bytes, want at most %d", got, len(doc), c.most)
			}
			t.Logf("%d bytes: %d bytes allocated, %v", len(doc), after.TotalAlloc-before.TotalAlloc, took)
		})
	}
}

// TestMembersThatFit: a struct of as many members as the limits allow takes memory
// in proportion to its document.
func TestMembersThatFit(t *testing.T) {
	const member = "<member><name/><value/></member>"
	doc := []byte(call("<value><struct>" + strings.Repeat(member, (4<<20-200)/len(member)) + "</struct></value>"))
	runtime.GC()
	var now runtime.MemStats
	runtime.ReadMemStats(&now)
	base := now.HeapAlloc
	var peak atomic.Uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				peak.Store(max(peak.Load(), m.HeapAlloc))
			}
		}
	}()
	c, err := xmlrpc.ReadCall(doc, "", xmlrpc.Limits{})
	close(stop)
	<-stopped
	if err != nil {
		t.Fatal(err)
	}
	if n := len(c.Message); n > 2*len(doc) {
		t.Errorf("%d bytes of JSON for %d of XML", n, len(doc))
	}
	if over := peak.Load() - base; peak.Load() > base && over > 3*uint64(len(doc))+4<<20 {
		t.Errorf("%d bytes more in use for a document of %d bytes, want at most 4 MiB and three times as many, garbage included", over, len(doc))
	}
	t.Logf("%d bytes of XML, %d of JSON, %d bytes more in use at the peak", len(doc), len(c.Message), max(peak.Load(), base)-base)
}
