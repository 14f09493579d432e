package broker

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/polyport/polyport/transport"
)

// A Kind tells what sort of place a destination is.
type Kind uint8

// The kinds of destinations.
const (
	// Any is the kind of a bare name: the queue of that name, or the topic if
	// somebody is subscribed to just that, and there is no such queue.
	Any Kind = iota
	// Queue hands each message to one of its consumers.
	Queue
	// Topic hands each message to all its subscribers.
	Topic
	// Temporary is a private queue by the name that its own connection gave it.
	Temporary
	// Reply is a private queue by the name that the broker gave it, by which
	// everybody reaches it.
	Reply
)

// The beginnings of destinations as the broker writes them.
const (
	queuePrefix     = "/queue/"
	topicPrefix     = "/topic/"
	temporaryPrefix = "/temp-queue/"
	replyPrefix     = "/reply-queue/"
)

// String returns "any", "queue", "topic", "temporary" or "reply".
func (k Kind) String() string {
	return [...]string{"any", "queue", "topic", "temporary", "reply"}[k]
}

// maxName is how many bytes the name of a destination may have.
const maxName = 255

// A Destination is a place to send to, to consume from or to subscribe to.
type Destination struct {
	Kind Kind
	// Name has no prefix. That of a topic is words with dots between them; in a
	// subscription the word * stands for one word, # for any number.
	Name string
}

// String returns d as the broker writes it: "/queue/calc". A bare name stays bare.
func (d Destination) String() string {
	switch d.Kind {
	case Queue:
		return queuePrefix + d.Name
	case Topic:
		return topicPrefix + d.Name
	case Temporary:
		return temporaryPrefix + d.Name
	case Reply:
		return replyPrefix + d.Name
	default:
		return d.Name
	}
}

// spellings are the prefixes by which peers that know other brokers name things.
var spellings = []struct {
	prefix string
	kind   Kind
}{
	{queuePrefix, Queue},
	{topicPrefix, Topic},
	{replyPrefix, Reply},
	{temporaryPrefix, Temporary},
	{"/queues/", Queue},
	{"/topics/", Topic},
	{"/amq/queue/", Queue},
	{"/exchange/amq.topic/", Topic},
	{"queue://", Queue},
	{"topic://", Topic},
}

// ParseDestination reads a destination in the words of any wire:
//
//	/queue/NAME  /queues/NAME  /amq/queue/NAME  queue://NAME      a queue
//	/topic/NAME  /topics/NAME  /exchange/amq.topic/NAME  topic://NAME  a topic
//	/temp-queue/NAME                                              [Temporary]
//	/reply-queue/NAME                                             [Reply]
//	NAME                                                          [Any]
//
// The last word > of a topic is read as #, as ActiveMQ has it. A name has 1 to 255
// bytes of UTF-8 without control characters; that of a topic has no empty word, no
// white space, and * and # only as whole words. Percent-encoding is left as it is.
// The error wraps [transport.ErrInvalid] for an impossible name and
// [transport.ErrNoRoute] for an unknown prefix.
func ParseDestination(text string) (Destination, error) {
	d := Destination{Name: text}
	for i := range spellings {
		if s := &spellings[i]; strings.HasPrefix(text, s.prefix) {
			d = Destination{Kind: s.kind, Name: text[len(s.prefix):]}
			break
		}
	}
	if d.Kind == Any && (strings.HasPrefix(text, "/") || strings.Contains(text, "://")) {
		return Destination{}, because(transport.ErrNoRoute, "unknown kind of destination %.100q; "+
			"say /queue/NAME or /topic/NAME", text)
	}
	if d.Kind == Topic && (d.Name == ">" || strings.HasSuffix(d.Name, ".>")) {
		d.Name = d.Name[:len(d.Name)-1] + "#"
	}
	if why := badName(d); why != "" {
		return Destination{}, because(transport.ErrInvalid, "the destination %.300q %s", text, why)
	}
	return d, nil
}

// badName says in words what is wrong with a name, "" if nothing.
func badName(d Destination) string {
	switch {
	case d.Name == "":
		return "has no name"
	case len(d.Name) > maxName:
		return "has a name of more than 255 bytes"
	case !plainText(d.Name):
		return "is not UTF-8, or has control characters"
	case d.Kind == Topic:
		return badWords(d.Name)
	}
	return ""
}

// plainText reports whether s is UTF-8 without control characters.
func plainText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f {
			return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
		}
	}
	return true
}
