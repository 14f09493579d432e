package xmlrpc

import (
	"errors"
	"strconv"
)

// A Question is a request of JSON-RPC, or a batch, as a methodCall.
type Question struct {
	// Document is the methodCall.
	Document []byte

	limits Limits
	batch  bool
	ids    [][]byte // of the requests, as they were written; nil for a notification
}

// NewQuestion translates a message. An error is an [*Error]; the message is one
// that XML-RPC cannot say.
func NewQuestion(message []byte, l Limits) (*Question, error) {
	q := &Question{limits: l.withDefaults(), batch: isKind(message, '[')}
	doc := append(make([]byte, 0, 256+2*len(message)), declared+"<methodCall><methodName>"...)
	var err error
	if q.batch {
		doc, err = q.appendBatch(doc, message)
	} else {
		doc, err = q.appendCall(doc, message)
	}
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok {
			return nil, e
		}
		return nil, errorf(CodeInvalid, "no message of JSON-RPC: %v", err)
	}
	q.Document = append(doc, "</methodCall>\n"...)
	return q, nil
}

// A request is one of JSON-RPC. Members that XML-RPC has no place for, such as
// metadata, are left out.
type request struct{ id, method, params []byte }

func (q *Question) readRequest(message []byte) (r request, err error) {
	var method []byte
	if err := members(message, func(name string, value []byte) error {
		switch name {
		case "id":
			r.id = value
		case "method":
			method = unquote(value)
		case "params":
			r.params = value
		}
		return nil
	}); err != nil {
		return r, err
	}
	switch {
	case method == nil:
		return r, errorf(CodeInvalid, "only requests can be sent by XML-RPC, and this has no method")
	case r.params != nil && !isKind(r.params, '[') && !isKind(r.params, '{'):
		return r, errorf(CodeInvalid, "params are an array or an object, not %.40s", r.params)
	case isKind(r.id, '[') || isKind(r.id, '{') || isKind(r.id, 't') || isKind(r.id, 'f'):
		return r, errorf(CodeInvalid, "an id is a string, a number or null, not %.40s", r.id)
	}
	name, rest := appendText(nil, method)
	if len(rest) > 0 || len(name) == 0 {
		return r, errorf(CodeInvalid, "%.40q cannot be a method's name in XML-RPC", method)
	}
	r.method = name
	q.ids = append(q.ids, append([]byte(nil), r.id...))
	return r, nil
}

func (q *Question) appendCall(doc, message []byte) ([]byte, error) {
	r, err := q.readRequest(message)
	if err != nil {
		return doc, err
	}
	doc = append(append(doc, r.method...), "</methodName><params>"...)
	if err := r.each(func(v []byte) error {
		doc, err = appendValue(append(doc, "<param>"...), v, q.limits)
		doc = append(doc, "</param>"...)
		return err
	}); err != nil {
		return doc, err
	}
	return append(doc, "</params>"...), nil
}

// each calls f for each of the params. Params by name are one param, a struct.
func (r *request) each(f func(v []byte) error) error {
	switch {
	case r.params == nil:
		return nil
	case isKind(r.params, '['):
		return elements(r.params, f)
	}
	return f(r.params)
}

func (q *Question) appendBatch(doc, message []byte) ([]byte, error) {
	doc = append(doc, multicall+"</methodName><params><param><value><array><data>"...)
	if err := elements(message, func(one []byte) error {
		r, err := q.readRequest(one)
		if err != nil {
			return err
		}
		doc = append(append(append(doc, "<value><struct><member><name>methodName</name><value><string>"...), r.method...),
			"</string></value></member><member><name>params</name><value><array><data>"...)
		if err := r.each(func(v []byte) error {
			doc, err = appendValue(doc, v, q.limits)
			return err
		}); err != nil {
			return err
		}
		doc = append(doc, "</data></array></value></member></struct></value>"...)
		return nil
	}); err != nil {
		return doc, err
	}
	if len(q.ids) == 0 {
		return doc, errorf(CodeInvalid, "a batch has one request at least")
	}
	return append(doc, "</data></array></value></param></params>"...), nil
}

