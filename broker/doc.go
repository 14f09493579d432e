// Package broker is a message broker in memory: queues, topics, and the rules of
// delivery. It knows no wire. A wire that finds a [Hub] in
// [transport.ListenOptions].Broker hands it what its peers send to destinations
// that no service owns, and asks it for what they subscribe to. So a message sent
// over one wire arrives over another, with its headers.
//
// # Queues
//
// A queue, "/queue/calc", comes into being when it is first used, and is forgotten
// when it is empty and nobody has consumed it for a while. It hands each message
// to one of its consumers, in turn among those that have room. A message stays in
// the queue until its consumer has settled it:
//
//   - Accepted: it is done with.
//   - Released, or the consumer has gone: it goes back to where it was, in front of
//     those sent after it. If the consumer has gone its Attempt is one more.
//   - Failed: it goes to the end, and its Attempt is one more.
//   - Rejected, or delivered [Options].Attempts times without success: it goes to
//     "/queue/dead-letter" with two more headers, [HeaderDeathReason] and
//     [HeaderDeathQueue].
//
// A subscription that does not acknowledge has settled what it has taken.
//
// # Topics
//
// A message to a topic, "/topic/news.sport", goes to all who are subscribed to it
// at that moment, the same message to each of them. Names are words with dots
// between them. In a subscription * is any one word, and # any number of them. Each
// subscriber has a buffer of its own; a [Policy] says what happens when it is full.
// What a subscriber releases or fails comes to it again.
//
// # Private addresses
//
// A subscription to "" or to "/temp-queue/NAME" has a private queue, whose address,
// [transport.Consumer].Address, nobody can guess. It is for answers. It is gone with
// the subscription; then sending to it fails with [transport.ErrNoRoute].
//
// # Order
//
// What one connection sends to one destination is handed on in that order. With
// several consumers each gets a part of it, in order. Messages that come back are
// the exception, as told above.
//
// # Room
//
// Everything has a bound, in [Options]. A message that finds no room in a queue
// waits for some, and its sender is not told that it was sent until there is; after
// [Options].SendWait it is refused with [transport.ErrBusy]. Nothing is lost
// silently: what a policy drops is counted in [Stats].
//
// # Within the process
//
// [Hub.Dial] is a connection for an rpc.Client or an rpc.Server in this process.
// [Hub.Publish] sends, and [Hub.Hear] listens to topics, without one.
//
// # Access
//
// Without [Options].Access a queue belongs to the user who consumes from it: others
// may send to it, and no more. [Rules] say more about who may do what, by user or
// certificate; what they do not allow is refused.
package broker
