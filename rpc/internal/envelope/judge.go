package envelope

// Why an element is not a good message. They are constants so that refusing
// costs no memory.
const (
	notObject   = "a message must be an object"
	badNames    = "the name of a member is not Unicode text"
	noVersion   = `member "jsonrpc" is missing`
	badVersion  = `member "jsonrpc" must be the string "2.0"`
	noMethod    = `member "method" is missing`
	badMethod   = `member "method" must be a string`
	garbled     = `member "method" is not Unicode text`
	mixed       = `member "method" stands beside "result" or "error"`
	nullParams  = `member "params" must not be null`
	badParams   = `member "params" must be an array or an object`
	badMetadata = `member "metadata" must be an object`
	noID        = `member "id" is missing`
	badID       = `member "id" must be a string, a number or null`
	garbledID   = `member "id" is not Unicode text`
	longID      = `member "id" is too long`
	both        = `members "result" and "error" exclude each other`
	badError    = `member "error" must be an object`
)

// judge makes the draft a message.
func (s *scanner) judge(m *Message) {
	d := &s.draft
	token, reason := s.identity()
	if !d.seen.has(method) && (d.seen.has(result) || d.seen.has(failure)) {
		s.response(m, token, reason)
		return
	}
	if why := s.refuse(); why != "" {
		reason = why
	}
	var name []byte
	if reason == "" {
		name, reason = d.methodName()
	}
	m.ID = token
	if reason != "" {
		m.Reason = reason
		if v := d.get(metadata); reason == noMethod && IsObject(v) {
			m.Metadata = v
		}
		return
	}
	m.Kind = Notification
	if token != nil {
		m.Kind = Request
	}
	m.Method = name
	m.Metadata = d.get(metadata)
	// What refuse let through as null is what the limits take for absent.
	if p := d.get(params); p != nil && p[0] != 'n' {
		m.Params = p
	}
}

// response fills in an answer, good or bad: nobody may answer it, so it stays
// a Response whatever is wrong with it.
func (s *scanner) response(m *Message, token []byte, reason string) {
	d := &s.draft
	m.Kind = Response
	m.ID = token
	m.Result = d.get(result)
	m.Error = d.get(failure)
	if v := d.get(metadata); IsObject(v) {
		m.Metadata = v
	}
	switch why := s.common(); {
	case why != "":
		m.Reason = why
	case d.seen.has(result) && d.seen.has(failure):
		m.Reason = both
	case reason != "":
		m.Reason = reason
	case token == nil:
		m.Reason = noID
	case d.seen.has(failure) && !IsObject(m.Error):
		m.Reason = badError
	}
}

// refuse returns what is wrong with a request or notification apart from its
// id and the text of its method.
func (s *scanner) refuse() string {
	d := &s.draft
	if why := s.common(); why != "" {
		return why
	}
	switch {
	case !d.seen.has(method):
		return noMethod
	case d.seen.has(result) || d.seen.has(failure):
		return mixed
	case d.raw[method][0] != '"':
		return badMethod
	case d.seen.has(metadata) && d.raw[metadata][0] != '{':
		return badMetadata
	case d.seen.has(params):
		return s.refuseParams(d.raw[params][0])
	}
	return ""
}

// refuseParams judges params by the first byte of their value.
func (s *scanner) refuseParams(c byte) string {
	switch c {
	case '[', '{':
		return ""
	case 'n':
		if s.limits.nullParams() {
			return ""
		}
		return nullParams
	default:
		if s.limits.scalarParams() {
			return ""
		}
		return badParams
	}
}

// common returns what is wrong with the parts that all messages share, except
// the id.
func (s *scanner) common() string {
	d := &s.draft
	switch {
	case d.twice != 0:
		return d.twice.appear()
	case d.badName:
		return badNames
	case !d.seen.has(version):
		return noVersion
	case string(d.raw[version]) != `"2.0"` && !d.spelledVersion() && !s.otherVersion():
		return badVersion
	}
	return ""
}

// appear returns the reason for a set of members that are duplicate: that of
// the first by the order in which people write them.
func (s set) appear() string {
	switch {
	case s.has(version):
		return `member "jsonrpc" appears twice`
	case s.has(id):
		return `member "id" appears twice`
	case s.has(method):
		return `member "method" appears twice`
	case s.has(params):
		return `member "params" appears twice`
	case s.has(result):
		return `member "result" appears twice`
	case s.has(failure):
		return `member "error" appears twice`
	default:
		return `member "metadata" appears twice`
	}
}

// spelledVersion tells whether the version is "2.0" written with escapes.
func (d *draft) spelledVersion() bool {
	if !d.escaped.has(version) {
		return false
	}
	var buf [64]byte
	text, _ := unescape(buf[:0], unquoted(d.raw[version]))
	return string(text) == "2.0"
}

// otherVersion tells whether the version is one that the limits take besides.
func (s *scanner) otherVersion() bool {
	if !s.limits.version2() {
		return false
	}
	switch string(s.draft.raw[version]) {
	case `"2"`, `2`, `2.0`:
		return true
	}
	return false
}

// methodName returns the text of the method, or what is wrong with it.
func (d *draft) methodName() (name []byte, reason string) {
	name = unquoted(d.raw[method])
	var ok bool
	if d.escaped.has(method) {
		name, ok = unescape(make([]byte, 0, len(name)), name)
	} else {
		ok = isText(name)
	}
	if !ok {
		return nil, garbled
	}
	return name, ""
}

// identity returns the token of the id if it can be echoed, and otherwise, if
// there is one, why it cannot.
func (s *scanner) identity() (token []byte, reason string) {
	d := &s.draft
	token = d.get(id)
	if token == nil {
		return nil, "" // absent, or duplicate: common says so
	}
	switch c := token[0]; {
	case c == 'n':
		return token, ""
	case c != '"' && c != '-' && (c < '0' || c > '9'):
		return nil, badID
	case len(token) > s.limits.id():
		return nil, longID
	case c == '"' && !d.unicodeID(token):
		return nil, garbledID
	}
	return token, ""
}

// unicodeID tells whether token, the string that is the id, is Unicode.
func (d *draft) unicodeID(token []byte) bool {
	if d.escaped.has(id) {
		var buf [DefaultID]byte
		_, ok := unescape(buf[:0], unquoted(token))
		return ok
	}
	return isText(token)
}

// unquoted returns what lies between the quotes of a raw string.
func unquoted(raw []byte) []byte {
	end := len(raw) - 1
	return raw[1:end:end]
}