// Answer translates the methodResponse. It is empty if nothing in the question
// wants an answer; then nobody looks at doc. charset is as for [ReadCall], and an
// error an [*Error]: doc is no answer to the question.
func (q *Question) Answer(doc []byte, charset string) ([]byte, error) {
	if !q.asks() {
		return nil, nil
	}
	s, err := newScanner(doc, charset, q.limits)
	if err != nil {
		return nil, err
	}
	value, fault, err := s.response(room(doc))
	switch {
	case err != nil:
		return nil, err
	case q.batch:
		return q.answerMany(value, fault)
	case fault:
		return appendError(nil, value, q.ids[0])
	}
	return appendResult(make([]byte, 0, len(value)+64), value, q.ids[0]), nil
}

func (q *Question) asks() bool {
	for _, id := range q.ids {
		if len(id) > 0 {
			return true
		}
	}
	return false
}

// response appends the value of a methodResponse, and says whether it is that of a
// fault. Methods without a result may answer without a param.
func (s *scanner) response(dst []byte) (_ []byte, fault bool, err error) {
	if err := s.opens("methodResponse"); err != nil {
		return dst, false, err
	}
	if err := s.tag(); err != nil {
		return dst, false, err
	}
	switch {
	case s.open && s.name == "fault" && s.blank():
		if err := s.opens("value"); err != nil {
			return dst, true, err
		}
		if dst, err = s.value(dst, 1); err != nil {
			return dst, true, err
		}
		fault, err = true, s.closes("fault")
	default:
		dst, err = s.result(dst)
	}
	if err != nil {
		return dst, fault, err
	}
	if err := s.closes("methodResponse"); err != nil {
		return dst, fault, err
	}
	return dst, fault, s.ends()
}

// result appends the value of <params>, which is the last tag; null if there is
// none.
func (s *scanner) result(dst []byte) ([]byte, error) {
	if err := s.is(true, "params"); err != nil {
		return dst, err
	}
	if err := s.tag(); err != nil {
		return dst, err
	}
	if !s.open {
		return append(dst, "null"...), s.is(false, "params")
	}
	dst, err := s.param(dst)
	if err != nil {
		return dst, err
	}
	return dst, s.closes("params")
}

// answerMany gives the answers in an array, or the one fault, to the requests of a
// batch.
func (q *Question) answerMany(value []byte, fault bool) ([]byte, error) {
	out := []byte{'['}
	n := 0
	answer := func(one []byte) (err error) {
		if n == len(q.ids) {
			return errMultiAnswer
		}
		id := q.ids[n]
		if n++; len(id) == 0 {
			return nil
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		if isKind(one, '{') {
			out, err = appendError(out, one, id)
			return err
		}
		if isKind(one, '[') {
			one, err = only(one)
			out = appendResult(out, one, id)
			return err
		}
		return errMultiAnswer
	}
	var err error
	if fault {
		for range q.ids {
			err = errors.Join(err, answer(value))
		}
	} else {
		err = elements(value, answer)
	}
	if err != nil || n < len(q.ids) {
		return nil, errMultiAnswer
	}
	return append(out, ']'), nil
}

// only returns the one element of an array.
func only(array []byte) (value []byte, err error) {
	if err := elements(array, func(v []byte) error {
		if value != nil {
			return errMultiAnswer
		}
		value = v
		return nil
	}); err != nil {
		return nil, err
	}
	if value == nil {
		return nil, errMultiAnswer
	}
	return value, nil
}

var errMultiAnswer = errorf(CodeInvalid, "system.multicall is answered by an array of arrays of one result, and faults, one for each call")

func appendResult(dst, value, id []byte) []byte {
	dst = append(append(dst, `{"jsonrpc":"2.0","result":`...), value...)
	return append(append(append(dst, `,"id":`...), id...), '}')
}

// appendError appends the answer for a fault.
func appendError(dst, fault, id []byte) ([]byte, error) {
	code, text := int64(codeOther), []byte(`""`)
	if err := members(fault, func(name string, value []byte) error {
		switch name {
		case "faultCode":
			if n, err := strconv.ParseInt(string(value), 10, 64); err == nil {
				code = n
			}
		case "faultString":
			if isKind(value, '"') {
				text = value
			}
		}
		return nil
	}); err != nil {
		return dst, errorf(CodeInvalid, "a fault is a struct of faultCode and faultString: %v", err)
	}
	dst = strconv.AppendInt(append(dst, `{"jsonrpc":"2.0","error":{"code":`...), code, 10)
	dst = append(append(dst, `,"message":`...), text...)
	return append(append(append(dst, `},"id":`...), id...), '}'), nil
}
