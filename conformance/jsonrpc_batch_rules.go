package conformance

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// batchRules are about section 6 of the specification.
var batchRules = []Rule{
	{
		Name:  "Batch",
		Text:  "A batch is answered by one array with a Response for each request, in any order, and none for a notification (section 6).",
		check: checkBatch,
	},
	{
		Name:  "BatchOrder",
		Text:  "Beyond the specification: the Responses of a batch are in the order of its requests.",
		check: checkBatchOrder,
	},
	{
		Name:  "BatchOfOne",
		Text:  "A batch of one request is answered by an array of one Response (section 6).",
		check: asks(probe{"[" + request(noMethod, "", "1") + "]", []string{"[1!-32601]"}}),
	},
	{
		Name:  "BatchEmpty",
		Text:  "An empty array is answered by one -32600 with the id null, and not by an array (section 6).",
		check: asks(refused("[]", "null", -32600), refused(" [\n] ", "null", -32600)),
	},
	{
		Name: "BatchInvalid",
		Text: "Each element of a batch that is no Request is answered by -32600 with the id null (section 6).",
		check: asks(
			probe{"[1]", []string{"[null!-32600]"}},
			probe{"[1,2,3]", []string{"[null!-32600, null!-32600, null!-32600]"}},
			probe{"[null]", []string{"[null!-32600]"}},
			probe{"[{}]", []string{"[null!-32600]"}},
			probe{"[[]]", []string{"[null!-32600]"}},
			probe{"[[" + request(noMethod, "", "1") + "]]", []string{"[null!-32600]"}},
		),
	},
	{
		Name: "BatchParseError",
		Text: "A batch that is not JSON is answered by one -32700 with the id null, and not by an array (section 6).",
		check: asks(
			refused(`[`+request(noMethod, "", "1")+`,{"jsonrpc": "2.0", "method"]`, "null", -32700),
			refused(`[`+request(noMethod, "", "1")+`,]`, "null", -32700),
			refused(`[`+request(noMethod, "", "1"), "null", -32700),
		),
	},
	{
		Name: "BatchSilent",
		Text: "A batch of notifications is not answered, not even by an empty array (section 6).",
		check: asks(
			probe{body: "[" + request("Echo", "[1]", "") + "]"},
			probe{body: "[" + request(noMethod, "", "") + "," + request("Echo", "[2]", "") + "]"},
		),
	},
	{
		Name: "BatchMixed",
		Text: "In a batch with Responses the requests are answered, and the Responses are not.",
		check: asks(
			probe{
				`[{"jsonrpc":"2.0","result":5,"id":4},` + request(noMethod, "", "1") + `,{"jsonrpc":"2.0","error":{},"id":5}]`,
				[]string{"[1!-32601]"},
			},
			probe{body: `[{"jsonrpc":"2.0","result":5,"id":4},` + request("Echo", "[]", "") + `]`},
		),
	},
	{
		Name:  "BatchSameID",
		Text:  "Requests of a batch that have the same id are each answered.",
		check: asks(probe{"[" + request(noMethod, "", "1") + "," + request(noMethod, "", "1") + "]", []string{"[1!-32601, 1!-32601]"}}),
	},
	{
		Name:  "BatchLarge",
		Text:  "A batch of 20,000 is answered by as many Responses, or refused by one error with the id null.",
		check: checkBatchLarge,
	},
}

// mixedBatch is much like the specification's example; want are the answers in
// the order of the requests.
func mixedBatch() (body string, want []string) {
	return "[" + strings.Join([]string{
		request(noMethod, "[1,2,4]", `"1"`),
		request(noMethod, "[7]", ""),
		request(noMethod, "[42,23]", "2"),
		`{"foo": "boo"}`,
		request("foo.get.nothing", `{"name":"myself"}`, `"5"`),
		request(noMethod, "", "null"),
	}, ", ") + "]", []string{`"1"!-32601`, "2!-32601", "null!-32600", `"5"!-32601`, "null!-32601"}
}

// elements takes apart what show says of an array.
func elements(shown string) []string {
	return strings.Split(strings.TrimSuffix(strings.TrimPrefix(shown, "["), "]"), ", ")
}

func checkBatch(r *rig) {
	a := r.asker()
	body, want := mixedBatch()
	got := a.answer(body)
	have := elements(got)
	slices.Sort(have)
	slices.Sort(want)
	if !strings.HasPrefix(got, "[") || !slices.Equal(have, want) {
		r.Errorf("%s got %s, want an array of %s", body, clip(got), strings.Join(want, ", "))
	}
	a.nothingMore()
}

func checkBatchOrder(r *rig) {
	a := r.asker()
	body, want := mixedBatch()
	if got, want := a.answer(body), "["+strings.Join(want, ", ")+"]"; got != want {
		r.Errorf("%s got %s, want %s", body, clip(got), want)
	}
	var all []string
	for n := range 100 {
		all = append(all, request(noMethod, "", strconv.Itoa(n)))
	}
	got := elements(a.answer("[" + strings.Join(all, ",") + "]"))
	for n, one := range got {
		if want := fmt.Sprintf("%d!-32601", n); one != want {
			r.Fatalf("of 100 requests the one at %d is answered at its place by %s, want %s", n, clip(one), want)
		}
	}
	a.nothingMore()
}

// manyInBatch is more than a server that bounds batches takes.
const manyInBatch = 20_000

func checkBatchLarge(r *rig) {
	a := r.asker()
	one := request(noMethod, "", "1")
	got := a.answer("[" + strings.Repeat(one+",", manyInBatch-1) + one + "]")
	if strings.HasPrefix(got, "null!-") {
		a.nothingMore()
		return
	}
	if n := len(elements(got)); n != manyInBatch || strings.Contains(got, "malformed") {
		r.Errorf("a batch of %d got %d answers, %s; want one for each, or one error with the id null", manyInBatch, n, clip(got))
	}
	a.nothingMore()
}
