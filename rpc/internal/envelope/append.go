package envelope

import "strconv"

// open begins every message that is written.
const open = `{"jsonrpc":"2.0"`

// AppendRequest appends a request with a number for its id. Params is one raw
// JSON value, which is not checked, or nil for none.
func AppendRequest(dst []byte, id uint64, method string, params []byte) []byte {
	dst = append(dst, open+`,"id":`...)
	dst = strconv.AppendUint(dst, id, 10)
	return appendCall(dst, method, params)
}

// AppendNotification appends a notification. Params is as in [AppendRequest].
func AppendNotification(dst []byte, method string, params []byte) []byte {
	return appendCall(append(dst, open...), method, params)
}

func appendCall(dst []byte, method string, params []byte) []byte {
	dst = append(dst, `,"method":`...)
	dst = AppendString(dst, method)
	if params != nil {
		dst = append(dst, `,"params":`...)
		dst = append(dst, params...)
	}
	return AppendTail(dst)
}

// AppendRequestOpen appends a request without params up to its method: what
// may follow is [AppendMetadata], and what must is [AppendTail]. The id is a
// raw token, which is not checked; if it is nil the message has no id, which
// makes it a notification.
func AppendRequestOpen(dst, id []byte, method string) []byte {
	dst = append(dst, open...)
	if id != nil {
		dst = append(dst, `,"id":`...)
		dst = append(dst, id...)
	}
	dst = append(dst, `,"method":`...)
	return AppendString(dst, method)
}

// AppendRequestHead appends a request up to its params: the caller appends
// their raw value, then [AppendMetadata] if there is any, then [AppendTail].
// The id is as in [AppendRequestOpen].
func AppendRequestHead(dst, id []byte, method string) []byte {
	return append(AppendRequestOpen(dst, id, method), `,"params":`...)
}

// AppendResult appends the response to the call with that id, which is a raw
// token; nil means null. Result is one raw JSON value; nil means null. Neither
// is checked.
func AppendResult(dst, id, result []byte) []byte {
	dst = AppendResultHead(dst, id)
	return AppendTail(appendRaw(dst, result))
}

// AppendResultHead appends a response up to its result: the caller appends its
// raw value, then [AppendMetadata] if there is any, then [AppendTail]. The id
// is as in [AppendResult].
func AppendResultHead(dst, id []byte) []byte {
	dst = append(dst, open+`,"id":`...)
	dst = appendRaw(dst, id)
	return append(dst, `,"result":`...)
}

// AppendError appends the response that reports a failure of the call with
// that id, which is as in [AppendResult]. Data is one raw JSON value, which is
// not checked, or nil for none.
func AppendError(dst, id []byte, code int, message string, data []byte) []byte {
	dst = append(dst, open+`,"id":`...)
	dst = appendRaw(dst, id)
	dst = append(dst, `,"error":{"code":`...)
	dst = strconv.AppendInt(dst, int64(code), 10)
	dst = append(dst, `,"message":`...)
	dst = AppendString(dst, message)
	if data != nil {
		dst = append(dst, `,"data":`...)
		dst = append(dst, data...)
	}
	return append(dst, "}}"...)
}

// AppendErrorHead appends a response up to its error: the caller appends the raw
// error object, then [AppendTail]. The id is as in [AppendResult].
func AppendErrorHead(dst, id []byte) []byte {
	dst = append(dst, open+`,"id":`...)
	dst = appendRaw(dst, id)
	return append(dst, `,"error":`...)
}

// AppendMetadata appends the member metadata to a message whose tail is still
// missing. Metadata is one raw JSON object, which is not checked; nil appends
// nothing.
func AppendMetadata(dst, metadata []byte) []byte {
	if metadata == nil {
		return dst
	}
	dst = append(dst, `,"metadata":`...)
	return append(dst, metadata...)
}

// AppendTail ends a message that was begun with [AppendRequestOpen],
// [AppendRequestHead] or [AppendResultHead].
func AppendTail(dst []byte) []byte { return append(dst, '}') }

func appendRaw(dst, raw []byte) []byte {
	if raw == nil {
		return append(dst, "null"...)
	}
	return append(dst, raw...)
}
