package stomp_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/polyport/polyport/transport/stomp"
)

// TestDeliveries: what waits for its ACK is found and taken out as from a plain
// list, in whatever order.
func TestDeliveries(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 0))
		u, model, next := stomp.NewDeliveries(), []uint64(nil), uint64(0)
		for range 2000 {
			switch n := len(model); {
			case n == 0 || random.IntN(2) == 0 && n < 300:
				next += 1 + random.Uint64N(3)
				u.Add(next)
				model = append(model, next)
			case random.IntN(20) == 0:
				last := model[random.IntN(n)]
				got, want := u.TakeOdd(last), []uint64(nil)
				model = slices.DeleteFunc(model, func(id uint64) bool {
					if id > last || id%2 == 0 {
						return false
					}
					want = append(want, id)
					return true
				})
				if !slices.Equal(got, want) {
					t.Fatalf("seed %d: take up to %d = %v, want %v", seed, last, got, want)
				}
			default:
				id := random.Uint64N(next + 2)
				if seed%2 == 0 && random.IntN(10) > 0 {
					id = model[0] // in turn, as most peers do
				}
				i := slices.Index(model, id)
				if got := u.Take(id); got != (i >= 0) {
					t.Fatalf("seed %d: take %d = %v, want %v", seed, id, got, i >= 0)
				}
				if i >= 0 {
					model = slices.Delete(model, i, i+1)
				}
			}
			if u.Places() > 2*len(model)+64 {
				t.Fatalf("seed %d: %d places for %d deliveries", seed, u.Places(), len(model))
			}
		}
	}
}
