package port_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// Run with attackEnv set, the test program is the peers of a port in another
// process.
func TestMain(m *testing.M) {
	if s := os.Getenv(attackEnv); s != "" {
		attack(s)
		return
	}
	goleak.VerifyTestMain(m)
}
