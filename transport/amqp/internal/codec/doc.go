// Package codec reads and writes the type system of AMQP 1.0 (part 1 of the
// specification): every primitive type in every encoding, lists, maps, arrays
// and described types.
//
// # Reading
//
// A [Decoder] goes over bytes that are in memory already and hands out views of
// them. It builds nothing: a list or map is a [Value] whose elements are read by
// one more Decoder, and what nobody asks for is walked over. So the memory that
// reading takes is none, whatever lengths and counts a peer names.
//
// Errors stick: after the first one every read returns zeros, and Err says what
// was wrong. A reader of ten fields has one place to look at.
//
//	d := codec.NewDecoder(b)
//	fields := d.Composite(0x14)
//	handle, ok := fields.Uint()
//	settled, _ := fields.Bool()
//	if err := fields.Err(); err != nil { … }
//
// # Bounds
//
// A count is checked against the bytes that are left before anything is done
// with it: each element of a list or map takes one byte at least. Elements of
// an array may take none, and then there are no more than 256. Values nest no
// deeper than 32.
//
// # Writing
//
// Append functions choose the shortest encoding. A list is written between
// [BeginList] and [EndList], which fills in its size.
package codec
