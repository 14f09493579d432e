package app_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if isIdleClient() {
		os.Exit(runIdleClient())
	}
	goleak.VerifyTestMain(m)
}
