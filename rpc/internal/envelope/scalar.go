package envelope

// scalar reads the number or literal at i.
func (s *scanner) scalar(i int) int {
	b := s.body
	if i >= len(b) {
		return s.want(i, "a value")
	}
	switch b[i] {
	case 't':
		if len(b)-i >= 4 && string(b[i:i+4]) == "true" {
			return i + 4
		}
		return s.misspelt(i, "true")
	case 'f':
		if len(b)-i >= 5 && string(b[i:i+5]) == "false" {
			return i + 5
		}
		return s.misspelt(i, "false")
	case 'n':
		if len(b)-i >= 4 && string(b[i:i+4]) == "null" {
			return i + 4
		}
		return s.misspelt(i, "null")
	case '-':
		i++
	}
	start := i
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	switch {
	case i == start:
		return s.noNumber(i)
	case i > start+1 && b[start] == '0':
		return s.want(start+1, "the end of a number that begins with 0")
	case i < len(b) && (b[i] == '.' || b[i]|0x20 == 'e'):
		return s.fraction(i)
	}
	return i
}

// noNumber records that there is no digit at i where a value or the digits
// after a minus should be.
func (s *scanner) noNumber(i int) int {
	if i > 0 && s.body[i-1] == '-' {
		return s.want(i, "a digit")
	}
	return s.want(i, "a value")
}

// fraction reads what follows the integer part of a number.
func (s *scanner) fraction(i int) int {
	b := s.body
	if b[i] == '.' {
		if i = s.digits(i + 1); i < 0 {
			return stop
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		return s.digits(i)
	}
	return i
}

// digits reads one digit or more.
func (s *scanner) digits(i int) int {
	b, start := s.body, i
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	if i == start {
		return s.want(i, "a digit")
	}
	return i
}

// misspelt records where the literal at i goes wrong.
func (s *scanner) misspelt(i int, word string) int {
	n := 1
	for i+n < len(s.body) && s.body[i+n] == word[n] {
		n++ // they differ before word ends
	}
	return s.want(i+n, "the rest of "+word)
}
