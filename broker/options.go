package broker

import (
	"log/slog"
	"time"
)

// A Policy is what becomes of a message to a topic when a subscriber has no room
// for it.
type Policy uint8

// The policies.
const (
	// DropOldest drops the messages that have waited longest for the subscriber,
	// and counts them. What the subscriber has got and not settled is not dropped.
	DropOldest Policy = iota
	// Block has the publisher wait until the subscriber has room, for
	// [Options].SendWait at most: then its message fails with
	// [transport.ErrBusy], though those who had room have got it.
	Block
	// Disconnect ends the subscription, tells the subscriber why, and counts it.
	Disconnect
)

// String returns "drop-oldest", "block" or "disconnect".
func (p Policy) String() string {
	return [...]string{"drop-oldest", "block", "disconnect"}[p]
}

// Expired is what becomes of a message in a queue when its time is over.
type Expired uint8

// What may become of the expired.
const (
	// Drop drops it, and counts it.
	Drop Expired = iota
	// DeadLetter sends it to the dead-letter queue.
	DeadLetter
)

// A PolicyFor is the policy for some subscriptions.
type PolicyFor struct {
	// Topics is a filter such as "prices.#". It is for subscriptions to what it
	// stands for: "prices.eur", and "prices.*" as well.
	Topics string
	// Policy is theirs.
	Policy Policy
}

// Options adjust a [Hub]. A nil *Options means the defaults.
type Options struct {
	// QueueDepth and QueueBytes are how many messages may be in a queue, and how
	// much memory they may take (bodies, headers, and 256 bytes for each). What was
	// delivered and is not settled counts. Zero means 65536, and 64 MiB.
	QueueDepth, QueueBytes int
	// SubscriberDepth and SubscriberBytes are the same for each subscriber of a
	// topic and each private queue. Zero means 1024, and 4 MiB.
	SubscriberDepth, SubscriberBytes int
	// Memory is how many bytes all queues and subscribers together may take. Each
	// has 16 KiB that do not count. What waits for room may take an eighth of it
	// besides. Zero means 1 GiB.
	Memory int64
	// Queues is how many queues there may be, Topics how many topics are known by
	// name (others work, a little slower), and Consumers how many consumers and
	// subscribers there may be in all. Zero means 16384, 16384 and 65536.
	Queues, Topics, Consumers int

	// SendWait is how long a message may wait for room before it fails with
	// [transport.ErrBusy]. Zero means 5 s.
	SendWait time.Duration
	// Waiting is how many messages may wait for room in one queue; another one
	// fails at once. Together they may take as many bytes as the queue. Zero means
	// 1024.
	Waiting int
	// Slow is the policy for subscribers of topics that have no room; the first of
	// SlowFor whose Topics stand for the subscription comes before it.
	Slow    Policy
	SlowFor []PolicyFor

	// Attempts is how often a message of a queue is delivered before it is
	// dead-lettered. Zero means 10, negative that there is no bound.
	Attempts int
	// DeadLetters is the name of the queue for dead letters. Empty means
	// "dead-letter". It holds QueueDepth and QueueBytes; then the oldest are dropped,
	// and counted.
	DeadLetters string
	// TTL is how long messages to queues live that do not say it themselves. Zero
	// means for ever.
	TTL time.Duration
	// Expired is what becomes of those whose time is over.
	Expired Expired
	// Retain is of how many topics the last message is kept, for those who
	// subscribe later. An empty message clears it. Zero means none.
	Retain int
	// RetainBytes is how much memory these may take. Zero means 16 MiB.
	RetainBytes int
	// Idle is after how long an empty queue that nobody consumes is forgotten, and
	// for how long a queue still belongs to the user that consumed it last. Zero
	// means 1 min.
	Idle time.Duration

	// Access says who may do what. Nil means that everybody may send and subscribe
	// to everything, and consume from every queue that nobody else consumes: a
	// queue belongs to the user that consumes it, those that this process
	// consumes (see [Hub.Dial]) to nobody outside of it.
	Access Access
	// Logger gets a record of each subscriber that is disconnected. Nil discards it.
	Logger *slog.Logger
}

// withDefaults returns a copy of o, which may be nil, with its zero fields set.
func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	d.QueueDepth = or(d.QueueDepth, 65536)
	d.QueueBytes = or(d.QueueBytes, 64<<20)
	d.SubscriberDepth = or(d.SubscriberDepth, 1024)
	d.SubscriberBytes = or(d.SubscriberBytes, 4<<20)
	d.Memory = or(d.Memory, 1<<30)
	d.Queues = or(d.Queues, 16384)
	d.Topics = or(d.Topics, 16384)
	d.Consumers = or(d.Consumers, 65536)
	d.SendWait = or(d.SendWait, 5*time.Second)
	d.Waiting = or(d.Waiting, 1024)
	if d.Attempts == 0 {
		d.Attempts = 10
	}
	if d.DeadLetters == "" {
		d.DeadLetters = "dead-letter"
	}
	d.RetainBytes = or(d.RetainBytes, 16<<20)
	d.Idle = or(d.Idle, time.Minute)
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	return d
}

// or returns n, or what it means when it is not positive.
func or[T ~int | ~int64](n, def T) T {
	if n <= 0 {
		return def
	}
	return n
}

// slow is the policy for a subscription.
func (o *Options) slow(filter string) Policy {
	for _, f := range o.SlowFor {
		if matches(f.Topics, filter) {
			return f.Policy
		}
	}
	return o.Slow
}
