package xmlrpc

import (
	"bytes"
	"errors"
	"strconv"
)

// The methods of XML-RPC that have their like in JSON-RPC.
const (
	multicall   = "system.multicall"
	listMethods = "system.listMethods"
	discover    = "rpc.discover"
)

// tagParams is the only member of the only param, a struct, if that holds params by
// name.
const tagParams = "$params"

// A Call is a methodCall as a message of JSON-RPC.
type Call struct {
	// Message is a request, or for system.multicall a batch of requests. It is
	// empty if there is nothing to ask, for an empty system.multicall.
	Message []byte

	limits Limits
	list   bool // the answer to it is for system.listMethods
	many   bool // it is a system.multicall
	calls  int  // of that
}

// ReadCall translates a methodCall. charset is what was said of its character set
// outside the document, or "". An error is an [*Error].
func ReadCall(doc []byte, charset string, l Limits) (*Call, error) {
	s, err := newScanner(doc, charset, l)
	if err != nil {
		return nil, err
	}
	method, err := s.methodName()
	if err != nil {
		return nil, err
	}
	c := &Call{limits: s.limits}
	head := appendRequestHead(room(doc), method)
	switch method {
	case multicall:
		c.many, head = true, head[:0]
	case listMethods:
		c.list, head = true, appendRequestHead(head[:0], discover)
	}
	c.Message, err = s.callParams(head, c.many)
	if err != nil {
		return nil, err
	}
	if c.many {
		return c, c.toBatch()
	}
	c.Message = append(c.Message, `,"id":1}`...)
	return c, nil
}

// methodName reads up to the name of the method.
func (s *scanner) methodName() (string, error) {
	if err := s.opens("methodCall"); err != nil {
		return "", err
	}
	if err := s.opens("methodName"); err != nil {
		return "", err
	}
	if err := s.closesText("methodName"); err != nil {
		return "", err
	}
	name := bytes.TrimSpace(s.text)
	if len(name) == 0 {
		return "", errorf(CodeInvalid, "the method's name is empty")
	}
	return string(name), nil
}

// callParams appends the params that a methodCall ends with, if there are any, as
// a member, or bare.
func (s *scanner) callParams(dst []byte, bare bool) ([]byte, error) {
	if err := s.tag(); err != nil {
		return dst, err
	}
	if s.open {
		if err := s.is(true, "params"); err != nil {
			return dst, err
		}
		const member = `,"params":`
		start := len(dst)
		if !bare {
			dst = append(dst, member...)
		}
		n := len(dst)
		var err error
		if dst, err = s.params(dst); err != nil {
			return dst, err
		}
		if !bare {
			dst = byName(dst, start, n)
		}
		if err := s.tag(); err != nil {
			return dst, err
		}
	}
	if err := s.is(false, "methodCall"); err != nil {
		return dst, err
	}
	return dst, s.ends()
}

// byName takes params for params by name, or for none, that dst has from n on as
// an array, and from start on with the name of the member.
func byName(dst []byte, start, n int) []byte {
	params := dst[n:]
	if string(params) == "[]" { // a method may want an object that it can do without
		return dst[:start]
	}
	if !bytes.HasPrefix(params, []byte(`[{"`+tagParams+`":{`)) {
		return dst
	}
	var names []byte
	if elements(params, func(one []byte) error {
		if names != nil {
			return errNoObject
		}
		return members(one, func(_ string, v []byte) error {
			if names != nil {
				return errNoObject
			}
			names = v
			return nil
		})
	}) != nil {
		return dst
	}
	return append(dst[:n], names...)
}

func appendRequestHead(dst []byte, method string) []byte {
	return appendString(append(dst, `{"jsonrpc":"2.0","method":`...), method)
}

// toBatch makes a batch of the params of a system.multicall.
func (c *Call) toBatch() error {
	var calls []byte
	params := c.Message
	if len(params) > 0 && elements(params, func(v []byte) error {
		if calls != nil {
			return errNoArray
		}
		calls = v
		return nil
	}) != nil || calls == nil {
		return errMulticall
	}
	c.Message = append(make([]byte, 0, len(calls)+64), '[')
	if err := elements(calls, c.addCall); err != nil {
		return errMulticall
	}
	if c.calls == 0 {
		c.Message = nil
		return nil
	}
	c.Message = append(c.Message, ']')
	return nil
}

var errMulticall = errorf(CodeParams, "system.multicall takes an array of structs of methodName, a string, and params, an array")

// addCall adds a member of a system.multicall to the batch.
func (c *Call) addCall(one []byte) error {
	var method, params []byte
	if err := members(one, func(name string, value []byte) error {
		switch name {
		case "methodName":
			method = value
		case "params":
			params = value
		}
		return nil
	}); err != nil {
		return err
	}
	if !isKind(method, '"') || params != nil && !isKind(params, '[') {
		return errMulticall
	}
	if c.calls++; c.calls > 1 {
		c.Message = append(c.Message, ',')
	}
	c.Message = append(append(c.Message, `{"jsonrpc":"2.0","method":`...), method...)
	if params != nil && string(params) != "[]" {
		c.Message = append(append(c.Message, `,"params":`...), params...)
	}
	c.Message = append(strconv.AppendInt(append(c.Message, `,"id":`...), int64(c.calls), 10), '}')
	return nil
}

