package envelope

// A member is one of the names that a message may have at its top level.
type member uint8

const (
	unknown member = iota
	version
	method
	params
	id
	result
	failure
	metadata
	members // how many there are
)

// A set has the bit 1<<m for each member m in it.
type set uint8

func (s set) has(m member) bool { return s&(1<<m) != 0 }

// A draft is what is known of an object before it is judged.
type draft struct {
	seen    set // stands in the object
	twice   set // stands in it more than once
	escaped set // its last value is a string with escapes
	badName bool
	raw     [members][]byte
}

// reset forgets the last object. The raw values stay: only those in seen
// count, and a batch of a thousand must not clear them a thousand times.
func (d *draft) reset() {
	d.seen, d.twice, d.escaped, d.badName = 0, 0, 0, false
}

// get returns the raw value of m, or nil if it is absent or duplicate.
func (d *draft) get(m member) []byte {
	if d.seen&^d.twice&(1<<m) == 0 {
		return nil
	}
	return d.raw[m]
}

// object reads the message that opens at i, under depth open arrays, into the
// draft.
func (s *scanner) object(i, depth int) int {
	if depth >= s.maxDepth {
		return s.tooDeep(i)
	}
	s.draft.reset()
	b := s.body
	i = space(b, i+1)
	if i < len(b) && b[i] == '}' {
		return i + 1
	}
	for {
		if i = s.member(i, depth+1); i < 0 {
			return stop
		}
		i = space(b, i)
		switch {
		case i < len(b) && b[i] == ',':
			i = space(b, i+1)
		case i < len(b) && b[i] == '}':
			return i + 1
		default:
			return s.want(i, "a comma or the end of the object")
		}
	}
}

// member reads one name and its value into the draft.
func (s *scanner) member(i, depth int) int {
	b, d := s.body, &s.draft
	if i >= len(b) || b[i] != '"' {
		return s.want(i, "the name of a member")
	}
	end, escaped := s.text(i + 1)
	if end < 0 {
		return stop
	}
	m := known(b[i+1 : end-1])
	if m == unknown {
		m = d.lookup(b[i+1:end-1], escaped)
	}
	if i = s.colon(end); i < 0 {
		return stop
	}
	if i < len(b) && b[i] == '"' {
		end, escaped = s.text(i + 1)
	} else {
		end, escaped = s.value(i, depth), false
	}
	if end < 0 || m == unknown {
		return end
	}
	bit := set(1) << m
	d.twice |= d.seen & bit
	d.seen |= bit
	if escaped {
		d.escaped |= bit
	}
	d.raw[m] = b[i:end:end]
	return end
}

// lookup returns the member whose name has this text between its quotes, which
// is not spelled like a known one.
func (d *draft) lookup(text []byte, escaped bool) member {
	if !escaped {
		d.badName = d.badName || !isText(text)
		return unknown
	}
	var buf [64]byte // no known name is longer, even all in escapes
	name, ok := unescape(buf[:0], text)
	d.badName = d.badName || !ok
	return known(name)
}

// known returns the member of that name.
func known(name []byte) member {
	switch len(name) {
	case 2:
		if string(name) == "id" {
			return id
		}
	case 5:
		if string(name) == "error" {
			return failure
		}
	case 6:
		switch string(name) {
		case "method":
			return method
		case "params":
			return params
		case "result":
			return result
		}
	case 7:
		if string(name) == "jsonrpc" {
			return version
		}
	case 8:
		if string(name) == "metadata" {
			return metadata
		}
	}
	return unknown
}
