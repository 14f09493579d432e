package hostile

import (
	"encoding/binary"
	"slices"
	"strings"
)

// Mem returns openings of the wire of package mem.
func Mem() [][]byte {
	hello, sub := memHello(""), memHello("sub")
	all := [][]byte{
		hello[:1], hello[:len(hello)-1], // and no more
		{1, 0xff, 0xff, 0xff, 0, 0, 0, 0},                                  // a head of 16 MiB
		{1, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0},                            // a hello with a body of 4 GiB
		memFrame(1, memText("polyport/mem"), strings.Repeat("\xff", 3000)), // numbers without end
	}
	for _, then := range [][]byte{
		{4, 0, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff},                            // a body of 2 GiB
		{4, 0xff, 0xff, 0xff, 0, 0, 0, 0},                                     // a head of 16 MiB
		{4, 0, 0, 1, 0, 0x10, 0, 0, 0},                                        // a body of 1 MiB that does not come
		memFrame(4, memNumber(1<<12), memNumber(1<<40)),                       // a tera of headers
		memFrame(4, memNumber(1<<4), memNumber(1<<62), "x"),                   // a text longer than anything
		memFrame(5, memText("s"), memText("d"), "\x02\x00", memNumber(1<<63)), // as headers, of a subscription
		memFrame(7, memNumber(1<<63), "\x00\x00"),                             // a settlement of what was not sent
		memFrame(8, memText("s"), memNumber(1<<63)),                           // a grant without end
	} {
		all = append(all, append(slices.Clip(hello), then...), append(slices.Clip(sub), then...))
	}
	return all
}

// memHello is the first frame of a client: the magic words, the oldest and the
// newest version, software, user, password and virtual host, beats, limits and the
// socket that it wants, if any.
func memHello(socket string) []byte {
	head := []string{memText("polyport/mem"), memNumber(1), memNumber(1)}
	for _, text := range []string{"test", "", "", ""} {
		head = append(head, memText(text))
	}
	head = append(head, memNumber(0))
	for _, limit := range []uint64{4 << 20, 64 << 10, 128, 1024} {
		head = append(head, memNumber(limit))
	}
	return memFrame(1, append(head, memText(socket))...)
}

// memFrame is a frame without a body: its kind, the lengths of head and body,
// and the head.
func memFrame(kind byte, head ...string) []byte {
	text := strings.Join(head, "")
	b := binary.BigEndian.AppendUint32(nil, uint32(kind)<<24|uint32(len(text)))
	return append(append(b, 0, 0, 0, 0), text...)
}

func memText(s string) string   { return memNumber(uint64(len(s))) + s }
func memNumber(n uint64) string { return string(binary.AppendUvarint(nil, n)) }
