package amqp_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp"
)

// fake is a server of which each frame is said by the test.
type fake struct {
	t  *testing.T
	nc net.Conn
}

// names of performatives.
var names = map[byte]string{
	0x10: "open", 0x11: "begin", 0x12: "attach", 0x13: "flow", 0x14: "transfer", 0x15: "disposition",
	0x16: "detach", 0x17: "end", 0x18: "close", 0x41: "sasl-init",
}

// dialFake connects a client to a fake, which then has said "open".
func dialFake(t *testing.T, o *transport.DialOptions) (transport.Conn, *fake) {
	t.Helper()
	here, there := net.Pipe()
	f := &fake{t: t, nc: there}
	shaken := make(chan error, 1)
	go func() { shaken <- f.shake() }()
	u, _ := url.Parse("amqp://host/calc")
	c, err := amqp.Transport{}.Client(t.Context(), here, u, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = there.Close()
		_ = c.Close()
	})
	return c, f
}

const (
	saslHeader = "AMQP\x03\x01\x00\x00"
	amqpHeader = "AMQP\x00\x01\x00\x00"
)

func (f *fake) shake() error {
	b := make([]byte, 8)
	if _, err := io.ReadFull(f.nc, b); err != nil {
		return err
	}
	f.write(saslHeader)
	f.write(frame(1, 0, performative(0x40, sym("ANONYMOUS"))))
	f.expect("sasl-init")
	f.write(frame(1, 0, performative(0x44, "\x50\x00")))
	if _, err := io.ReadFull(f.nc, b); err != nil {
		return err
	}
	f.write(amqpHeader)
	f.expect("open")
	f.write(frame(0, 0, performative(0x10, str("fake"))))
	return nil
}

func (f *fake) write(s string) { _, _ = io.WriteString(f.nc, s) }

// read reads a frame, or returns "" at the end.
func (f *fake) read() (name string, body []byte) {
	head := make([]byte, 8)
	for {
		if _, err := io.ReadFull(f.nc, head); err != nil {
			return "", nil
		}
		body = make([]byte, binary.BigEndian.Uint32(head)-8)
		if _, err := io.ReadFull(f.nc, body); err != nil {
			return "", nil
		}
		if len(body) > 2 {
			return names[body[2]], body
		}
	}
}

func (f *fake) expect(name string) []byte {
	got, body := f.read()
	if got != name {
		f.t.Errorf("the client said %q, want %q", got, name)
	}
	return body
}

// attached answers begin and attach of a receiving link, and waits for its
// credit.
func (f *fake) attached() {
	f.expect("begin")
	f.write(frame(0, 0, performative(0x11, "\x60\x00\x00", "\x43", "\x70\x00\x00\xff\xff", "\x70\x00\x00\xff\xff")))
	body := f.expect("attach")
	at := bytes.IndexByte(body, 0xa1)
	name := body[at+2:][:body[at+1]]
	source := composite(0x28, str("calc"))
	target := composite(0x29, str(""))
	// Sent settled, by our role of a sender.
	f.write(frame(0, 0, performative(0x12, str(string(name)), "\x43", "\x42", "\x50\x01", "\x50\x00", source, target, "\x40", "\x40", "\x43")))
	f.expect("flow")
}

// transfer is a frame that moves part of a message.
func transfer(id byte, more bool, payload string) string {
	fields := []string{"\x43", "\x52" + string([]byte{id}), "\xa0\x01" + string([]byte{id}), "\x43", "\x41", "\x42"}
	if more {
		fields[5] = "\x41"
	}
	return frame(0, 0, performative(0x14, fields...)+payload)
}

func frame(kind byte, channel uint16, body string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	return string(binary.BigEndian.AppendUint16(append(b, 2, kind), channel)) + body
}

func performative(code byte, fields ...string) string { return composite(code, fields...) }

func composite(code byte, fields ...string) string {
	content := strings.Join(fields, "")
	b := append([]byte{0, 0x53, code, 0xd0}, binary.BigEndian.AppendUint32(nil, uint32(4+len(content)))...)
	return string(binary.BigEndian.AppendUint32(b, uint32(len(fields)))) + content
}

// section is one whose value is not a list.
func section(code byte, value string) string { return "\x00\x53" + string([]byte{code}) + value }

func str(s string) string { return "\xa1" + string([]byte{byte(len(s))}) + s }
func sym(s string) string { return "\xa3" + string([]byte{byte(len(s))}) + s }

// dict is a map of the elements.
func dict(elements ...string) string {
	content := strings.Join(elements, "")
	return "\xc1" + string([]byte{byte(1 + len(content)), byte(len(elements))}) + content
}

// data is a body of these bytes.
func data(s string) string {
	return section(0x75, "\xb0"+string(binary.BigEndian.AppendUint32(nil, uint32(len(s))))+s)
}

// within fails the test if f takes long.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s takes over 10 s", what)
	}
}