const (
	declared      = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"
	responseBegin = declared + "<methodResponse><params><param>"
	responseEnd   = "</param></params></methodResponse>\n"
)

// Answer returns the methodResponse for the answer to Message. If the answer
// cannot be said in XML-RPC that is a fault, too.
func (c *Call) Answer(message []byte) []byte {
	answer := c.answerOne
	if c.many {
		answer = c.answerMany
	}
	doc, err := answer(message)
	if err != nil {
		return Fault(err)
	}
	return doc
}

func (c *Call) answerOne(message []byte) ([]byte, error) {
	r, err := readResponse(message)
	if err != nil {
		return nil, err
	}
	if r.failure != nil {
		return faultDocument(r.failure), nil
	}
	if c.list {
		if r.result, err = methodNames(r.result); err != nil {
			return nil, err
		}
	}
	doc := append(make([]byte, 0, len(responseBegin)+len(responseEnd)+2*len(r.result)+64), responseBegin...)
	if doc, err = appendValue(doc, r.result, c.limits); err != nil {
		return nil, err
	}
	return append(doc, responseEnd...), nil
}

// answerMany gives the answers to a batch in the order of the calls.
func (c *Call) answerMany(message []byte) ([]byte, error) {
	answers := make([]*response, c.calls)
	if c.calls > 0 {
		if isKind(message, '{') {
			return c.answerOne(message) // to the batch as a whole
		}
		if err := elements(message, func(one []byte) error {
			r, err := readResponse(one)
			if err != nil {
				return err
			}
			if n, err := strconv.Atoi(string(r.id)); err == nil && n >= 1 && n <= len(answers) {
				answers[n-1] = r
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	doc := append([]byte(responseBegin), "<value><array><data>"...)
	for _, r := range answers {
		doc = appendMember(doc, r, c.limits)
	}
	return append(append(doc, "</data></array></value>"...), responseEnd...), nil
}

// appendMember appends the answer to a call of a system.multicall: an array of
// the one result, or a fault.
func appendMember(doc []byte, r *response, l Limits) []byte {
	switch {
	case r == nil:
		return appendFault(doc, CodeInternal, []byte("the call was not answered"))
	case r.failure != nil:
		return r.failure.append(doc)
	}
	n := len(doc)
	doc, err := appendValue(append(doc, "<value><array><data>"...), r.result, l)
	if err != nil {
		return failureOf(err).append(doc[:n])
	}
	return append(doc, "</data></array></value>"...)
}

// A response is one of JSON-RPC.
type response struct {
	id, result []byte
	failure    *failure // nil if there is a result
}

// A failure is an error object.
type failure struct {
	code int
	text []byte // with the data
}

func failureOf(err error) *failure {
	if e, ok := errors.AsType[*Error](err); ok {
		return &failure{code: e.Code, text: []byte(e.Message)}
	}
	return &failure{code: CodeInternal, text: []byte(brief("no answer of JSON-RPC: " + err.Error()))}
}

func readResponse(message []byte) (*response, error) {
	r := new(response)
	err := members(message, func(name string, value []byte) (err error) {
		switch name {
		case "id":
			r.id = value
		case "result":
			r.result = value
		case "error":
			r.failure, err = readFailure(value)
		}
		return err
	})
	if err == nil && r.result == nil && r.failure == nil {
		err = errors.New("it has neither a result nor an error")
	}
	return r, err
}

// readFailure reads an error object. A fault has no place but its text for the
// data, and none for a code of more than 32 bits.
func readFailure(object []byte) (*failure, error) {
	f := &failure{code: codeOther}
	err := members(object, func(name string, value []byte) error {
		switch name {
		case "code":
			if n, err := strconv.ParseInt(string(value), 10, 32); err == nil {
				f.code = int(n)
			}
		case "message":
			f.text = append(unquote(value), f.text...)
		case "data":
			if string(value) == "null" {
				return nil
			}
			f.text = append(f.text, ": "...)
			if text := unquote(value); text != nil {
				value = text
			}
			f.text = append(f.text, value...)
		}
		return nil
	})
	return f, err
}

// append appends a failure as a value.
func (f *failure) append(doc []byte) []byte { return appendFault(doc, f.code, f.text) }

func appendFault(doc []byte, code int, text []byte) []byte {
	doc = append(doc, "<value><struct><member><name>faultCode</name><value><int>"...)
	doc = strconv.AppendInt(doc, int64(code), 10)
	doc = append(doc, "</int></value></member><member><name>faultString</name><value><string>"...)
	return append(appendAnyText(doc, text), "</string></value></member></struct></value>"...)
}

func faultDocument(f *failure) []byte {
	return append(f.append([]byte(declared+"<methodResponse><fault>")), "</fault></methodResponse>\n"...)
}

// Fault returns the methodResponse for an error, such as one of [ReadCall].
func Fault(err error) []byte { return faultDocument(failureOf(err)) }

// methodNames makes a list of names of an OpenRPC document.
func methodNames(document []byte) ([]byte, error) {
	list := []byte{'['}
	err := members(document, func(name string, value []byte) error {
		if name != "methods" {
			return nil
		}
		return elements(value, func(method []byte) error {
			return members(method, func(name string, value []byte) error {
				if name == "name" {
					if len(list) > 1 {
						list = append(list, ',')
					}
					list = append(list, value...)
				}
				return nil
			})
		})
	})
	return append(list, ']'), err
}
