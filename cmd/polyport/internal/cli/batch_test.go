package cli_test

import (
	"context"
	"strings"
	"testing"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/transport"
)

func TestBatch(t *testing.T) {
	url := serve(t, app.Config{})
	const (
		one   = `{"jsonrpc":"2.0","id":"a","method":"Echo","params":[1.0]}`
		note  = `{"jsonrpc":"2.0","method":"Echo"}`
		nope  = `{"jsonrpc":"2.0","id":1.50,"method":"Nope"}`
		reply = `{"jsonrpc":"2.0","id":"x","result":1}`
	)
	tests := []struct {
		name, batch string
		code        int
		want        string
	}{
		{"one call", `[` + one + `]`, 0, `[{"jsonrpc":"2.0","id":"a","result":[1.0]}]`},
		{"blanks", " [\n" + one + " ]\n", 0, `[{"jsonrpc":"2.0","id":"a","result":[1.0]}]`},
		{
			"ids as they are, an error among the answers", `[` + one + `,` + note + `,` + nope + `]`, 1,
			`[{"jsonrpc":"2.0","id":"a","result":[1.0]},{"jsonrpc":"2.0","id":1.50,"error":{"code":-32601,"message":"method \"Nope\" not found"}}]`,
		},
		{"an id that is null", `[{"jsonrpc":"2.0","id":null,"method":"Math.Sum","params":[1]}]`, 0, `[{"jsonrpc":"2.0","id":null,"result":1}]`},
		{"notifications only", `[` + note + `,{"jsonrpc":"2.0","method":"Echo","params":{}}]`, 0, ``},
		{"what nobody answers", `[` + note + `,` + reply + `]`, 0, ``},
		{"no request", `[1]`, 1, `[{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"invalid request: a message must be an object"}}]`},
		{"a notification that is none", `[{"jsonrpc":"2.0","method":1}]`, 1, `"code":-32600`},
		{"an empty batch", `[]`, 1, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,`},
	}
	for _, tt := range tests {
		for _, from := range []string{"standard input", "-", "a file"} {
			t.Run(tt.name+" from "+from, func(t *testing.T) {
				args := []string{"batch", url}
				switch from {
				case "-":
					args = append(args, "-")
				case "a file":
					args = append(args, file(t, "batch.json", tt.batch))
				}
				got := runWith(t, tt.batch, args...)
				if got.code != tt.code || !strings.Contains(got.stdout, tt.want) || got.stderr != "" || (got.stdout == "") != (tt.want == "") {
					t.Errorf("batch %s = %d, %q, %q, want %d, %q", tt.batch, got.code, got.stdout, got.stderr, tt.code, tt.want)
				}
				if n := strings.Count(got.stdout, "\n"); n > 1 {
					t.Errorf("batch prints %d lines, want one", n)
				}
			})
		}
	}
}

func TestBatchUsage(t *testing.T) {
	tests := []struct{ name, batch, want string }{
		{"nothing", ``, "is not JSON"},
		{"half", `[{"jsonrpc"`, "is not JSON"},
		{"an object", `{"jsonrpc":"2.0","id":1,"method":"Echo"}`, "expected a JSON array of requests"},
		{"too large", `["` + strings.Repeat("x", 4<<20) + `"]`, "larger than 4194304 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := runWith(t, tt.batch, "batch", "stomp://127.0.0.1:1")
			if got.code != 2 || !strings.Contains(got.stderr, tt.want) {
				t.Errorf("batch = %d, %q, want 2 and %q", got.code, got.stderr, tt.want)
			}
		})
	}
}

// What the peer asks meanwhile is not taken for the answer.
func TestBatchPeerAsks(t *testing.T) {
	url := wirePeer(t, func(c transport.Conn) {
		m, err := c.Recv(context.Background())
		if err != nil {
			return
		}
		for _, body := range []string{
			`{"jsonrpc":"2.0","method":"event"}`, `[{"jsonrpc":"2.0","id":1,"method":"ask"}]`, `no JSON`, `[{"jsonrpc":"2.0","id":7,"result":1}]`,
		} {
			_ = c.Send(context.Background(), &transport.Message{To: m.ReplyTo, Body: []byte(body)})
		}
		_, _ = c.Recv(context.Background())
	})
	got := runWith(t, `[{"jsonrpc":"2.0","id":7,"method":"Echo"}]`, "batch", url)
	if want := (outcome{0, `[{"jsonrpc":"2.0","id":7,"result":1}]` + "\n", ""}); got != want {
		t.Errorf("batch = %+v, want %+v", got, want)
	}
}
