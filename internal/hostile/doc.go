// Package hostile has openings of each wire that a server must survive: they
// begin well, and then lie about lengths, flood, or stop halfway. The wires'
// tests and the command "polyport conform" give them to package conformance,
// which adds what suits every wire.
//
// Openings are written byte by byte, without the code that they are meant for.
package hostile
