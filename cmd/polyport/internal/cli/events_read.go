package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// A reader prints events, by one connection after the other.
type reader struct {
	*events
	e    *environment
	n    int    // events printed
	told string // why there is no connection, as it was told last
	turn bool   // calls take turns, so that events come with answers alone
}

// A printError says that an event could not be printed, which no other connection
// helps against.
type printError struct{ error }

// full reports whether all that were asked for have come.
func (r *reader) full() bool { return r.Count > 0 && r.n == r.Count }

// read reads until all have come or ctx ends, which are no errors.
func (r *reader) read(ctx context.Context) error {
	c, s, err := r.subscribe(ctx, r.connect)
	if err != nil {
		return err
	}
	pace := (*transport.RedialOptions)(nil).Pace()
	connect := func(ctx context.Context) (transport.Conn, error) { return pace.Dial(ctx, r.reconnect) }
	for {
		if err == nil {
			err = r.print(ctx, s)
			_ = c.Close()
		}
		if err == nil || ctx.Err() != nil {
			return nil //nolint:nilerr // the end of ctx is none
		}
		if !r.helps(err) {
			return endOfEvents(err)
		}
		r.tell(err)
		pace.Lost()
		if c, s, err = r.subscribe(ctx, connect); err == nil {
			r.told = ""
			r.printGap(new(rpc.GapError))
		}
	}
}

// print prints what comes, and returns nil when all have come or ctx has ended.
func (r *reader) print(ctx context.Context, s *rpc.Subscription) error {
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	for event, err := range s.Events() {
		if gap, missed := errors.AsType[*rpc.GapError](err); missed {
			r.printGap(gap)
			continue
		}
		if err != nil {
			return err
		}
		if err := printEvent(r.e, event); err != nil {
			return printError{err}
		}
		if r.n++; r.full() {
			return nil
		}
	}
	return nil
}

// subscribe subscribes on a connection that connect makes.
func (r *reader) subscribe(
	ctx context.Context, connect func(context.Context) (transport.Conn, error),
) (*rpc.Client, *rpc.Subscription, error) {
	conn, err := connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := r.options().bound(ctx)
	defer cancel()
	r.turn = conn.Info().Lockstep
	c := rpc.NewClient(conn, &rpc.ClientOptions{Receiver: r.URL.url.Hostname()})
	s, err := c.Subscribe(ctx, r.Filter, &rpc.SubscribeOptions{Window: r.Window})
	if err != nil {
		_ = c.Close()
		if errors.Is(err, rpc.ErrTopic) { // in the form that the peer's profile has
			return nil, nil, usagef("%s", strings.TrimPrefix(errors.Unwrap(err).Error(), "rpc: "))
		}
		return nil, nil, callError(err, r.URL)
	}
	return c, s, nil
}

func (r *reader) connect(ctx context.Context) (transport.Conn, error) {
	flags := r.options()
	ctx, cancel := flags.bound(ctx)
	defer cancel()
	return flags.connect(ctx, r.URL)
}

// reconnect is connect, and says why it failed.
func (r *reader) reconnect(ctx context.Context) (transport.Conn, error) {
	conn, err := r.connect(ctx)
	if err != nil && ctx.Err() == nil {
		r.tell(err)
	}
	return conn, err
}

// helps reports whether another connection may help after err.
func (r *reader) helps(err error) bool {
	_, ours := errors.AsType[printError](err)
	answer, refused := errors.AsType[*rpc.Error](err)
	passing := !refused || answer.Code == rpc.CodeShuttingDown || answer.Code == rpc.CodeBusy
	return !r.NoReconnect && !ours && passing
}

// endOfEvents is why there are no more.
func endOfEvents(err error) error {
	_, answered := errors.AsType[*rpc.Error](err)
	_, ours := errors.AsType[printError](err)
	_, missing := errors.AsType[unansweredError](err)
	if answered || ours || missing {
		return err
	}
	return eventsError{text: "the connection ended: " + transport.Reason(err)}
}

// tell says why there is no connection, unless that is what was said last.
func (r *reader) tell(err error) {
	text := "the connection ended: " + transport.Reason(err)
	if answer, ok := errors.AsType[*rpc.Error](err); ok {
		text = "the server ended the subscription: " + answer.Message
	} else if missing, ok := errors.AsType[unansweredError](err); ok {
		text, _ = missing.explain(r.options())
	}
	if text == r.told {
		return
	}
	r.told = text
	if r.JSON {
		writeJSON(r.e.stderr, map[string]string{"reconnecting": text})
		return
	}
	fmt.Fprintf(r.e.stderr, "polyport events: %s; trying again\n", text)
}

// printGap says that events are missing here.
func (r *reader) printGap(gap *rpc.GapError) {
	switch {
	case r.JSON:
		writeJSON(r.e.stderr, map[string]uint64{"dropped": gap.Dropped})
	case gap.Dropped == 0:
		fmt.Fprintln(r.e.stderr, "polyport events: gap: events may have been missed")
	default:
		fmt.Fprintf(r.e.stderr, "polyport events: gap: %d events were dropped\n", gap.Dropped)
	}
}
