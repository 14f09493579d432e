package intercept

import (
	"context"
	"log/slog"
	"runtime/debug"

	"github.com/polyport/polyport/rpc"
)

// RecoverOptions adjust [Recover]. A nil pointer means the defaults.
type RecoverOptions struct {
	// Logger gets a record of each panic with its stack. Nil discards it.
	Logger *slog.Logger
}

func (o *RecoverOptions) logger() *slog.Logger {
	if o == nil || o.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return o.Logger
}

// Recover makes a panic of a handler, or of an interceptor further in, an
// [*rpc.Error] with [rpc.CodeInternal], for interceptors further out to see. Its
// message says nothing of the panic. Without Recover the peer gets the same answer,
// but those interceptors are skipped. Outgoing calls pass through: their panics are
// the caller's.
func Recover(o *RecoverOptions) rpc.Interceptor {
	log := o.logger()
	return func(ctx context.Context, c *rpc.Invocation) (err error) {
		if !c.Incoming {
			return c.Next(ctx)
		}
		returned := false
		defer func() {
			if returned {
				return
			}
			if v := recover(); v != nil { // else the handler ends its goroutine, which goes on
				log.LogAttrs(ctx, slog.LevelError, "handler panicked",
					slog.String("method", c.Method), slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
				err = &rpc.Error{Code: rpc.CodeInternal, Message: "internal error"}
			}
		}()
		err = c.Next(ctx)
		returned = true
		return err
	}
}
