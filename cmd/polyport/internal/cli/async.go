package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/alecthomas/kong"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// An asyncValue is the flag --async, which may have a value.
type asyncValue struct {
	given  bool
	handle string
}

// IsBool tells kong that the flag may stand alone.
func (*asyncValue) IsBool() bool { return true }

var uuidText = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// Decode is called by kong.
func (a *asyncValue) Decode(ctx *kong.DecodeContext) error {
	a.given, a.handle = true, rpc.NewHandle()
	if ctx.Scan.Peek().Type != kong.FlagValueToken {
		return nil
	}
	text, ok := ctx.Scan.Pop().Value.(string)
	if !ok || !uuidText.MatchString(text) {
		return fmt.Errorf("expected a UUID such as %s, got %q", a.handle, text)
	}
	a.handle = text
	return nil
}

// detach makes the call with its handle.
func (v *call) detach(ctx context.Context, e *environment, params any) error {
	c, err := v.redial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	f := rpc.Detach[json.RawMessage](ctx, c, v.Method, params, &rpc.DetachOptions{Handle: v.Async.handle})
	result, err := f.Get(context.Background()) // ctx bounds the call
	if err != nil {
		err = callError(err, v.URL)
		if missing, ok := errors.AsType[unansweredError](err); ok && !errors.Is(err, rpc.ErrHandleLost) {
			missing.handle = v.Async.handle
			return missing
		}
		return err
	}
	return printJSON(e, result)
}

// redial connects to the server or broker, and connects again when the
// connection is lost.
func (v *call) redial(ctx context.Context) (*rpc.Client, error) {
	o, err := v.dialOptions(v.URL)
	if err != nil {
		return nil, err
	}
	conn, err := transport.Redial(ctx, v.URL.url.String(), &transport.RedialOptions{DialOptions: *o, First: 50 * time.Millisecond})
	if err != nil {
		return nil, unansweredError{outcome: rpc.NotSent, to: v.URL, err: err}
	}
	return rpc.NewClient(conn, &rpc.ClientOptions{Durable: v.Durable}), nil
}
