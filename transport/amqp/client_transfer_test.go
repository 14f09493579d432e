package amqp_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp/internal/codec"
	"github.com/polyport/polyport/transport/amqp/internal/frames"
)

// takes answers begin and attach of a link by which the client sends, and gives
// it a window and credit.
func (f *fake) takes(window, credit byte) {
	f.expect("begin")
	f.write(frame(0, 0, performative(0x11, "\x60\x00\x00", "\x43", "\x52"+string([]byte{window}), "\x52\xff")))
	body := f.expect("attach")
	at := bytes.IndexByte(body, 0xa1)
	name := string(body[at+2:][:body[at+1]])
	source, target := composite(0x28, str("")), composite(0x29, str("calc"))
	f.write(frame(0, 0, performative(0x12, str(name), "\x43", "\x41", "\x50\x02", "\x50\x00", source, target)))
	f.flow(0, window, 0, credit, false)
}

// flow gives window and credit to a client of which so many frames and messages
// were seen.
func (f *fake) flow(frames, window, messages, credit byte, echo bool) {
	asks := "\x42"
	if echo {
		asks = "\x41"
	}
	n := func(b byte) string { return "\x52" + string([]byte{b}) }
	f.write(frame(0, 0, performative(0x13, n(frames), n(window), "\x43", "\x52\xff", "\x43", n(messages), n(credit), "\x40", "\x42", asks)))
}

// transfer reads a transfer frame.
func (f *fake) transfer() (t frames.Transfer, part []byte) {
	f.t.Helper()
	body := f.expect("transfer")
	n, _ := frames.PerformativeLen(body)
	if n == 0 {
		f.t.Fatalf("no performative: % x", body)
	}
	d := codec.NewDecoder(body[:n])
	fields := d.Value().Items()
	t.Parse(&fields)
	return t, body[n:]
}

// TestTransfersKeepToTheWindow: a message in three frames goes by two of them
// while the peer has room for two, each says how it is settled, and the outcome
// of a peer that settles second is answered and told.
func TestTransfersKeepToTheWindow(t *testing.T) {
	c, f := dialFake(t, nil)
	by, _ := transport.As[transport.Confirmer](c)
	body := bytes.Repeat([]byte("0123456789abcdef"), 5<<16/2)
	outcome, sent := make(chan error, 1), make(chan error, 1)
	go func() {
		sent <- by.SendConfirmed(t.Context(), &transport.Message{Body: body}, func(err error) { outcome <- err })
	}()
	var got []byte
	within(t, "the exchange", func() {
		f.takes(2, 1)
		for i := range 3 {
			x, part := f.transfer()
			if x.Settled || x.More != (i < 2) || x.HasID != (i == 0) || x.ID != 0 {
				t.Errorf("transfer %d = %+v", i, x)
			}
			got = append(got, part...)
			if i == 1 {
				f.flow(2, 0, 0, 1, true) // no window; the answer comes before the rest
				if f.expect("flow"); len(outcome) > 0 {
					t.Error("an outcome before the message was whole")
				}
				f.flow(2, 1, 0, 1, false)
			}
		}
		rejected := composite(0x25, composite(0x1d, sym("amqp:not-allowed"), str("no")))
		f.write(frame(0, 0, performative(0x15, "\x41", "\x43", "\x40", "\x42", rejected)))
		f.expect("disposition")
	})
	if err := <-sent; err != nil {
		t.Errorf("SendConfirmed: %v", err)
	}
	if err := <-outcome; !errors.Is(err, transport.ErrRefused) {
		t.Errorf("outcome = %v, want %v", err, transport.ErrRefused)
	}
	size := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	if !bytes.HasSuffix(got, append(append([]byte("\x00\x53\x75\xb0"), size...), body...)) {
		t.Errorf("the message of %d bytes does not end with the body", len(got))
	}
}

// TestTransfersKeepToTheCredit: without credit nothing is sent, settled messages
// say so, and what waits when the peer ends the link was not sent.
func TestTransfersKeepToTheCredit(t *testing.T) {
	c, f := dialFake(t, nil)
	by, _ := transport.As[transport.Confirmer](c)
	sent := make(chan error, 1)
	outcomes := make(chan error, 2)
	go func() {
		err := c.Send(t.Context(), &transport.Message{Body: []byte("first")})
		for range 2 {
			err = errors.Join(err, by.SendConfirmed(t.Context(), &transport.Message{Body: []byte("more")}, func(err error) { outcomes <- err }))
		}
		sent <- err
	}()
	within(t, "the exchange", func() {
		f.takes(255, 2)
		for i, settled := range []bool{true, false} {
			if x, _ := f.transfer(); x.Settled != settled || x.More || x.ID != uint32(i) {
				t.Errorf("transfer %d = %+v", i, x)
			}
		}
		if err := <-sent; err != nil {
			t.Errorf("Send: %v", err)
		}
		f.flow(2, 255, 2, 0, true)
		f.expect("flow")
		f.write(frame(0, 0, performative(0x16, "\x43", "\x41", composite(0x1d, sym("amqp:resource-deleted")))))
		f.expect("detach")
	})
	var unknown, not int
	for range 2 {
		op, ok := errors.AsType[*transport.OpError](<-outcomes)
		switch {
		case ok && op.MaybeSent:
			unknown++
		case ok:
			not++
		}
	}
	if unknown != 1 || not != 1 {
		t.Errorf("%d outcomes are unknown and %d messages were not sent, want 1 and 1", unknown, not)
	}
}
