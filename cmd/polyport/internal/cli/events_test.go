package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/fx"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// published serves, and publishes on the topic x when somebody has subscribed.
func published(t *testing.T, params ...string) (url string) {
	t.Helper()
	var server *rpc.Server
	url = serve(t, app.Config{}, fx.Populate(&server))
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(done)
		for _, p := range params {
			for n := 0; n == 0 && ctx.Err() == nil; {
				n, _ = server.Publish(ctx, "x.y", json.RawMessage(p))
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return url
}

func TestEvents(t *testing.T) {
	url := published(t, "[1.0]", `{"a": "<é>"}`, "[3]")
	got := run(t, "events", url, "x.#", "--count", "2")
	want := outcome{0, `{"topic":"x.y","params":[1.0]}` + "\n" + `{"topic":"x.y","params":{"a":"<é>"}}` + "\n", ""}
	if got != want {
		t.Errorf("events = %+v, want %+v", got, want)
	}
}

func TestEventsOfTheClock(t *testing.T) {
	url := serve(t, app.Config{})
	c := begin(t, "events", url)
	c.stdout.await(t, `{"topic":"clock","params":{"time":"`)
	if got := c.end(); got.code != 0 || got.stderr != "" {
		t.Errorf("interrupted events = %+v, want status 0", got)
	}
}

// TestEventsEnd: the exit status says why there are no more.
func TestEventsEnd(t *testing.T) {
	url := serve(t, app.Config{})
	refuses := wirePeer(t, eventsAnswering(`{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no events here"}}`))
	leaves := wirePeer(t, eventsAnswering(`{"jsonrpc":"2.0","id":1,"result":{"subscription":"1"}}`))
	ends := wirePeer(t, eventsAnswering(`{"jsonrpc":"2.0","id":1,"result":{"subscription":"1"}}`,
		`{"jsonrpc":"2.0","method":"rpc.events.gap","params":{"subscription":"1","dropped":3}}`,
		`{"jsonrpc":"2.0","method":"rpc.events.end","params":{"subscription":"1","dropped":0,"code":-32054,"message":"bye"}}`))
	for _, tt := range []struct {
		name string
		args []string
		want outcome
	}{
		{"the time has passed", []string{url, "x", "--timeout", "500ms"}, outcome{0, "", ""}},
		{"fewer came in time", []string{url, "x", "--count", "1", "--timeout", "500ms"}, outcome{3, "", "polyport events: 0 of 1 events came: the time has passed\n    is something published that matches x?\n"}},
		{"refused", []string{refuses}, outcome{1, "", `{"code":-32601,"message":"no events here"}` + "\n"}},
		{"the connection ends", []string{leaves}, outcome{3, "", "polyport events: the connection ended: "}},
		{"the server ends it", []string{ends}, outcome{1, "", "polyport events: gap: 3 events were dropped\n" + `{"code":-32054,"message":"bye"}` + "\n"}},
		{"gaps in JSON", []string{ends, "--json"}, outcome{1, "", `{"dropped":3}` + "\n" + `{"code":-32054,"message":"bye"}` + "\n"}},
		{"nobody listens", []string{"stomp://" + refusing(t)}, outcome{3, "", "polyport events: no answer, nothing was sent: connection refused"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := run(t, append([]string{"events", "--no-reconnect"}, tt.args...)...)
			if got.code != tt.want.code || got.stdout != tt.want.stdout || !strings.HasPrefix(got.stderr, tt.want.stderr) {
				t.Errorf("events = %+v, want %+v", got, tt.want)
			}
		})
	}
}

// eventsAnswering says bodies to the first request, and leaves.
func eventsAnswering(bodies ...string) func(transport.Conn) {
	return func(c transport.Conn) {
		m, err := c.Recv(context.Background())
		if err != nil {
			return
		}
		for _, b := range bodies {
			if err := c.Send(context.Background(), &transport.Message{To: m.ReplyTo, Body: []byte(b)}); err != nil {
				fmt.Println(err)
			}
		}
	}
}
