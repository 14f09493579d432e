package http

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/polyport/polyport/transport"
)

// errNotText says that the payload of a text is not UTF-8 (RFC 6455, section 8.1).
var errNotText = transport.WithReason(transport.ErrProtocol, "a text is not UTF-8")

// codeFor returns the code that tells a peer why the connection ends because of
// err (section 7.4.1). ok is false if the peer is not to blame: it is told nothing.
func codeFor(err error) (code websocket.StatusCode, ok bool) {
	switch {
	case errors.Is(err, errNotText):
		return websocket.StatusInvalidFramePayloadData, true
	case errors.Is(err, transport.ErrTooLarge):
		return websocket.StatusMessageTooBig, true
	case errors.Is(err, transport.ErrNoRoute):
		return websocket.StatusPolicyViolation, true
	case errors.Is(err, transport.ErrProtocol):
		return websocket.StatusProtocolError, true
	}
	return 0, false
}

// appendClose appends a Close frame. Of the reason it takes what there is room for.
func appendClose(dst []byte, code websocket.StatusCode, reason string, key *[4]byte) []byte {
	var payload [longestControl]byte
	binary.BigEndian.PutUint16(payload[:], uint16(code))
	n := copy(payload[2:], reason)
	for n < len(reason) && n > 0 && !utf8.RuneStart(reason[n]) {
		n--
	}
	return appendFrame(dst, opClose, payload[:2+n], key)
}

// parseClose returns what the payload of a Close frame says. Without one the code
// is that of "no status received", which no frame may carry.
func parseClose(payload []byte) (code websocket.StatusCode, reason string, err error) {
	if len(payload) == 0 {
		return websocket.StatusNoStatusRcvd, "", nil
	}
	if len(payload) == 1 {
		return 0, "", malformed("a Close frame with half a code")
	}
	code = websocket.StatusCode(binary.BigEndian.Uint16(payload))
	switch {
	case !sendable(code):
		return 0, "", malformed("a Close frame with the code %d, which has no meaning there", code)
	case !utf8.Valid(payload[2:]):
		return 0, "", errNotText
	}
	return code, string(payload[2:]), nil
}

// sendable reports whether a Close frame may have this code (section 7.4.2).
func sendable(code websocket.StatusCode) bool {
	switch code {
	case 1004, websocket.StatusNoStatusRcvd, websocket.StatusAbnormalClosure, websocket.StatusTLSHandshake:
		return false
	}
	return code >= 1000 && code <= 1014 || code >= 3000 && code <= 4999
}

// farewell makes an error of the peer's Close frame.
func farewell(code websocket.StatusCode, reason string) error {
	kind, text := transport.ErrClosed, "the peer closed the connection"
	switch code {
	case websocket.StatusNormalClosure, websocket.StatusNoStatusRcvd:
		if reason == "" {
			return transport.WithReason(kind, text)
		}
	case websocket.StatusProtocolError, websocket.StatusUnsupportedData, websocket.StatusInvalidFramePayloadData,
		websocket.StatusPolicyViolation, websocket.StatusMessageTooBig, websocket.StatusMandatoryExtension:
		kind, text = transport.ErrRefused, "the peer did not take what it was sent, and closed the connection"
	}
	text = fmt.Sprintf("%s with code %d", text, code)
	if reason != "" {
		text += fmt.Sprintf(": %q", reason)
	}
	return transport.WithReason(kind, text)
}
