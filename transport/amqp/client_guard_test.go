package amqp_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/polyport/polyport/transport"
)

// subscribed connects a client that has subscribed without acknowledgement.
func subscribed(t *testing.T, o *transport.DialOptions) (transport.Conn, *fake) {
	t.Helper()
	c, f := dialFake(t, o)
	by, _ := transport.As[transport.Subscriber](c)
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		f.attached()
	}()
	if _, err := by.Subscribe(t.Context(), transport.Subscription{}); err != nil {
		t.Fatal(err)
	}
	<-answered
	go func() { _, _ = io.Copy(io.Discard, f.nc) }()
	return c, f
}

// receive receives a message, or says why there is none.
func receive(t *testing.T, c transport.Conn) (*transport.Message, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	return c.Recv(ctx)
}

// TestMessagesThatWouldEndTheProcess: what a broker forwards from somebody else
// may break rules; go-amqp panics at most of these. Such a message is passed
// over or comes through, and the next one comes.
func TestMessagesThatWouldEndTheProcess(t *testing.T) {
	const list, bin = "\xc0\x02\x01\x40", "\xa0\x01x"
	body := data("hello")
	for name, c := range map[string]struct {
		message string
		comes   bool
	}{
		"a list as key in the footer":               {body + section(0x78, dict(list, "\x40")), false},
		"bytes as key in the footer":                {body + section(0x78, dict(bin, "\x40")), false},
		"a map as key in delivery annotations":      {section(0x71, dict(dict(), "\x40")) + body, false},
		"an array as key in message annotations":    {section(0x72, dict("\xe0\x02\x00\x40", "\x40")) + body, false},
		"bytes as key in application properties":    {section(0x74, dict(bin, "\x40")) + body, false},
		"a described key":                           {section(0x78, dict("\x00\x53\x01\x40", "\x40")) + body, false},
		"a map without its last value":              {section(0x78, dict(sym("a"))) + body, false},
		"nested 10,000 deep":                        {section(0x72, strings.Repeat("\x00", 10_000)+"\x40") + body, false},
		"an array of 2^32 elements without width":   {section(0x78, "\xf0\x00\x00\x00\x05\xff\xff\xff\xff\x40") + body, false},
		"a length beyond the end":                   {section(0x75, "\xb0\xff\xff\xff\xff"), false},
		"no body":                                   {section(0x78, dict()), false},
		"nothing":                                   {"", false},
		"a sequence":                                {section(0x76, "\x45"), false},
		"a number as value":                         {section(0x77, "\x52\x01"), false},
		"an unknown section":                        {section(0x79, "\x40") + body, false},
		"annotations with keys of every plain kind": {section(0x72, dict(sym("a"), "\x40", "\x53\x01", "\x40", str("b"), "\x41")) + body, true},
		"a string as value":                         {section(0x77, str("hello")), true},
		"bytes as value":                            {section(0x77, "\xa0\x05hello"), true},
		"several sections of data":                  {data("he") + data("") + data("llo"), true},
	} {
		t.Run(name, func(t *testing.T) {
			conn, f := subscribed(t, nil)
			within(t, "writing", func() {
				f.write(transfer(1, false, c.message))
				f.write(transfer(2, false, data("next")))
			})
			m, err := receive(t, conn)
			if err != nil {
				t.Fatal(err)
			}
			if c.comes {
				if string(m.Body) != "hello" {
					t.Errorf("body = %q, want hello", m.Body)
				}
				if m, err = receive(t, conn); err != nil {
					t.Fatal(err)
				}
			}
			if string(m.Body) != "next" {
				t.Errorf("body of the next message = %q, want next", m.Body)
			}
		})
	}
}

// TestMessageInManyFrames: a message may be cut anywhere.
func TestMessageInManyFrames(t *testing.T) {
	conn, f := subscribed(t, nil)
	whole := composite(0x73, "\x80\x00\x00\x00\x00\x00\x00\x00\x07", "\x40", "\x40", str("subject")) +
		section(0x74, dict(str("n"), "\x71\xff\xff\xff\xff", str("t"), "\x41")) + data("hello")
	within(t, "writing", func() {
		for i := range len(whole) - 1 {
			f.write(transfer(1, true, whole[i:i+1]))
		}
		f.write(transfer(1, false, whole[len(whole)-1:]))
	})
	m, err := receive(t, conn)
	if err != nil {
		t.Fatal(err)
	}
	if string(m.Body) != "hello" || m.ID != transport.NumberID(7) || m.Subject != "subject" || m.Header("n") != "-1" || m.Header("t") != "true" {
		t.Errorf("got %+v", m)
	}
}

