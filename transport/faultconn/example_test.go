package faultconn_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/polyport/polyport/transport/faultconn"
	"github.com/polyport/polyport/transport/mem"
)

// A peer that dies in the middle of a message.
func ExampleWrap() {
	near, far := mem.Pipe()
	c := faultconn.Wrap(near, &faultconn.Schedule{Rules: []faultconn.Rule{
		{Dir: faultconn.Write, Unit: faultconn.Byte, At: 5, Kind: faultconn.Cut},
	}})
	defer c.Close()

	n, err := io.WriteString(c, "hello, world")
	fmt.Println(n, errors.Is(err, syscall.EPIPE))

	got, err := io.ReadAll(far)
	fmt.Printf("%q %v\n", got, err)
	fmt.Println(c.Fired())
	// Output:
	// 5 true
	// "hello" <nil>
	// map[cut:1]
}

// Try many schedules and print the one that broke something.
func ExampleRandom() {
	send := func(nc net.Conn) error { // the code under test
		_, err := io.WriteString(nc, "a message of no great length")
		return err
	}
	for seed := range uint64(1000) {
		near, far := mem.Pipe()
		s := faultconn.Random(seed, faultconn.Reset, faultconn.Latency)
		c := faultconn.Wrap(near, s)
		err := send(c)
		c.Close()
		far.Close()
		if err != nil {
			fmt.Println(err)
			fmt.Println(s)
			break
		}
	}
	// Output:
	// write mem pipe:a->pipe:b: write: connection reset by peer (injected)
	// seed 6; write byte 25 reset; write byte 807+593 latency 148ms
}

// Have a fault again from its text.
func ExampleParse() {
	s, err := faultconn.Parse("seed 1; write byte 1 bitflip 5; read op 0 slice")
	if err != nil {
		fmt.Println(err)
		return
	}
	near, far := mem.Pipe()
	c := faultconn.Wrap(near, s)
	defer c.Close()
	io.WriteString(c, "abc")
	c.CloseWrite()
	got, _ := io.ReadAll(far)
	fmt.Printf("%s\n", got)

	_, err = faultconn.Parse("write byte 1 explode")
	fmt.Println(err)
	// Output:
	// aBc
	// faultconn: bad schedule: "write byte 1 explode": unknown kind "explode"
}

func ExampleSchedule_Validate() {
	s := &faultconn.Schedule{Rules: []faultconn.Rule{
		{Dir: faultconn.Read, Unit: faultconn.Op, Kind: faultconn.Cut, For: 3},
	}}
	fmt.Println(s.Validate())
	// Output: faultconn: bad schedule: rule 1: cut happens once, it cannot last
}

func ExampleKinds() {
	for _, k := range faultconn.Kinds() {
		fmt.Print(k, " ")
	}
	// Output: latency jitter bandwidth slice coalesce cut reset halfclose blackhole stall bitflip
}
