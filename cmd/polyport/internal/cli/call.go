package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/rpc/intercept"
)

type call struct {
	common

	URL    target `arg:"" help:"SCHEME://[USER:PASSWORD@]HOST:PORT[/DESTINATION]"`
	Method string `arg:"" help:"The method's name."`
	Params string `arg:"" optional:"" help:"A JSON array or object."`

	Durable bool       `help:"Ask a broker to keep the request across its restart."`
	Flow    string     `placeholder:"ID" help:"Say of which flow the call is a part; for the logs of oVirt's programs, and of ours."`
	Async   asyncValue `help:"Give the call a handle, by which it outlives a lost connection; with =UUID, come back to that call."`
}

// Help is shown by call --help.
func (*call) Help() string {
	return `The result is printed as it came, without the blanks between its parts. An error in the answer goes to
stderr as a JSON object, with exit status 1; 3 means that no answer came, and stderr says whether the call was sent. If
the server says that the params are wrong and can describe its methods, what it expects follows on stderr.

While it waits, the server may call Echo here.

With --async a method that allows it runs on when the connection is lost, which is then made again. If there is no
answer within --timeout, stderr names the handle: the same command with --async=UUID comes back for the result, and
does not run the method again.

Examples:

    polyport call stomp://127.0.0.1:7070 Call.Back '{"method":"Echo","params":[1]}'
    polyport call stomp://127.0.0.1:7070 Math.Sum '[1,2,3]'
    polyport call stomps://alice:secret@example.org --cacert ca.pem Sleep '{"ms":50}' --timeout 1s
    polyport call stomp://127.0.0.1:7070 Task.Run '{"ms":60000}' --async=3b241101-e2bb-4255-8caf-4136c566a962`
}

// Validate is called by kong.
func (v *call) Validate() error {
	if v.Flow != "" && v.Async.given {
		return errors.New("--flow goes with the call, --async may send several; choose one")
	}
	return v.common.Validate()
}

func (v *call) run(ctx context.Context, e *environment) error {
	params, err := requestParams(v.Method, v.Params)
	if err != nil {
		return err
	}
	ctx, cancel := v.bound(intercept.WithFlow(ctx, v.Flow))
	defer cancel()
	if v.Async.given {
		return v.detach(ctx, e, params)
	}
	c, err := v.dial(ctx, v.URL, v.clientOptions())
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	var result json.RawMessage
	if err := c.Call(ctx, v.Method, params, &result); err != nil {
		return callError(v.wrongParams(ctx, e, c, err), v.URL)
	}
	return printJSON(e, result)
}

// clientOptions are those of a client that makes the call.
func (v *call) clientOptions() *rpc.ClientOptions {
	o := &rpc.ClientOptions{Durable: v.Durable, Mux: callee()}
	if v.Flow != "" {
		o.Interceptors = []rpc.Interceptor{intercept.Flow}
	}
	return o
}

// callee is what a server can call at the caller: Echo, so that Call.Back has
// something to call.
func callee() *rpc.Mux {
	m := rpc.NewMux(nil)
	rpc.Handle(m, "Echo", func(_ context.Context, params json.RawMessage) (json.RawMessage, error) { return params, nil })
	return m
}

// requestParams checks what a request is made of before anything is sent.
func requestParams(method, params string) (any, error) {
	if method == "" {
		return nil, usagef("METHOD is empty; expected a name such as Math.Sum")
	}
	return checkParams("PARAMS", params)
}

// printJSON prints a JSON text in one line, otherwise as it is.
func printJSON(e *environment, text []byte) error {
	var line bytes.Buffer
	if err := json.Compact(&line, text); err != nil {
		return err
	}
	line.WriteByte('\n')
	_, err := e.stdout.Write(line.Bytes())
	return err
}
