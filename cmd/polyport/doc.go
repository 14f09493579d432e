// Polyport serves and calls JSON-RPC 2.0 methods over any message wire.
//
//	polyport demo
//	polyport serve --listen 127.0.0.1:7070
//	polyport call stomp://127.0.0.1:7070 Math.Sum '[1,2,3]'
//
// "polyport help" lists the verbs, "polyport help VERB" explains one.
//
// # Exit status
//
//	0  the call was answered with a result; the verb did what it is for
//	1  the answer is an error (its object is on stderr, as JSON), a result is
//	   not as it should be, or something failed here: an address in use
//	2  the command line, a file or a setting cannot be used; nothing was sent
//	3  no answer came; stderr says whether the call was sent
//
// SIGINT and SIGTERM end a verb in order: serve answers what it has accepted,
// bench reports what it has measured. A second signal ends the process at once.
package main
