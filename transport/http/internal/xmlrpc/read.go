package xmlrpc

import (
	"github.com/go-json-experiment/json/jsontext"
)

// room is for what a document becomes, if it is an ordinary one.
func room(doc []byte) []byte { return make([]byte, 0, min(len(doc)/2+64, 64<<10)) }

// value appends what follows <value>, up to </value>, as JSON.
func (s *scanner) value(dst []byte, depth int) ([]byte, error) {
	if s.values++; s.values > s.limits.Values {
		return dst, errorf(CodeInvalid, "more than %d values", s.limits.Values)
	}
	if depth > s.limits.Depth {
		return dst, errorf(CodeInvalid, "values are more than %d deep in each other", s.limits.Depth)
	}
	if err := s.tag(); err != nil {
		return dst, err
	}
	if !s.open && s.name == "value" {
		return s.quoted(dst)
	}
	if !s.open || !s.blank() {
		return dst, s.wanted("a type or text alone in <value>")
	}
	var err error
	switch s.name {
	case "array":
		dst, err = s.array(dst, depth)
	case "struct":
		dst, err = s.structure(dst, depth)
	default:
		dst, err = s.scalar(dst, s.name)
	}
	if err != nil {
		return dst, err
	}
	return dst, s.closes("value")
}

// quoted appends the text before the last tag as a string.
func (s *scanner) quoted(dst []byte) ([]byte, error) {
	dst, err := jsontext.AppendQuote(dst, s.text)
	if err != nil {
		return dst, errorf(CodeParse, "text is not valid UTF-8")
	}
	return dst, nil
}

// array appends what follows <array>, up to </array>.
func (s *scanner) array(dst []byte, depth int) ([]byte, error) {
	if err := s.tag(); err != nil {
		return dst, err
	}
	if !s.open && s.name == "array" && s.blank() { // some leave out an empty <data>
		return append(dst, "[]"...), nil
	}
	if err := s.is(true, "data"); err != nil {
		return dst, err
	}
	dst, err := s.list(dst, "data", func(dst []byte) ([]byte, error) {
		if err := s.is(true, "value"); err != nil {
			return dst, err
		}
		return s.value(dst, depth+1)
	})
	if err != nil {
		return dst, err
	}
	return dst, s.closes("array")
}

// list appends what is in an element, one after the other, as an array. each is
// called when a tag has been read that does not close the element.
func (s *scanner) list(dst []byte, name string, each func(dst []byte) ([]byte, error)) ([]byte, error) {
	dst = append(dst, '[')
	for n := 0; ; n++ {
		if err := s.tag(); err != nil {
			return dst, err
		}
		if !s.open {
			return append(dst, ']'), s.is(false, name)
		}
		if n > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = each(dst); err != nil {
			return dst, err
		}
	}
}

// structure appends what follows <struct>, up to </struct>.
func (s *scanner) structure(dst []byte, depth int) ([]byte, error) {
	dst = append(dst, '{')
	for n := 0; ; n++ {
		if err := s.tag(); err != nil {
			return dst, err
		}
		if !s.open {
			return append(dst, '}'), s.is(false, "struct")
		}
		if n > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = s.member(dst, depth); err != nil {
			return dst, err
		}
	}
}

// member appends a member, whose <member> is the last tag.
func (s *scanner) member(dst []byte, depth int) ([]byte, error) {
	if err := s.is(true, "member"); err != nil {
		return dst, err
	}
	if err := s.opens("name"); err != nil {
		return dst, err
	}
	if err := s.closesText("name"); err != nil {
		return dst, err
	}
	dst, err := s.quoted(dst)
	if err != nil {
		return dst, err
	}
	if err := s.opens("value"); err != nil {
		return dst, err
	}
	if dst, err = s.value(append(dst, ':'), depth+1); err != nil {
		return dst, err
	}
	return dst, s.closes("member")
}

// params appends what follows <params>, up to </params>, as an array.
func (s *scanner) params(dst []byte) ([]byte, error) { return s.list(dst, "params", s.param) }

// param appends the value of <param>, which is the last tag.
func (s *scanner) param(dst []byte) ([]byte, error) {
	if err := s.is(true, "param"); err != nil {
		return dst, err
	}
	if err := s.opens("value"); err != nil {
		return dst, err
	}
	dst, err := s.value(dst, 1)
	if err != nil {
		return dst, err
	}
	return dst, s.closes("param")
}
