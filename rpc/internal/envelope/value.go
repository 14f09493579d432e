package envelope

// space returns the index of the first byte from i on that is not white
// space.
func space(b []byte, i int) int {
	const blank uint64 = 1<<' ' | 1<<'\t' | 1<<'\n' | 1<<'\r'
	for i < len(b) && b[i] <= ' ' && blank>>b[i]&1 != 0 {
		i++
	}
	return i
}

// value reads the value at i, which has no white space before it, under depth
// open containers.
func (s *scanner) value(i, depth int) int {
	if i < len(s.body) {
		switch s.body[i] {
		case '"':
			end, _ := s.text(i + 1)
			return end
		case '[', '{':
			return s.container(i, depth)
		}
	}
	return s.scalar(i)
}

// container reads the array or object that opens at i. It does not recurse:
// what is open is remembered in one bit a level.
func (s *scanner) container(i, depth int) int {
	b := s.body
	var (
		open   nest
		closer byte // ends the innermost container; zero before the first
	)
	for {
		if closer == '}' {
			if i = s.name(i); i < 0 {
				return stop
			}
		}
		var c byte
		if i < len(b) {
			c = b[i]
		}
		switch c {
		case '"':
			i, _ = s.text(i + 1)
		case '[', '{':
			if depth+open.n >= s.maxDepth {
				return s.tooDeep(i)
			}
			closer = open.push(c)
			if i = space(b, i+1); i >= len(b) || b[i] != closer {
				continue
			}
		default:
			i = s.scalar(i)
		}
		if i < 0 {
			return stop
		}
		for i = space(b, i); i >= len(b) || b[i] != ','; i = space(b, i) {
			if i >= len(b) || b[i] != closer {
				return s.want(i, "a comma or the end of the "+kindOf(closer))
			}
			i++
			if closer = open.pop(); open.n == 0 {
				return i
			}
		}
		i = space(b, i+1)
	}
}

// name reads the name of a member at i and what leads to its value.
func (s *scanner) name(i int) int {
	b := s.body
	if i >= len(b) || b[i] != '"' {
		return s.want(i, "the name of a member")
	}
	if i, _ = s.text(i + 1); i < 0 {
		return stop
	}
	return s.colon(i)
}

// colon reads what stands between a name and its value.
func (s *scanner) colon(i int) int {
	b := s.body
	if i+1 < len(b) && b[i] == ':' && b[i+1] > ' ' {
		return i + 1
	}
	i = space(b, i)
	if i >= len(b) || b[i] != ':' {
		return s.want(i, "a colon")
	}
	return space(b, i+1)
}

func (s *scanner) tooDeep(i int) int {
	return s.tooMuch(i, "the text is nested deeper than", s.maxDepth)
}

func kindOf(closer byte) string {
	if closer == '}' {
		return "object"
	}
	return "array"
}

// A nest remembers for each open container whether it is an object, in one
// bit: the innermost 64 in top, the others in words of 64. So it costs no
// memory for texts that people write, and for hostile ones an eighth of a byte
// a level, which the limit on depth bounds.
type nest struct {
	n    int // open containers
	top  uint64
	rest []uint64
}

// push opens a container with the byte c and returns the byte that ends it.
func (k *nest) push(c byte) (closer byte) {
	if k.n++; k.n%64 == 0 {
		k.spill()
	}
	k.top = k.top<<1 | uint64(c>>5&1) // the bit in which '{' and '[' differ
	return c + 2                      // as ASCII has it for both
}

// pop closes the innermost container and returns the byte that ends the one
// around it, if there is one.
func (k *nest) pop() (closer byte) {
	if k.n%64 == 0 {
		k.top = k.rest[len(k.rest)-1]
		k.rest = k.rest[:len(k.rest)-1]
	} else {
		k.top >>= 1
	}
	k.n--
	return ']' + byte(k.top&1)<<5
}

func (k *nest) spill() {
	if k.rest == nil {
		k.rest = make([]uint64, 0, DefaultDepth/64)
	}
	k.rest = append(k.rest, k.top)
}
