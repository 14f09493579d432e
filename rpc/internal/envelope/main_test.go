package envelope_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/polyport/polyport/rpc/internal/envelope"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// A view is a Message as tables spell it. No raw value is empty, so "" stands
// for one that is absent.
type view struct {
	Kind                                                envelope.Kind
	ID, Method, Params, Result, Error, Metadata, Reason string
}

func viewOf(m envelope.Message) view {
	return view{
		m.Kind, string(m.ID), string(m.Method), string(m.Params),
		string(m.Result), string(m.Error), string(m.Metadata), m.Reason,
	}
}

func views(msgs []envelope.Message) []view {
	var vs []view
	for _, m := range msgs {
		vs = append(vs, viewOf(m))
	}
	return vs
}

// Short forms for tables.

func request(id, method, params string) view {
	return view{Kind: envelope.Request, ID: id, Method: method, Params: params}
}

func notification(method, params string) view {
	return view{Kind: envelope.Notification, Method: method, Params: params}
}

func invalid(id, reason string) view {
	return view{Kind: envelope.Invalid, ID: id, Reason: reason}
}

func result(id, value string) view {
	return view{Kind: envelope.Response, ID: id, Result: value}
}

func failure(id, value string) view {
	return view{Kind: envelope.Response, ID: id, Error: value}
}

// A scanCase is one body and what Scan must make of it: a fault if code is
// not zero, messages otherwise.
type scanCase struct {
	name   string
	body   string
	limits *envelope.Limits
	want   []view
	batch  bool
	code   int
	reason string // of the fault
	max    int
}
