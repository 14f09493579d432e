package conformance_test

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/transport"
)

// A serverDefect is something wrong with a server, and the rule whose sentence
// it breaks.
type serverDefect struct {
	name, rule string
	crook      func() *crook
}

// inAsk is a server that takes old for new.
func inAsk(old, replacement string) func() *crook {
	return asking(func(s string) string { return strings.ReplaceAll(s, old, replacement) })
}

func asking(f func(string) string) func() *crook { return func() *crook { return &crook{ask: f} } }

// inAnswer is a server that says replacement for what matches pattern.
func inAnswer(pattern, replacement string) func() *crook {
	old := regexp.MustCompile(pattern)
	return answering(func(s string) []string { return []string{old.ReplaceAllString(s, replacement)} })
}

func answering(f func(string) []string) func() *crook {
	return func() *crook { return &crook{answer: f} }
}

// answersTo is a server that answers one body in its own way.
func answersTo(body string, answers ...string) func() *crook {
	return func() *crook {
		return &crook{instead: func(s string) ([]string, bool) { return answers, s == body }}
	}
}

// answersIf is a server that answers some bodies in its own way.
func answersIf(is func(string) bool, answers ...string) func() *crook {
	return func() *crook {
		return &crook{instead: func(s string) ([]string, bool) { return answers, is(s) }}
	}
}

const (
	unknown = "conformance.no.such.method"
	invalid = `{"jsonrpc":"2.0","error":{"code":-32600,"message":"invalid request"},"id":null}`
)

// inArray is what is done to the elements of an array.
func inArray(f func([]json.RawMessage) []string) func() *crook {
	return answering(func(s string) []string {
		var all []json.RawMessage
		if json.Unmarshal([]byte(s), &all) != nil {
			return []string{s}
		}
		return f(all)
	})
}

func array(all []json.RawMessage) []string {
	return []string{"[" + strings.Join(texts(all), ",") + "]"}
}

func texts(all []json.RawMessage) (texts []string) {
	for _, one := range all {
		texts = append(texts, string(one))
	}
	return texts
}

func isLarge(s string) bool { return len(s) > 100_000 }

