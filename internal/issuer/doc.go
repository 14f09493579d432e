// Package issuer makes throw-away certificates: for demonstrations and tests of
// TLS that need an authority, and would rather not have files.
//
//	a, err := issuer.New("demo")
//	server, err := a.Issue("server", "127.0.0.1", "localhost")
//	client, err := a.Issue("ann")
//
// A server shows server, a client trusts a.Pool(). The keys are in memory only,
// and nobody should trust what they sign for longer than a process lives.
package issuer
