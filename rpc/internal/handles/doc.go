// Package handles remembers calls by the names that their callers gave them, so
// that a caller can leave and come back for the result, and a call that is made
// twice runs once. It knows no messages and no wire: what a call returned is
// bytes to it.
//
// # The life of a handle
//
//	new → running → done, failed, cancelled or expired → tombstone → gone
//
// [Store.Begin] makes a handle that runs. It ends once, by whichever comes
// first: [Store.Finish] (Done or Failed), [Store.Cancel] (Cancelled), or the end
// of its time (Expired). From then on it is retained with what it came to,
// which may be read any number of times. After that it is a tombstone, which
// only keeps the call from being run again, and then it is gone.
//
// # Whose it is
//
// A handle is found by its name together with its [Key].Principal. To any
// other principal it does not exist.
//
// # Bounds
//
// [Options] bound how many handles and tombstones a principal has, and how many
// bytes all of them hold. When a principal has no room for one more, the
// oldest of its handles whose result has been read makes room and becomes a
// tombstone early; a result that nobody has read stays. Of too many tombstones
// the oldest is gone. One timer serves the whole store.
package handles
