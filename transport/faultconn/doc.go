// Package faultconn breaks network connections on schedule.
//
// [Wrap] puts a [Conn] around any [net.Conn]. It does what the inner
// connection does until a [Rule] of its [Schedule] says otherwise: bytes come
// late, come one at a time, come inverted, or come no more. It is a tool for
// tests of protocols, whose most expensive bugs live where a connection ends
// in the middle of something.
//
// # Schedules
//
// A Schedule is a list of rules. Each says in which direction ([Read] or
// [Write], as the wrapped end sees it) to count what ([Byte], [Op] or
// [Time]), at which count to act, and with which [Kind] of fault:
//
//	s := &faultconn.Schedule{Rules: []faultconn.Rule{
//		{Dir: faultconn.Write, Unit: faultconn.Byte, At: 17, Kind: faultconn.Cut},
//	}}
//
// passes 17 bytes on to the peer and ends the connection in front of the 18th.
// The same as text is
//
//	write byte 17 cut
//
// Five kinds last: latency, jitter, bandwidth, slice and coalesce are in force
// from their trigger on, or for as long as For says, and work together. The
// others happen once. [Kind]'s constants say what each does, and what Arg
// means to it.
//
// # Random faults and how to have them again
//
// [Random] makes a schedule from a seed. A test tries many seeds and prints
// the schedule of one that fails; the text is complete, so [Parse] brings the
// fault back without the seed, the list of kinds, or this version of Random.
// A *Schedule is also a flag:
//
//	var faults faultconn.Schedule
//	flag.TextVar(&faults, "faults", &faultconn.Schedule{}, "what goes wrong")
//
// The same schedule and the same bytes give the same faults at the same bytes.
// Rules that count bytes do not care how the bytes are cut into calls or when
// they come. Rules that count calls or time are as repeatable as the calls and
// the clock are; in a [testing/synctest] bubble that is entirely. What remains
// is the code under test: what its goroutines do at the same time they may do
// in any order.
//
// # Did it happen?
//
// A test that was green because its fault never came has shown nothing.
// [Conn.Fired] tells which kinds took effect. A rule whose trigger was not
// reached is not counted, nor one that came after the end, nor one that the
// inner connection cannot express: a reset needs SetLinger and a half close
// needs CloseWrite, which TCP connections and this module's in-memory pipes
// have and [net.Pipe] has not. Faults belong below TLS: wrap the raw
// connection.
//
// # Time
//
// All waiting goes through package time and is durable for testing/synctest.
// A delay does not make Write wait, as it does not on a network: the bytes are
// copied and under way, up to 64 KiB of them, and Write waits only for room
// among those. Therefore an error of the peer's shows at a later Write, and
// Close returns while bytes are still to be delivered. A Conn has no goroutine
// of its own; deliveries and timed rules are timers, and Close leaves none
// behind but those that deliver.
//
// # What the two ends see
//
//	          wrapped end                       peer
//	cut       n bytes out, EPIPE; reads EOF     the bytes before, then EOF
//	reset     ECONNRESET                        the bytes before, then ECONNRESET
//	halfclose write: EPIPE; read: EOF           write: EOF; read: nothing
//	blackhole writes succeed, reads wait        nothing, not even the Close
//	stall     write: waits once 64 KiB are in   write: nothing, then all of it
//	          read: waits                       read: its writes wait
//
// Errors that were made up wrap [ErrInjected] beside the system's own error.
package faultconn