// TestFramesThatEndTheConnection: a peer that breaks the rules of the protocol
// itself is given up, and nothing else happens.
func TestFramesThatEndTheConnection(t *testing.T) {
	over := &transport.DialOptions{Options: transport.Options{Limits: transport.Limits{Message: 1000, HeaderBytes: 1000}}}
	const flood = "messages without end, and no credit"
	many := strings.Repeat(transfer(1, false, data("x")), 256*2+1024+100)
	for name, c := range map[string]struct {
		frames string
		want   error
	}{
		"a frame of 4 GiB":                {"\xff\xff\xff\xff\x02\x00\x00\x00", transport.ErrTooLarge},
		"a frame shorter than its header": {"\x00\x00\x00\x04\x02\x00\x00\x00", transport.ErrProtocol},
		"data that begin behind the end":  {"\x00\x00\x00\x10\x09\x00\x00\x0012345678", transport.ErrProtocol},
		"no performative":                 {frame(0, 0, "\x40"), transport.ErrProtocol},
		"credit that is not said":         {frame(0, 0, performative(0x13, "\x43", "\x43", "\x43", "\x43", "\x43", "\x43", "\x40")), transport.ErrProtocol},
		"a disposition of 2^32 messages":  {frame(0, 0, performative(0x15, "\x41", "\x43", "\x70\xff\xff\xff\xff", "\x41")), transport.ErrProtocol},
		"an outcome with a list as key":   {frame(0, 0, performative(0x15, "\x41", "\x43", "\x43", "\x41", composite(0x27, "\x41", "\x41", dict("\xc0\x02\x01\x40", "\x40")))), transport.ErrProtocol},
		"properties nested 10,000 deep":   {frame(0, 0, performative(0x13, "\x43", "\x43", "\x43", "\x43", strings.Repeat("\x00", 10_000)+"\x40")), transport.ErrProtocol},
		flood:                             {many, transport.ErrProtocol},
		"a message over the limit":        {transfer(1, false, data(strings.Repeat("x", 1001))), transport.ErrTooLarge},
		"a message far over the limit":    {strings.Repeat(transfer(1, true, strings.Repeat("x", 1000)), 200) + transfer(1, false, "x"), transport.ErrTooLarge},
		"a transfer by an unknown link":   {strings.Replace(transfer(1, false, data("x")), "\x43\x52", "\x52\x07\x52", 1), nil},
		"an unknown performative":         {frame(0, 0, performative(0x1f)), nil},
		"close with a reason":             {frame(0, 0, performative(0x18, composite(0x1d, sym("amqp:unauthorized-access"), str("go away")))), transport.ErrRefused},
		"the end of the stream":           {"", transport.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			conn, f := subscribed(t, over)
			within(t, "writing", func() {
				if c.frames != "" {
					f.write(c.frames) // what is not read any more is lost
				} else {
					_ = f.nc.Close()
				}
			})
			if name == flood { // nobody receives until it is over
				within(t, "the end", func() {
					by, _ := transport.As[transport.Subscriber](conn)
					ended, cancel := context.WithCancel(t.Context())
					cancel()
					for err := error(nil); !errors.Is(err, c.want); {
						_, err = by.Subscribe(ended, transport.Subscription{})
					}
				})
			}
			for {
				m, err := receive(t, conn)
				if err == nil {
					continue // what came before
				}
				if errors.Is(err, context.DeadlineExceeded) && c.want == nil {
					return // the session alone has ended
				}
				if errors.Is(err, context.DeadlineExceeded) || c.want != nil && !errors.Is(err, c.want) {
					t.Errorf("Recv = %v, %v, want %v", m, err, c.want)
				}
				return
			}
		})
	}
}

// FuzzFrames: whatever a server says, once it has said hello, ends in no panic,
// neither here nor in go-amqp, and Close returns.
func FuzzFrames(f *testing.F) {
	for _, seed := range []string{
		transfer(1, false, data("x")), transfer(1, true, data("x")),
		frame(0, 0, performative(0x13, "\x43", "\x43", "\x43", "\x43", "\x43", "\x43", "\x52\x07", "\x43", "\x41", "\x41")),
		frame(0, 0, performative(0x15, "\x41", "\x43", "\x52\x03", "\x41", composite(0x24))),
		frame(0, 0, performative(0x16, "\x43", "\x41", composite(0x1d, sym("amqp:not-found")))),
		frame(0, 0, performative(0x17)), frame(0, 0, performative(0x18)), "\x00\x00\x00\x08\x02\x00\x00\x00",
		frame(0, 0, performative(0x12, str("x"), "\x43", "\x41")), frame(0, 0, performative(0x11, "\x60\x00\x00", "\x43", "\x43", "\x43")),
	} {
		f.Add([]byte(seed), []byte(data("hello")))
	}
	f.Fuzz(func(t *testing.T, frames, message []byte) {
		conn, peer := subscribed(t, &transport.DialOptions{Options: transport.Options{Linger: time.Millisecond}})
		got := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer close(got)
			for {
				if _, err := conn.Recv(ctx); err != nil {
					return
				}
			}
		}()
		if len(frames) > 0 {
			peer.write(string(frames))
		}
		peer.write(transfer(9, false, string(message)))
		within(t, "Close", func() { _ = conn.Close() })
		cancel()
		<-got
	})
}
