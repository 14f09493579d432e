package hostile

import (
	"encoding/binary"
	"strings"
)

const (
	amqpHeader = "AMQP\x00\x01\x00\x00"
	saslHeader = "AMQP\x03\x01\x00\x00"
)

// AMQP returns openings of AMQP 1.0.
func AMQP() [][]byte {
	const null, zero, no = "\x40", "\x43", "\x42"
	open := amqpHeader + amqpSays(0x10, amqpText("hostile"))
	begin := open + amqpSays(0x11, null, zero, "\x70\x00\x00\xff\xff", "\x70\x00\x00\xff\xff")
	sender := amqpList(0x28)
	sends := begin + amqpAttach("out", "\x42", sender, amqpList(0x29, amqpText("rpc")))
	receives := begin + amqpAttach("in", "\x41", amqpList(0x28, amqpText("here")), amqpList(0x29))
	openings := []string{
		"AMQP", "AMQP\x00\x00\x09\x01", "AMQP\x01\x01\x00\x00", saslHeader, amqpHeader, // and no more
		saslHeader + "\xff\xff\xff\xff\x02\x01\x00\x00",
		saslHeader + amqpFrame(1, amqpList(0x41, "\xa3\x05PLAIN", "\xa0\x02ab")),
		saslHeader + amqpFrame(1, amqpList(0x41, "\xa3\x08EXTERNAL")),
		saslHeader + amqpFrame(1, amqpList(0x41, "\xa3\x04NONE")),
		saslHeader + amqpFrame(0, amqpList(0x41, "\xa3\x09ANONYMOUS")),
		saslHeader + amqpFrame(1, amqpList(0x41, "\xa3\x09ANONYMOUS")) + saslHeader,
		amqpHeader + amqpSays(0x11),
		amqpHeader + amqpSays(0x10, amqpText("x"), null, "\x52\x08"), // frames of 8 bytes
		amqpHeader + amqpSays(0x10, amqpText("x"), null, null, null, "\x52\x01"),
		amqpHeader + amqpFrame(0, strings.Repeat("\x00", 10_000)),
		open + amqpSays(0x10, amqpText("again")),
		open + "\xff\xff\xff\xff\x02\x00\x00\x00",
		open + "\x00\x10\x00\x00\x02\x00\x00\x00", // a frame of 1 MiB that never comes
		open + "\x00\x00\x00\x04\x02\x00\x00\x00",
		open + "\x00\x00\x00\x10\x09\x00\x00\x0012345678",
		open + "\x00\x00\x00\x10\x00\x00\x00\x0012345678",
		open + amqpFrame(1, amqpList(0x41)),
		open + amqpFrame(0, "\x40"),
		open + amqpFrame(0, "\x00\x53\x11\xd0\xff\xff\xff\xff\xff\xff\xff\xff"),
		open + amqpFrame(0, "\x00\x53\x11\xc0\x01\xff"),
		open + amqpSays(0x7f),
		open + amqpSays(0x13, zero, zero, zero, zero),
		open + amqpSays(0x14, zero, zero),
		open + strings.Repeat(amqpSays(0x11, null, zero, zero, zero), 2),
		open + "\x00\x00\x00\x17\x02\x00\xff\xff\x00\x53\x11\xc0\x0a\x04\x40\x43\x43\x43",
		begin + amqpSays(0x12),
		begin + amqpSays(0x12, amqpText(strings.Repeat("x", 200)), "\x70\xff\xff\xff\xff", no),
		begin + amqpSays(0x17, "\x00\x53\x1d\x45"),
		begin + amqpSays(0x15, "\x41", zero, "\x70\xff\xff\xff\xff", "\x41"),
		begin + amqpSays(0x15, "\x41", "\x52\x09", "\x43"),
		sends + amqpSays(0x14),
		receives + amqpSays(0x18, amqpList(0x1d, "\xa3\x01x", amqpText(strings.Repeat("x", 200)))) + "more",
	}
	// What a link or a session suffers for is no end of the connection; the second
	// open then is.
	for _, opening := range []string{
		amqpHeader + amqpSays(0x10, amqpText("\xff\xfe")),
		begin + amqpAttach("out", "\x42", sender, amqpList(0x29, amqpText("nowhere"))),
		begin + amqpAttach("out", "\x42", sender, amqpList(0x30)),
		begin + amqpAttach("in", "\x41", amqpList(0x28, amqpText("here"), "\x50\x63"), null),
		begin + amqpSays(0x16, zero, "\x41"),
		begin + amqpSays(0x13, "\x70\xff\xff\xff\xff", "\x70\xff\xff\xff\xff", zero, zero, "\x52\x07", zero, "\x52\x01"),
		sends + amqpAttach("out", "\x42", sender, amqpList(0x29, amqpText("rpc"))),
		sends + amqpSays(0x14, zero),
		sends + amqpMoves("\x42", ""),
		sends + amqpMoves("\x42", "\x00\x53\x75\xb0\xff\xff\xff\xff"),
		sends + amqpMoves("\x42", "\x00\x53\x75\xa0\x01x") + amqpMoves("\x42", "the same again"),
		sends + amqpMoves("\x42", "\x00\x53\x77"+amqpText("x")+"\x00\x53\x75\xa0\x01x"),
		sends + amqpMoves("\x42", "\x00\x53\x78\xc1\x04\x02\xc0\x01\x00\x40\x00\x53\x75\xa0\x01x"), // a list as key
		sends + amqpMoves("\x42", "\x00\x53\x72\xf0\x00\x00\x00\x05\xff\xff\xff\xff\x40\x00\x53\x75\xa0\x01x"),
		sends + amqpMoves("\x42", "\x00\x53\x72"+strings.Repeat("\x00", 10_000)),
		sends + amqpMoves("\x42", amqpList(0x73, null, null, null, null, amqpText("nowhere"))+"\x00\x53\x75\xa0\x01x"),
		sends + amqpMoves("\x41", "half a message"),
		sends + strings.Repeat(amqpMoves("\x41", strings.Repeat("x", 10_000)), 10),
		receives + amqpMoves("\x42", "\x00\x53\x75\xa0\x01x"), // it does not send
		receives + amqpSays(0x13, zero, zero, zero, zero, zero, "\x70\xff\xff\xff\xff", "\x70\xff\xff\xff\xff", null, "\x41", "\x41"),
		receives + strings.Repeat(amqpSays(0x13, zero, zero, zero, zero, zero, zero, zero, null, no, "\x41"), 1<<12), // each wants an echo
	} {
		openings = append(openings, opening+amqpSays(0x10, amqpText("again")))
	}
	var all [][]byte
	for _, opening := range openings {
		all = append(all, []byte(opening))
	}
	return all
}

// amqpSays is a frame on channel 0 with a performative.
func amqpSays(code byte, fields ...string) string { return amqpFrame(0, amqpList(code, fields...)) }

// amqpAttach attaches a link by the handle 0.
func amqpAttach(name, role, source, target string) string {
	return amqpSays(0x12, amqpText(name), "\x43", role, "\x50\x02", "\x50\x00", source, target, "\x40", "\x40", "\x43")
}

// amqpMoves is a transfer of delivery 0 by the handle 0.
func amqpMoves(more, payload string) string {
	return amqpFrame(0, amqpList(0x14, "\x43", "\x43", "\xa0\x01t", "\x43", "\x42", more)+payload)
}

func amqpFrame(kind byte, body string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	return string(append(b, 2, kind, 0, 0)) + body
}

// amqpList is a described list.
func amqpList(code byte, fields ...string) string {
	content := strings.Join(fields, "")
	b := binary.BigEndian.AppendUint32([]byte{0, 0x53, code, 0xd0}, uint32(4+len(content)))
	return string(binary.BigEndian.AppendUint32(b, uint32(len(fields)))) + content
}

// amqpText is a string of up to 255 bytes.
func amqpText(s string) string { return "\xa1" + string([]byte{byte(len(s))}) + s }
