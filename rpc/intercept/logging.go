package intercept

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/polyport/polyport/rpc"
)

// LoggingOptions adjust [Logging]. A nil pointer means the defaults.
type LoggingOptions struct {
	// Logger gets the records. Nil discards them.
	Logger *slog.Logger
	// Slow is how long a call may take before its record is a warning that has its
	// params. Zero means for ever.
	Slow time.Duration
	// Params adds the params to each record, Results the result to that of each
	// incoming call. By default results are never logged.
	Params, Results bool
	// Positional shows the texts in params by position, which have no names that
	// would tell which are secret. By default they are redacted.
	Positional bool
	// Secrets are names of members to redact, besides the usual ones: password,
	// passwd, passphrase, secret, token, authorization, api_key, private_key,
	// credential, cookie. A member is redacted if its name contains one of them;
	// case, "_" and "-" do not count.
	Secrets []string
	// MaxBytes is how much of the params, of the result and of an error's text is
	// logged. Zero means 1024.
	MaxBytes int
}

// Logging writes one record for each call when it has ended: its method,
// direction, remote address, user, outcome, code and duration. The level says what
// became of it:
//
//	debug    it succeeded
//	info     the error is the caller's or the method's own
//	warning  no answer, a deadline, a cancel, no place, or slow
//	error    [rpc.CodeInternal], on an incoming call
//
// Nothing is encoded or redacted for a record that the logger does not take.
func Logging(o *LoggingOptions) rpc.Interceptor {
	l := &logging{}
	if o != nil {
		l.o = *o
	}
	if l.o.Logger == nil {
		l.o.Logger = slog.New(slog.DiscardHandler)
	}
	if l.o.MaxBytes <= 0 {
		l.o.MaxBytes = 1024
	}
	l.redactor = newRedactor(l.o)
	return l.intercept
}

type logging struct {
	o        LoggingOptions
	redactor redactor
}

func (l *logging) intercept(ctx context.Context, c *rpc.Invocation) error {
	began := time.Now()
	returned := false
	defer func() {
		if !returned { // a panic, which goes on
			l.record(ctx, c, &rpc.Error{Code: rpc.CodeInternal, Message: "panic"}, time.Since(began))
		}
	}()
	err := c.Next(ctx)
	returned = true
	l.record(ctx, c, err, time.Since(began))
	return err
}

func (l *logging) record(ctx context.Context, c *rpc.Invocation, err error, took time.Duration) {
	r := ResultOf(c, err)
	level, slow := levelOf(c, r), l.o.Slow > 0 && took >= l.o.Slow
	if slow {
		level = max(level, slog.LevelWarn)
	}
	if !l.o.Logger.Enabled(ctx, level) {
		return
	}
	outcome := r.Outcome.String()
	switch {
	case c.Notification && c.Incoming:
		outcome = "done"
	case c.Notification && err == nil:
		outcome = "sent"
	}
	attrs := append(make([]slog.Attr, 0, 10),
		slog.String("method", c.Method), slog.String("outcome", outcome), slog.Duration("took", took), slog.Any("remote", c.Info.Remote))
	if c.Info.User != "" {
		attrs = append(attrs, slog.String("user", c.Info.User))
	}
	if slow {
		attrs = append(attrs, slog.Bool("slow", true))
	}
	if err != nil {
		if r.Outcome == rpc.Answered {
			attrs = append(attrs, slog.Int("code", int(r.Code)))
		}
		attrs = append(attrs, slog.String("err", textOf(err, l.o.MaxBytes)))
	}
	if slow || l.o.Params {
		attrs = append(attrs, slog.String("params", l.params(c)))
	}
	if l.o.Results && c.Incoming && err == nil {
		attrs = append(attrs, slog.String("result", l.redactor.show(c.RawResult)))
	}
	log := l.o.Logger
	switch {
	case c.Incoming && c.Notification:
		log.LogAttrs(ctx, level, "notification served", attrs...)
	case c.Incoming:
		log.LogAttrs(ctx, level, "call served", attrs...)
	case c.Notification:
		log.LogAttrs(ctx, level, "notification sent", attrs...)
	default:
		log.LogAttrs(ctx, level, "call sent", attrs...)
	}
}

// levelOf says how bad a result is.
func levelOf(c *rpc.Invocation, r Result) slog.Level {
	switch {
	case !r.Failed:
		return slog.LevelDebug
	case r.Outcome != rpc.Answered:
		return slog.LevelWarn
	}
	switch r.Code {
	case rpc.CodeInternal:
		if c.Incoming {
			return slog.LevelError
		}
		return slog.LevelWarn
	case rpc.CodeBusy, rpc.CodeCancelled, rpc.CodeDeadline, rpc.CodeShuttingDown:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// params are a call's params in a record.
func (l *logging) params(c *rpc.Invocation) string {
	if c.Incoming {
		return l.redactor.show(c.RawParams)
	}
	switch p := c.Params.(type) {
	case nil:
		return ""
	case json.RawMessage:
		return l.redactor.show(p)
	case *rpc.Batch:
		return fmt.Sprintf("a batch of %d", p.Len())
	}
	raw, err := jsonv2.Marshal(c.Params)
	if err != nil {
		return "[cannot be shown]"
	}
	return l.redactor.show(raw)
}
