// Package notrun is a line in the list that go test ./... prints, because a
// test binary that passes cannot say anything there: the tests with curl,
// openssl and Python's xmlrpc, and those with all foreign programs at one port,
// are in the nested module interop and were not run. make test installs what
// they need and runs them.
package notrun
