// Package notrun is a line in the list that go test ./... prints, because a
// test binary that passes cannot say anything there: the tests with real
// brokers are in the nested module interop and were not run. make test installs
// and starts the brokers and runs them.
package notrun
