package zmq

import "encoding/binary"

// An envelope is the frames that devices between two sockets put before a
// message, so that its answer finds its way back: an answer begins with the
// envelope of its question ("Request-reply pattern",
// https://rfc.zeromq.org/spec/28). In a message it is the ReplyTo, in the bytes
// of the wire after a prefix by which nothing else begins.
const envelopePrefix = "\x00zmq:"

// delimiter is the envelope of an asker with no device in between who goes by
// the rules of REQ: one empty frame.
const delimiter = envelopePrefix + "\x01\x00"

// envelopeOf returns the ReplyTo for a message that came after the given frames.
func envelopeOf(parts []byte, ends []int) string {
	if len(ends) == 0 {
		return ""
	}
	if len(parts) == 0 && len(ends) == 1 {
		return delimiter
	}
	wire := make([]byte, 0, len(envelopePrefix)+len(parts)+longestHead*len(ends))
	wire = append(wire, envelopePrefix...)
	at := 0
	for _, end := range ends {
		wire = appendFrame(wire, hasMore, parts[at:end])
		at = end
	}
	return string(wire)
}

// cutEnvelope returns the frames that an answer to the destination to begins
// with, and whether to stands for any.
func cutEnvelope(to string) (frames string, ok bool) {
	if len(to) < len(envelopePrefix) || to[:len(envelopePrefix)] != envelopePrefix {
		return "", false
	}
	return to[len(envelopePrefix):], true
}

// isEnvelope reports whether frames are some, each with more to follow: where
// a program has made up an envelope, what it made must not break the wire.
func isEnvelope(frames string) bool {
	for len(frames) > 0 {
		var n int
		switch {
		case frames[0] == hasMore && len(frames) > 1:
			n = 2 + int(frames[1])
		case frames[0] == hasMore|isLong && len(frames) >= longestHead:
			size := binary.BigEndian.Uint64([]byte(frames[1:longestHead]))
			if size > uint64(len(frames)) {
				return false
			}
			n = longestHead + int(size)
		default:
			return false
		}
		if len(frames) < n {
			return false
		}
		frames = frames[n:]
	}
	return true
}
