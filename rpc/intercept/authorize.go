package intercept

import (
	"context"
	"errors"
	"fmt"

	"github.com/polyport/polyport/rpc"
)

// CodeDenied is the code of a call that [Authorize] refuses without another.
const CodeDenied rpc.Code = 403

// Authorize asks allow about each incoming call before anything of its params is
// decoded, and refuses it if allow returns an error: with an [*rpc.Error] as it
// is, so that allow chooses the code, and else with [CodeDenied]. The text of another
// error does not reach the peer; interceptors further out see it. allow may look
// at the method, the user and certificate of the connection in Info, and the texts
// beside the call. It is asked about unknown methods, too, so that a refusal does
// not tell which exist; and not about rpc.cancel, which can end calls of the same
// peer only. Outgoing calls pass through.
func Authorize(allow func(ctx context.Context, c *rpc.Invocation) error) rpc.Interceptor {
	return func(ctx context.Context, c *rpc.Invocation) error {
		if !c.Incoming {
			return c.Next(ctx)
		}
		err := allow(ctx, c)
		if err == nil {
			return c.Next(ctx)
		}
		if _, chosen := errors.AsType[*rpc.Error](err); chosen {
			return err
		}
		return fmt.Errorf("%w: %w", &rpc.Error{Code: CodeDenied, Message: "denied"}, err)
	}
}
