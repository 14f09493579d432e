package stomp_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"slices"
	"testing"

	"github.com/go-stomp/stomp/v3/frame"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/internal/hostile"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/stomp"
)

// TestConformanceOVirt holds the rules against both ends with the profile. What breaks
// one does so because oVirt has it so.
func TestConformanceOVirt(t *testing.T) {
	const (
		fields  = "a client sends no fields that the agent has no use for; TestAgentGets has those that it sends"
		settles = "the agent takes no acknowledgements"
		copies  = "every subscription of a destination gets what is sent there"
		nudged  = "a line end follows each burst of frames; here it overtakes the frame's held end"
		beats   = "a client asks for beats at two thirds of the interval that it judges by, and a server gives them"
	)
	h := conformance.Harness{
		Transport: carrier{}, URL: "stomp://conformance", Hostile: slices.DeleteFunc(hostile.STOMP(), isWhole),
		Options: &transport.Options{Profile: transport.OVirt},
		Skip: map[string]string{
			"Fields": fields, "FieldText": fields, "IDKinds": fields,
			"BeatsAgreed": beats, "BusyReceiverMidFrame": nudged, "Publish": copies,
			"PublishTogether": settles, "PublishOverLimit": settles, "PublishNotSent": settles,
			"SettleReleases": settles, "UnsettledLimit": settles, "SettleUpTo": settles, "SettleUpToRace": settles,
			"SettleAgain": settles, "SettleAfterUnsubscribe": settles, "SettleAfterClose": settles,
			"Confirm": settles, "ConfirmMeansTaken": settles, "ConfirmLost": settles, "ConfirmClosed": settles,
			"ConfirmWaits": settles, "ConfirmRefused": settles, "ConfirmBothWays": settles,
		},
	}
	t.Run("pipe", func(t *testing.T) { conformance.Run(t, h) })
	h.Stream = conformance.TCP
	t.Run("tcp", func(t *testing.T) { conformance.Run(t, h) })
}

// isWhole reports whether b is nothing but frames: at worst they are wrong in what they
// say, which is no end of a connection here.
func isWhole(b []byte) bool {
	r := frame.NewReader(bytes.NewReader(b))
	for {
		if _, err := r.Read(); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

// A carrier carries in headers those fields by which the rules tell messages apart, and
// which a client of the profile does not send.
type carrier struct{ stomp.Transport }

func (w carrier) Client(ctx context.Context, nc net.Conn, u *url.URL, o *transport.DialOptions) (transport.Conn, error) {
	c, err := w.Transport.Client(ctx, nc, u, o)
	if err != nil {
		return nil, err
	}
	return carrying{c}, nil
}

func (w carrier) Server(ctx context.Context, nc net.Conn, o *transport.ListenOptions) (transport.Conn, error) {
	c, err := w.Transport.Server(ctx, nc, o)
	if err != nil {
		return nil, err
	}
	return carried{c}, nil
}

const carriedSubject, carriedID = "x-subject", "x-correlation-id"

// carrying is a client's end.
type carrying struct{ transport.Conn }

func (c carrying) Unwrap() transport.Conn { return c.Conn }

func (c carrying) Send(ctx context.Context, m *transport.Message) error {
	own := *m
	own.Headers = slices.Clone(m.Headers)
	for _, f := range []transport.Header{{Name: carriedSubject, Value: m.Subject}, {Name: carriedID, Value: m.CorrelationID.String()}} {
		if f.Value != "" {
			own.Headers = append(own.Headers, f)
		}
	}
	return c.Conn.Send(ctx, &own)
}

// carried is a server's end.
type carried struct{ transport.Conn }

func (c carried) Unwrap() transport.Conn { return c.Conn }

func (c carried) Recv(ctx context.Context) (*transport.Message, error) {
	m, err := c.Conn.Recv(ctx)
	if err != nil {
		return nil, err
	}
	m.Headers = slices.DeleteFunc(m.Headers, func(h transport.Header) bool {
		switch h.Name {
		case carriedSubject:
			m.Subject = h.Value
		case carriedID:
			m.CorrelationID = transport.TextID(h.Value)
		default:
			return false
		}
		return true
	})
	return m, nil
}
