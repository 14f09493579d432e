package xmlrpc

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// A scanner reads the tags of a document one after the other, with the text
// before each.
type scanner struct {
	limits Limits
	values int

	d       *xml.Decoder
	doc     []byte
	pos     int // of what was taken
	stop    int // how far d may go
	skipped int // bytes that d has not seen

	// The last tag: its name without a prefix, whether it opens, and the text
	// before it. At the end of the document the name is empty.
	name string
	open bool
	text []byte
}

// errTag ends a tag that is too long; the decoder keeps it for good.
var errTag = errors.New("a tag is too long")

func newScanner(doc []byte, charset string, l Limits) (*scanner, error) {
	l = l.withDefaults()
	if len(doc) > l.Bytes {
		return nil, errorf(CodeInvalid, "the document has %d bytes; at most %d are taken", len(doc), l.Bytes)
	}
	doc, err := toUTF8(doc, charset)
	if err != nil {
		return nil, err
	}
	s := &scanner{limits: l, doc: doc}
	s.d = xml.NewDecoder(s)
	return s, nil
}

// ReadByte is by what the decoder reads: nothing is buffered.
func (s *scanner) ReadByte() (byte, error) {
	switch {
	case s.pos < s.stop:
		s.pos++
		return s.doc[s.pos-1], nil
	case s.stop < len(s.doc):
		return 0, errTag
	}
	return 0, io.EOF
}

// Read makes the scanner a reader, which is what a decoder asks for at first.
func (s *scanner) Read(p []byte) (int, error) {
	b, err := s.ReadByte()
	if err != nil || len(p) == 0 {
		return 0, err
	}
	p[0] = b
	return 1, nil
}

// tag reads up to the next tag, and over it.
func (s *scanner) tag() error {
	s.text = s.text[:0]
	s.plain()
	for {
		if err := s.bound(); err != nil {
			return err
		}
		t, err := s.d.RawToken()
		switch t := t.(type) {
		case xml.CharData:
			s.text = append(s.text, t...)
		case xml.Comment:
		case xml.StartElement:
			s.name, s.open = t.Name.Local, true
			return nil
		case xml.EndElement:
			s.name, s.open = t.Name.Local, false
			return nil
		default:
			if errors.Is(err, io.EOF) {
				s.name, s.open = "", false
				return nil
			}
			return s.malformed(err)
		}
	}
}

// at is where the next token begins.
func (s *scanner) at() int { return min(int(s.d.InputOffset())+s.skipped, len(s.doc)) }

// plain takes text up to the next tag past the decoder, which looks at each byte
// by itself, if there is nothing in it but characters that stand for themselves and
// the entities that all XML has.
func (s *scanner) plain() {
	n := bytes.IndexByte(s.doc[s.pos:], '<')
	switch {
	case n <= 0, s.pos != s.at(): // the decoder may have read the first byte of what follows
		return
	case s.open && s.doc[s.pos-2] == '/': // and still has to close an empty element
		return
	}
	if text := s.doc[s.pos : s.pos+n]; s.decode(text) && utf8.Valid(s.text) {
		s.pos += n
		s.skipped += n
		return
	}
	s.text = s.text[:0]
}

// decode appends text, or reports that there is more in it than plain takes.
func (s *scanner) decode(text []byte) bool {
	done := 0 // up to where it is appended
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c < ' ' && c != '\t' && c != '\n', c == '>', c == 0xef && isNonCharacter(text[i:]):
			return false
		case c == '&':
			char, n := entity(text[i:])
			if n == 0 {
				return false
			}
			s.text = append(append(s.text, text[done:i]...), char)
			i += n - 1
			done = i + 1
		}
	}
	s.text = append(s.text, text[done:]...)
	return true
}

// entity returns the character that text begins with by the name that all XML has
// for it (XML 1.0, section 4.6), and how long that is; 0 if it does not.
func entity(text []byte) (char byte, n int) {
	for _, e := range [...]struct {
		name string
		char byte
	}{{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}} {
		if bytes.HasPrefix(text, []byte(e.name)) {
			return e.char, len(e.name)
		}
	}
	return 0, 0
}

// bound looks at how the next token begins, and says how far it may go.
func (s *scanner) bound() error {
	at := s.at()
	next := s.doc[at:]
	s.stop = len(s.doc)
	switch {
	case !bytes.HasPrefix(next, []byte("<")), bytes.HasPrefix(next, []byte("<!--")), bytes.HasPrefix(next, []byte("<![CDATA[")):
	case bytes.HasPrefix(next, []byte("<!")):
		return errorf(CodeInvalid, "document types and entities of a document's own are not taken")
	case bytes.HasPrefix(next, []byte("<?")):
		return errorf(CodeInvalid, "processing instructions are not taken; a declaration can only be at the beginning")
	default:
		s.stop = min(at+maxTag, len(s.doc))
	}
	return nil
}

// malformed is the error for what the decoder does not take.
func (s *scanner) malformed(err error) error {
	if err == nil || errors.Is(err, errTag) {
		return errorf(CodeInvalid, "a tag has more than %d bytes", maxTag)
	}
	before := s.doc[:s.at()]
	line, column := 1+bytes.Count(before, []byte("\n")), len(before)-bytes.LastIndexByte(before, '\n')
	why := strings.TrimPrefix(err.Error(), "XML syntax error on ")
	if e, ok := errors.AsType[*xml.SyntaxError](err); ok {
		why = e.Msg
	}
	return errorf(CodeParse, "not well formed at line %d, column %d: %s", line, column, why)
}

// blank reports whether the text before the last tag is white space.
func (s *scanner) blank() bool { return len(bytes.TrimSpace(s.text)) == 0 }

// opens reads an opening tag, with nothing but white space before it.
func (s *scanner) opens(name string) error {
	if err := s.tag(); err != nil {
		return err
	}
	return s.is(true, name)
}

// closes reads a closing tag, with nothing but white space before it.
func (s *scanner) closes(name string) error {
	if err := s.tag(); err != nil {
		return err
	}
	return s.is(false, name)
}

// is reports an error unless the last tag is this one.
func (s *scanner) is(open bool, name string) error {
	switch {
	case s.open != open || s.name != name:
		return s.wanted(spelled(open, name))
	case !s.blank():
		return errorf(CodeInvalid, "expected %s, got text: %.40q", spelled(open, name), s.text)
	}
	return nil
}

// closesText reads text up to a closing tag.
func (s *scanner) closesText(name string) error {
	switch err := s.tag(); {
	case err != nil:
		return err
	case s.open || s.name != name:
		return s.wanted("text and " + spelled(false, name))
	}
	return nil
}

// wanted is the error for a tag in the place of others.
func (s *scanner) wanted(what string) error {
	if s.name == "" {
		return errorf(CodeParse, "expected %s, got the end of the document", what)
	}
	return errorf(CodeInvalid, "expected %s, got %s", what, spelled(s.open, s.name))
}

// ends makes sure that nothing follows.
func (s *scanner) ends() error {
	switch err := s.tag(); {
	case err != nil:
		return err
	case s.name != "" || !s.blank():
		return errorf(CodeParse, "something follows the end of the document")
	}
	return nil
}

func spelled(open bool, name string) string {
	if open {
		return "<" + name + ">"
	}
	return "</" + name + ">"
}