var serverDefects = []serverDefect{
	{"takes methods in any case", "MethodNotFound", inAsk("ECHO", "Echo")},
	{"has another code for it", "MethodNotFound", inAnswer(`-32601`, `-32000`)},
	{"leaves the version out", "Result", inAnswer(`"jsonrpc":"2.0",`, ``)},
	{"has a result and an error", "Result", inAnswer(`"result":`, `"error":{"code":1,"message":""},"result":`)},
	{"has neither", "Result", inAnswer(`"result":`, `"results":`)},
	{"leaves the id out", "Result", inAnswer(`"id":`, `"ID":`)},
	{"answers twice", "Result", answering(func(s string) []string { return []string{s, s} })},
	{"has errors without a message", "MethodNotFound", inAnswer(`"message":`, `"text":`)},
	{"has codes that are texts", "MethodNotFound", inAnswer(`"code":-32601`, `"code":"-32601"`)},
	{"has errors that are texts", "MethodNotFound", inAnswer(`"error":\{[^}]*\}`, `"error":"no such method"`)},
	{"answers what is not JSON", "MethodNotFound", inAnswer(`\}$`, `,}`)},
	{"calls what is not JSON an invalid request", "ParseError", inAnswer(`-32700`, `-32600`)},
	{"hangs up on what is not JSON", "ParseError", hangsUp},
	{"says nothing to an empty body", "EmptyBody", answersTo("")},
	{"runs the first of two texts", "TwoTexts", asking(func(s string) string {
		first, _, _ := strings.Cut(s, `}{`)
		return strings.TrimSuffix(first, "}") + "}"
	})},
	{"says nothing to null", "InvalidRequest", answersTo(`null`)},
	{"calls an invalid request no JSON", "InvalidRequest", inAnswer(`-32600`, `-32700`)},
	{"loses the id of an invalid request", "InvalidKeepsID", inAnswer(`"id":.*`, `"id":null}`)},
	{"takes version 1.0", "Version", inAsk(`"1.0"`, `"2.0"`)},
	{"takes no version", "Version", inAsk(`{"method"`, `{"jsonrpc":"2.0","method"`)},
	{"takes scalar params", "ParamsKind", inAsk(`"params":7`, `"params":[7]`)},
	{"takes no other members", "UnknownMember", inAsk(`"trace":"x"`, `"result":1`)},
	{"takes members in any case", "MemberCase", inAsk(`"METHOD"`, `"method"`)},
	{"folds beyond ASCII", "MemberCase", inAsk(`jſonrpc`, `jsonrpc`)},
	{"takes the last of two", "DuplicateMember", inAsk(`"method":"`+unknown+`","method"`, `"method"`)},
	{"takes the last of two, but for escapes", "DuplicateMember", inAsk(`"m\u0065thod":"Echo",`, ``)},
	{"takes any bytes", "InvalidUTF8", inAsk("\xff", "\ufffd")},
	{"answers notifications", "Notification", asking(func(s string) string {
		if strings.Contains(s, `"id"`) || !strings.Contains(s, `"method"`) {
			return s
		}
		return strings.TrimSuffix(s, "}") + `,"id":null}`
	})},
	{"answers notifications that fail", "Notification", inAsk(`"method":"`+unknown+`"}`, `"method":"`+unknown+`","id":null}`)},
	{"answers Responses", "ResponseUnasked", inAsk(`{"jsonrpc":"2.0","result":5,"id":4}`, `{}`)},
	{"takes a method with a result", "ResultAndMethod", inAsk(`"result":5,`, ``)},
	{"has ids in floating point", "ID", inAnswer(`9007199254740993`, `9007199254740992`)},
	{"has ids that are texts alone", "ID", inAnswer(`"id":(-?\d+)`, `"id":"$1"`)},
	{"has whole ids", "IDFraction", inAnswer(`"id":1\.5`, `"id":1`)},
	{"writes ids anew", "IDBytes", inAnswer(`1\.50`, `1.5`)},
	{"takes null for no id", "IDNull", inAsk(`,"id":null`, ``)},
	{"takes any id", "IDKind", inAnswer(`"id":null`, `"id":true`)},
	{"answers a batch one by one", "Batch", inArray(texts)},
	{"answers notifications in a batch", "Batch", inAsk(`"params":[7]}`, `"params":[7],"id":7}`)},
	{"loses the last of a batch", "Batch", inArray(func(all []json.RawMessage) []string { return array(all[1:]) })},
	{"answers the last one first", "BatchOrder", inArray(func(all []json.RawMessage) []string {
		slices.Reverse(all)
		return array(all)
	})},
	{"takes one for no batch", "BatchOfOne", inArray(texts)},
	{"says nothing to an empty batch", "BatchEmpty", answersTo(`[]`)},
	{"answers an empty batch by one", "BatchEmpty", answersTo(`[]`, `[]`)},
	{"answers an invalid one alone", "BatchInvalid", inArray(texts)},
	{"drops a batch of no objects", "BatchInvalid", answersTo(`[1,2,3]`, invalid)},
	{"answers what is no JSON by an array", "BatchParseError", answersIf(func(s string) bool {
		return strings.HasPrefix(s, "[") && !json.Valid([]byte(s))
	}, "["+invalid+"]")},
	{"answers nothing by an empty array", "BatchSilent", answersIf(func(s string) bool {
		return strings.HasPrefix(s, "[") && !strings.Contains(s, `"id"`)
	}, `[]`)},
	{"answers Responses in a batch", "BatchMixed", inAsk(`{"jsonrpc":"2.0","result":5,"id":4},`, `{},`)},
	{"answers an id once", "BatchSameID", inArray(func(all []json.RawMessage) []string { return array(all[:1]) })},
	{"says nothing to a large batch", "BatchLarge", answersIf(isLarge)},
	{"answers a part of a large batch", "BatchLarge", answersIf(isLarge, `[{"jsonrpc":"2.0","error":{"code":-32601,"message":""},"id":1}]`)},
	{"has numbers in floating point", "Params", inAnswer(`9007199254740993`, `9007199254740992`)},
	{"cuts long texts", "Params", answering(func(s string) []string {
		return []string{strings.Replace(s, strings.Repeat("ü", 1), "u", 1)}
	})},
	{"loses an answer", "ManyInFlight", func() *crook {
		k := new(crook)
		k.answer = func(s string) []string {
			if k.nth() == 50 {
				return nil
			}
			return []string{s}
		}
		return k
	}},
	{"refuses an id under way", "SameIDInFlight", func() *crook {
		k := new(crook)
		k.answer = func(s string) []string {
			if k.nth() == 2 {
				return []string{invalid}
			}
			return []string{s}
		}
		return k
	}},
	{"hangs up on what is not JSON", "BadMessages", hangsUp},
	{"says nothing to noise", "BadMessages", answersTo("\x00\xff\xfe")},
	{"answers depth by a text", "Depth", answersIf(isLarge, `"too deep"`)},
	{"says nothing to depth", "Depth", answersIf(isLarge)},
	{"says nothing to a message of any size", "Oversize", answersIf(isLarge)},
	{"runs a message of any size", "Oversize", answersIf(isLarge, `{"jsonrpc":"2.0","result":[],"id":1}`)},
	{"lets nobody in after one has left", "ClientLeaves", func() *crook {
		return &crook{dial: func(left int) error {
			if left >= 5 {
				return errors.New("nobody is at home")
			}
			return nil
		}}
	}},
	{"knows other limits", "Handshake", func() *crook {
		return &crook{info: func(i *transport.Info) { i.Limits.Headers = 1 }}
	}},
	{"is of another wire", "Handshake", func() *crook {
		return &crook{info: func(i *transport.Info) { i.Scheme = "other" }}
	}},
	{"ends in another way", "Goodbye", func() *crook {
		return &crook{recv: func(_ *crooked, m *transport.Message, err error) (*transport.Message, error) {
			if errors.Is(err, transport.ErrClosed) {
				err = io.EOF
			}
			return m, err
		}}
	}},
	{"takes long to close", "Goodbye", func() *crook {
		return &crook{close: func(c *crooked) error {
			wait(3 * time.Second)
			return c.Conn.Close()
		}}
	}},
	{"keeps garbage", "GarbageOpening", func() *crook {
		return &crook{raw: keepsOpen}
	}},
	{"keeps the silent", "SilentOpening", func() *crook { return &crook{raw: keepsOpen} }},
	{"lets nobody in beside the silent", "SilentOpening", func() *crook {
		k := new(crook)
		k.raw = func(t conformance.TB) net.Conn {
			k.mu.Lock()
			k.seen++
			k.mu.Unlock()
			nc, server := conformance.TCP(t)
			_ = server.Close()
			return nc
		}
		k.dial = func(int) error {
			k.mu.Lock()
			defer k.mu.Unlock()
			if k.seen > 0 {
				return errors.New("busy")
			}
			return nil
		}
		return k
	}},
}

// hangsUp ends the connection when it was told that something is not JSON.
func hangsUp() *crook {
	return &crook{recv: func(_ *crooked, m *transport.Message, err error) (*transport.Message, error) {
		if err == nil && strings.Contains(string(m.Body), "-32700") {
			return nil, closedBy("not JSON")
		}
		return m, err
	}}
}
