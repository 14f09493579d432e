package cli

import (
	"context"

	"github.com/polyport/polyport/rpc"
)

type notify struct {
	common

	URL    target `arg:"" help:"SCHEME://[USER:PASSWORD@]HOST:PORT[/DESTINATION]"`
	Method string `arg:"" help:"The method's name."`
	Params string `arg:"" optional:"" help:"A JSON array or object."`

	Durable bool `help:"Ask a broker to keep the request across its restart."`
}

// Help is shown by notify --help.
func (*notify) Help() string {
	return `Exit status 0 says that the notification was handed to the network, not that it was executed. Programs of oVirt take
none (?profile=ovirt): there it is refused, and nothing is sent.

Example:

    polyport notify stomp://127.0.0.1:7070 Sleep '[10]'`
}

func (v *notify) run(ctx context.Context, _ *environment) error {
	params, err := requestParams(v.Method, v.Params)
	if err != nil {
		return err
	}
	ctx, cancel := v.bound(ctx)
	defer cancel()
	c, err := v.dial(ctx, v.URL, &rpc.ClientOptions{Durable: v.Durable})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if err := c.Notify(ctx, v.Method, params); err != nil {
		return callError(err, v.URL)
	}
	return callError(c.Flush(ctx), v.URL)
}
