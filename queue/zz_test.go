package queue_test
import ("testing";"context";"github.com/polyport/polyport/queue")
func BenchmarkEager(b *testing.B) {
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		p := queue.NewPromise[int]()
		p.Future().Done()
		p.Resolve(1)
		if _, err := p.Future().Get(ctx); err != nil { b.Fatal(err) }
	}
}
