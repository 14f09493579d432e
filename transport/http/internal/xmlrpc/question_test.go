package xmlrpc_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/polyport/polyport/transport/http/internal/xmlrpc"
)

func question(t *testing.T, message string) *xmlrpc.Question {
	t.Helper()
	q, err := xmlrpc.NewQuestion([]byte(message), xmlrpc.Limits{})
	if err != nil {
		t.Fatalf("NewQuestion(%s): %v", message, err)
	}
	return q
}

// TestQuestion: requests as methodCalls.
func TestQuestion(t *testing.T) {
	body := func(method, params string) string {
		return declared + "<methodCall><methodName>" + method + "</methodName><params>" + params + "</params></methodCall>\n"
	}
	for _, c := range []struct{ name, message, want string }{
		{"by position", `{"jsonrpc":"2.0","method":"a","params":[1,"b"],"id":1}`, body("a", "<param><value><int>1</int></value></param><param><value><string>b</string></value></param>")},
		{"without", `{"id":"x","method":"a","jsonrpc":"2.0"}`, body("a", "")},
		{"by name", `{"jsonrpc":"2.0","method":"a","params":{"b":1},"id":1}`, body("a", "<param><value><struct><member><name>b</name><value><int>1</int></value></member></struct></value></param>")},
		{"notification", `{"jsonrpc":"2.0","method":"a"}`, body("a", "")},
		{"metadata stays here", `{"jsonrpc":"2.0","method":"a","metadata":{"timeoutMs":5},"id":1}`, body("a", "")},
		{"a name to escape", `{"jsonrpc":"2.0","method":"a&<\"b\u00e9","id":1}`, body(`a&amp;&lt;"bé`, "")},
		{
			"batch", `[{"jsonrpc":"2.0","method":"a","params":[1],"id":1},{"jsonrpc":"2.0","method":"b","params":{}}]`,
			body("system.multicall", "<param><value><array><data>"+
				"<value><struct><member><name>methodName</name><value><string>a</string></value></member><member><name>params</name><value><array><data><value><int>1</int></value></data></array></value></member></struct></value>"+
				"<value><struct><member><name>methodName</name><value><string>b</string></value></member><member><name>params</name><value><array><data><value><struct></struct></value></data></array></value></member></struct></value>"+
				"</data></array></value></param>"),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := string(question(t, c.message).Document); got != c.want {
				t.Errorf("NewQuestion(%s) = %s, want %s", c.message, got, c.want)
			}
		})
	}
}

// TestQuestionRefuses: messages that cannot be sent.
func TestQuestionRefuses(t *testing.T) {
	for _, c := range []struct{ name, message, word string }{
		{"nothing", "", "no message of JSON-RPC"},
		{"no JSON", "hello", "no message of JSON-RPC"},
		{"two", `{"jsonrpc":"2.0","method":"a","id":1} {"jsonrpc":"2.0","method":"a","id":1}`, "something follows"},
		{"a batch and more", `[{"jsonrpc":"2.0","method":"a","id":1}]]`, "something follows"},
		{"an empty batch", "[]", "one request at least"},
		{"params of one text", `{"jsonrpc":"2.0","method":"a","params":"b","id":1}`, "an array or an object"},
		{"a strange id", `{"jsonrpc":"2.0","method":"a","id":[1]}`, "an id is"},
		{"a response", `{"jsonrpc":"2.0","result":1,"id":1}`, "only requests"},
		{"a response in a batch", `[{"jsonrpc":"2.0","result":1,"id":1}]`, "only requests"},
		{"a method without a name", `{"jsonrpc":"2.0","method":"","id":1}`, "name"},
		{"a method with a bell", `{"jsonrpc":"2.0","method":"\u0007","id":1}`, "name"},
		{"a param with a bell", `{"jsonrpc":"2.0","method":"a","params":["\u0007"],"id":1}`, "U+0007"},
		{"a param that is too large", `{"jsonrpc":"2.0","method":"a","params":{"b":[1e400]},"id":1}`, "no double holds 1e400, at /b/0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := xmlrpc.NewQuestion([]byte(c.message), xmlrpc.Limits{})
			if e, ok := errors.AsType[*xmlrpc.Error](err); !ok || !strings.Contains(e.Message, c.word) {
				t.Errorf("NewQuestion(%s) = %v, want an *Error with %q in it", c.message, err, c.word)
			}
		})
	}
}

