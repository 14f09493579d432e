// Package frames reads and writes the frames of AMQP 1.0: their head (section
// 2.3), the performatives (2.7) with what they hold of terminuses, errors and
// outcomes (3.4, 3.5, 2.8), and the frames of SASL (5.3).
//
// A performative is read straight from the bytes of its frame into a struct,
// with package codec, and its byte slices are views of them: who keeps one
// copies it. Writing appends to a buffer. What a server has no use for, such as
// filters, is walked over, so that a malformed one is found, and not kept.
package frames
