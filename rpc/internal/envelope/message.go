package envelope

// The error codes that a scan can ask for.
const (
	// CodeParse answers a body that is not one JSON text.
	CodeParse = -32700
	// CodeInvalid answers JSON that is not a JSON-RPC 2.0 message, and a body
	// that breaks a limit.
	CodeInvalid = -32600
)

// Kind tells what a [Message] is.
type Kind uint8

// The kinds. The zero Kind is Invalid, so that a Message nobody filled in is
// never executed.
const (
	// Invalid is anything that must be answered with [CodeInvalid].
	Invalid Kind = iota
	// Request has a method and an id, which may be null: it is answered.
	Request
	// Notification has a method and no id: it is never answered.
	Notification
	// Response has a result or an error and no method: it is never answered,
	// not even when it is malformed.
	Response
)

// String returns the name of the kind in lower case.
func (k Kind) String() string {
	switch k {
	case Request:
		return "request"
	case Notification:
		return "notification"
	case Response:
		return "response"
	default:
		return "invalid"
	}
}

// A Message is one JSON-RPC message, cut into its members.
//
// All slices alias the scanned body (with no spare capacity), except a Method
// that was written with escapes; they are valid for as long as the body is
// left unchanged. A member that is absent is nil. Values are raw JSON without
// white space around them, and are valid JSON except that the UTF-8 of their
// strings has not been checked: whoever decodes them does that.
type Message struct {
	// Kind decides which of the other fields are set.
	Kind Kind

	// ID is the raw token, with its quotes if it is a string, or null. It is
	// nil when absent, and when it cannot be echoed: duplicate, too long, not
	// Unicode, or of another type.
	ID []byte

	// Method is the text of the method's name, without quotes or escapes.
	// Set for a Request and a Notification; it may be empty but not nil.
	Method []byte

	// Params is an array or an object, or any scalar but null if
	// [Limits.ScalarParams] allows it. Set for a Request and a Notification.
	Params []byte

	// Result and Error belong to a Response. One of them is set and Error is
	// an object, unless Reason says otherwise. A duplicate is nil.
	Result, Error []byte

	// Metadata is an object. In a Response, metadata of another type is
	// dropped, because an answer is worth more than what came with it. It is
	// set for an Invalid message, too, that only lacks a method: some peers
	// acknowledge a call by an answer with neither result nor error.
	Metadata []byte

	// Reason tells a person in one short phrase what is wrong. It is set for
	// every Invalid message, and for a malformed Response: its caller fails
	// the call with that ID, or drops it. Otherwise it is empty.
	Reason string
}

// Defaults of [Limits].
const (
	DefaultDepth = 1000
	DefaultBatch = 1000
	DefaultID    = 256
)

// Limits bounds what [Scan] accepts and says where it is lenient. A nil
// *Limits means the defaults.
type Limits struct {
	// Depth is how many arrays and objects may be open at once, counting the
	// batch and the message itself. Zero or less means [DefaultDepth].
	Depth int
	// Batch is how many elements a batch may have. Zero or less means
	// [DefaultBatch].
	Batch int
	// ID is how many bytes the token of an id may have, with its quotes. Zero
	// or less means [DefaultID].
	ID int
	// NullParams takes "params":null for absent params instead of refusing
	// it.
	NullParams bool
	// ScalarParams accepts a string, number or boolean as params. The caller
	// treats such a value x as [x].
	ScalarParams bool
	// Version2 accepts the versions "2" and 2, also as 2.0, besides "2.0".
	Version2 bool
}

func (l *Limits) depth() int {
	if l == nil || l.Depth <= 0 {
		return DefaultDepth
	}
	return l.Depth
}

func (l *Limits) batch() int {
	if l == nil || l.Batch <= 0 {
		return DefaultBatch
	}
	return l.Batch
}

func (l *Limits) id() int {
	if l == nil || l.ID <= 0 {
		return DefaultID
	}
	return l.ID
}

func (l *Limits) nullParams() bool   { return l != nil && l.NullParams }
func (l *Limits) scalarParams() bool { return l != nil && l.ScalarParams }
func (l *Limits) version2() bool     { return l != nil && l.Version2 }
