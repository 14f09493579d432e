package xmlrpc_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/polyport/polyport/transport/http/internal/xmlrpc"
)

// exchanges are a request and its answer.
var exchanges = func() (all []struct{ name, request, answer string }) {
	add := func(name, params, result string) {
		all = append(all, struct{ name, request, answer string }{
			name, `{"jsonrpc":"2.0","method":"Math.Sum","params":` + params + `,"id":1}`, `{"jsonrpc":"2.0","result":` + result + `,"id":1}`,
		})
	}
	var members, numbers []string
	for i := range 60 {
		members = append(members, fmt.Sprintf(`"member%d":"%d.25"`, i, i*1000))
	}
	for i := range 1000 {
		numbers = append(numbers, strconv.Itoa(i))
	}
	add("Sum", "[1,2,3]", "6")
	add("Stats60", "[]", "{"+strings.Join(members, ",")+"}")
	add("Text16KiB", `["`+strings.Repeat("x", 16<<10)+`"]`, `"`+strings.Repeat("x", 16<<10)+`"`)
	add("Numbers1000", "[["+strings.Join(numbers, ",")+"]]", "1000")
	return all
}()

// BenchmarkServer: a methodCall is read, and answered.
func BenchmarkServer(b *testing.B) {
	for _, x := range exchanges {
		b.Run(x.name, func(b *testing.B) {
			q, err := xmlrpc.NewQuestion([]byte(x.request), xmlrpc.Limits{})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				c, err := xmlrpc.ReadCall(q.Document, "", xmlrpc.Limits{})
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(len(q.Document) + len(c.Answer([]byte(x.answer)))))
			}
		})
	}
}

// BenchmarkClient: a request is written, and its answer read.
func BenchmarkClient(b *testing.B) {
	for _, x := range exchanges {
		b.Run(x.name, func(b *testing.B) {
			q, err := xmlrpc.NewQuestion([]byte(x.request), xmlrpc.Limits{})
			if err != nil {
				b.Fatal(err)
			}
			c, err := xmlrpc.ReadCall(q.Document, "", xmlrpc.Limits{})
			if err != nil {
				b.Fatal(err)
			}
			doc := c.Answer([]byte(x.answer))
			b.ReportAllocs()
			for b.Loop() {
				q, err := xmlrpc.NewQuestion([]byte(x.request), xmlrpc.Limits{})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := q.Answer(doc, ""); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
