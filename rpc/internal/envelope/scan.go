package envelope

// Scan splits body into its messages, appends them to dst and returns the
// extended slice; batch tells whether the body is an array. A batch has at
// least one message; any other body has exactly one.
//
// The grammar of the whole body is checked (RFC 8259, one text, nothing after
// it) before Scan returns, so that no part is executed of a body that is not
// JSON. If it is not, or if it is an empty batch or passes a limit, err is not
// nil and msgs is dst. Limits are checked as the scan goes, so a body that is
// both too large and broken gets the fault that comes first.
//
// The messages alias body. Scan allocates only to extend dst, to unescape, to
// report a fault, and one bit for each level of nesting beyond 64. It keeps no
// state: any number of calls may run at once.
func Scan(body []byte, l *Limits, dst []Message) (msgs []Message, batch bool, err *Fault) {
	s := scanner{body: body, limits: l, maxDepth: l.depth()}
	i := space(body, 0)
	msgs = dst
	switch {
	case i == len(body):
		s.want(i, "a message")
	case body[i] == '[':
		batch = true
		msgs, i = s.elements(i, msgs)
	default:
		msgs, i = s.message(i, 0, msgs)
	}
	if s.fault == nil {
		s.finish(i, len(msgs) == len(dst))
	}
	if s.fault != nil {
		return dst, batch, s.fault
	}
	return msgs, batch, nil
}

// A scanner walks over one body. Its methods take the index at which they
// begin and return the index after what they read, or stop.
type scanner struct {
	body     []byte
	limits   *Limits
	maxDepth int
	fault    *Fault
	draft    draft
}

// finish checks what surrounds the messages: nothing follows, and there is at
// least one.
func (s *scanner) finish(i int, empty bool) {
	if end := space(s.body, i); end < len(s.body) {
		s.want(end, "the end of the text")
	} else if empty {
		s.fail(&Fault{Code: CodeInvalid, Reason: "the batch is empty", Offset: i - 1})
	}
}

// elements reads the batch that opens at i.
func (s *scanner) elements(i int, msgs []Message) ([]Message, int) {
	b, limit := s.body, s.limits.batch()
	i = space(b, i+1)
	if i < len(b) && b[i] == ']' {
		return msgs, i + 1
	}
	for n := 1; ; n++ {
		if n > limit {
			return msgs, s.tooMuch(i, "the batch has more elements than", limit)
		}
		if msgs, i = s.message(i, 1, msgs); i < 0 {
			return msgs, stop
		}
		i = space(b, i)
		switch {
		case i < len(b) && b[i] == ',':
			i = space(b, i+1)
		case i < len(b) && b[i] == ']':
			return msgs, i + 1
		default:
			return msgs, s.want(i, "a comma or the end of the batch")
		}
	}
}

// message reads one element at i, under depth open arrays.
func (s *scanner) message(i, depth int, msgs []Message) ([]Message, int) {
	msgs = append(msgs, Message{})
	m := &msgs[len(msgs)-1]
	if i < len(s.body) && s.body[i] == '{' {
		if i = s.object(i, depth); i >= 0 {
			s.judge(m)
		}
		return msgs, i
	}
	m.Reason = notObject
	return msgs, s.value(i, depth)
}