// TestQuestionAnswer: methodResponses as answers, with the id of the request.
func TestQuestionAnswer(t *testing.T) {
	const one = `{"jsonrpc":"2.0","method":"a","id":"x\u0041"}`
	for _, c := range []struct{ name, message, doc, want string }{
		{"result", one, answer("<int>1</int>"), `{"jsonrpc":"2.0","result":1,"id":"x\u0041"}`},
		{"nothing", one, "<methodResponse><params/></methodResponse>", `{"jsonrpc":"2.0","result":null,"id":"x\u0041"}`},
		{"fault", one, faultAnswer("4", "too &lt; many"), `{"jsonrpc":"2.0","error":{"code":4,"message":"too < many"},"id":"x\u0041"}`},
		{"id null", `{"jsonrpc":"2.0","method":"a","id":null}`, answer("a"), `{"jsonrpc":"2.0","result":"a","id":null}`},
		{"fault with a strange code", one, strings.ReplaceAll(faultAnswer("4", "no"), "int>", "string>"), `{"jsonrpc":"2.0","error":{"code":-32000,"message":"no"},"id":"x\u0041"}`},
		{"notification", `{"jsonrpc":"2.0","method":"a"}`, "<html>", ""},
		{"batch of notifications", `[{"jsonrpc":"2.0","method":"a"}]`, "", ""},
		{
			"batch", `[{"jsonrpc":"2.0","method":"a","id":7},{"jsonrpc":"2.0","method":"b"},{"jsonrpc":"2.0","method":"c","id":8}]`,
			answer("<array><data><value><array><data><value><array><data/></array></value></data></array></value><value><array><data><value/></data></array></value>" + fault("3", "no") + "</data></array>"),
			`[{"jsonrpc":"2.0","result":[],"id":7},{"jsonrpc":"2.0","error":{"code":3,"message":"no"},"id":8}]`,
		},
		{
			"batch that fails", `[{"jsonrpc":"2.0","method":"a","id":7},{"jsonrpc":"2.0","method":"c","id":8}]`, faultAnswer("1", "no multicall"),
			`[{"jsonrpc":"2.0","error":{"code":1,"message":"no multicall"},"id":7},{"jsonrpc":"2.0","error":{"code":1,"message":"no multicall"},"id":8}]`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := question(t, c.message).Answer([]byte(c.doc), "")
			if err != nil || string(got) != c.want {
				t.Errorf("Answer(%s) = %s, %v, want %s", c.doc, got, err, c.want)
			}
		})
	}
}

// TestQuestionAnswerRefuses: what is no answer.
func TestQuestionAnswerRefuses(t *testing.T) {
	const one, two = `{"jsonrpc":"2.0","method":"a","id":1}`, `[{"jsonrpc":"2.0","method":"a","id":1},{"jsonrpc":"2.0","method":"a","id":2}]`
	for _, c := range []struct{ name, message, doc string }{
		{"nothing", one, ""},
		{"a call", one, call("<value/>")},
		{"neither", one, "<methodResponse></methodResponse>"},
		{"two values", one, "<methodResponse><params><param><value/></param><param><value/></param></params></methodResponse>"},
		{"a fault that is a text", one, "<methodResponse><fault><value>no</value></fault></methodResponse>"},
		{"two faults", one, "<methodResponse><fault>" + fault("1", "") + fault("1", "") + "</fault></methodResponse>"},
		{"half", one, answer("<int>1</int>")[:90]},
		{"more", one, answer("<int>1</int>") + answer("<int>1</int>")},
		{"an entity", one, answer("&e;")},
		{"batch: not a list", two, answer("a")},
		{"batch: too few", two, answer("<array><data><value><array><data><value/></data></array></value></data></array>")},
		{"batch: too many", two, answer("<array><data>" + strings.Repeat("<value><array><data><value/></data></array></value>", 3) + "</data></array>")},
		{"batch: two in one", two, answer("<array><data>" + strings.Repeat("<value><array><data><value/><value/></data></array></value>", 2) + "</data></array>")},
		{"batch: none in one", two, answer("<array><data>" + strings.Repeat("<value><array/></value>", 2) + "</data></array>")},
		{"batch: bare", two, answer("<array><data>" + strings.Repeat("<value>a</value>", 2) + "</data></array>")},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := question(t, c.message).Answer([]byte(c.doc), "")
			if _, ok := errors.AsType[*xmlrpc.Error](err); !ok {
				t.Errorf("Answer(%s) = %s, %v, want an *Error", c.doc, got, err)
			}
		})
	}
}
