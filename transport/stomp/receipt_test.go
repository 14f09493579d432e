package stomp_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/transport"
)

func TestReceiptOnEveryFrame(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		r := newRig(t, nil, nil)
		p := r.connect(version)
		ack := "ACK\nid:%d\nreceipt:%[1]d\n\n^@"
		if version != "1.2" {
			ack = "ACK\nmessage-id:%d\nsubscription:s\nreceipt:%[1]d\n\n^@"
		}
		receipt := "RECEIPT\nreceipt-id:%s\ncontent-length:0\n\n^@"
		p.expect("SEND\ndestination:rpc\nreceipt:send\n\nhi^@", fmt.Sprintf(receipt, "send"))
		p.expect("SUBSCRIBE\nid:s\ndestination:d\nack:client-individual\nreceipt:sub\n\n^@", fmt.Sprintf(receipt, "sub"))
		for range 2 {
			if err := r.session().Send(t.Context(), &transport.Message{To: "d"}); err != nil {
				t.Fatal(err)
			}
		}
		p.taken()
		p.expect(fmt.Sprintf(ack, 1), fmt.Sprintf(receipt, "1"))
		if version != "1.0" {
			p.expect("N"+fmt.Sprintf(ack, 2), fmt.Sprintf(receipt, "2"))
		}
		p.expect("UNSUBSCRIBE\nid:s\nreceipt:unsub\n\n^@", fmt.Sprintf(receipt, "unsub"))
		p.expect("DISCONNECT\nreceipt:bye\n\n^@", fmt.Sprintf(receipt, "bye")+"^D")
	})
}

// TestReceiptEscapes: the id comes back as it was meant, spelled for the version.
func TestReceiptEscapes(t *testing.T) {
	for _, c := range []struct{ version, id string }{
		{"1.0", `a\b:c\nd`},
		{"1.1", `a\\b\cc\nd`},
		{"1.2", `a\\b\cc\nd\r`},
	} {
		t.Run(c.version, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newRig(t, nil, nil).connect(c.version)
				p.expect("SEND\ndestination:rpc\nreceipt:"+c.id+"\n\n^@", "RECEIPT\nreceipt-id:"+c.id+"\ncontent-length:0\n\n^@")
				if got := p.say("SEND\nreceipt:" + c.id + "\n\n^@"); !strings.Contains(got, "\nreceipt-id:"+c.id+"\n") {
					t.Errorf("ERROR without receipt-id:%s\n%s", c.id, printable(got))
				}
			})
		})
	}
}

func TestReceiptsComeInOrder(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		p := newRig(t, nil, nil).connect(version)
		var in, want strings.Builder
		for i := range 500 {
			fmt.Fprintf(&in, "SEND\ndestination:rpc\nreceipt:%d\n\n^@\n", i)
			fmt.Fprintf(&want, "RECEIPT\nreceipt-id:%d\ncontent-length:0\n\n^@", i)
		}
		p.expect(in.String(), want.String())
	})
}

// TestDisconnect: the server confirms, says no more, and waits for the client
// to close, so that nothing of it is lost in a reset.
func TestDisconnect(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		r := newRig(t, nil, nil)
		p := r.connect(version)
		p.expect("DISCONNECT\nreceipt:77\n\n^@", "RECEIPT\nreceipt-id:77\ncontent-length:0\n\n^@^D")
		s := r.session()
		_ = p.nc.Close()
		if err := s.ended(); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("Recv = %v, want ErrClosed", err)
		}
		if err := s.Send(t.Context(), &transport.Message{To: "/temp-queue/a"}); !errors.Is(err, transport.ErrClosed) || !transport.NotSent(err) {
			t.Errorf("Send after it = %v, want ErrClosed, not sent", err)
		}
	})
}

func TestDisconnectWithoutReceipt(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		r := newRig(t, nil, nil)
		p := r.connect(version)
		p.expect("DISCONNECT\n\n^@", "^D")
		start := time.Now()
		<-r.session().over // the client does not close
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("the server waited %v for a client that does not close, want the linger time", d)
		}
	})
}

// TestDisconnectKeepsWhatWasSaid: everything before the DISCONNECT is done and
// confirmed, though it arrives in one piece with it.
func TestDisconnectKeepsWhatWasSaid(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		for range 50 {
			r := newRig(t, nil, echo)
			p := r.connect(version)
			all, ended := frames(t, p.say(`
SEND
destination:rpc
receipt:1
reply-to:/temp-queue/a

hello^@
SEND
destination:rpc
receipt:2

hello^@
DISCONNECT
receipt:3

^@`))
			var ids []string
			for _, f := range all {
				if f.Command == "RECEIPT" {
					ids = append(ids, f.Header.Get("receipt-id"))
				}
			}
			if got := strings.Join(ids, " "); got != "1 2 3" || !ended {
				t.Fatalf("receipts %q, ended %t, want 1 2 3 and the end", got, ended)
			}
			if n := len(r.session().received()); n != 2 {
				t.Fatalf("the application received %d messages, want 2", n)
			}
			_ = p.nc.Close()
		}
	})
}

// TestFramesAfterDisconnect are not looked at ("DISCONNECT": clients must not
// send any more).
func TestFramesAfterDisconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, nil)
		p := r.connect("1.2")
		p.expect("DISCONNECT\nreceipt:1\n\n^@SEND\ndestination:rpc\nreceipt:2\n\n^@", "RECEIPT\nreceipt-id:1\ncontent-length:0\n\n^@^D")
		if n := len(r.session().received()); n != 0 {
			t.Errorf("the application received %d messages, want none", n)
		}
	})
}
