package faultconn

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ErrSyntax is wrapped by the errors of [Parse] and [Schedule.Validate].
var ErrSyntax = errors.New("faultconn: bad schedule")

// String returns the schedule as one line that [Parse] turns into the same
// schedule again: the text to print beside a failure.
//
// Its parts are separated by semicolons. The first is the seed, the others are
// rules: direction, unit, At (and, behind a plus sign, For), kind, and Arg
// unless that is zero. Times and durations are written as by [time.Duration].
//
//	seed 7; write byte 120+64 latency 20ms; read op 3 slice; write time 1.5s cut
func (s *Schedule) String() string {
	if s == nil {
		s = &Schedule{}
	}
	b := strconv.AppendUint([]byte("seed "), s.Seed, 10)
	for _, r := range s.Rules {
		b = append(b, "; "...)
		b = append(b, r.String()...)
	}
	return string(b)
}

// String returns the rule as it appears in the text of a [Schedule].
func (r Rule) String() string {
	at := r.Unit.format(r.At)
	if r.For != 0 {
		at += "+" + r.Unit.format(r.For)
	}
	text := fmt.Sprintf("%v %v %s %v", r.Dir, r.Unit, at, r.Kind)
	switch {
	case r.Arg == 0:
		return text
	case r.Kind.valid() && kinds[r.Kind].arg == argDuration:
		return text + " " + time.Duration(r.Arg).String()
	default:
		return text + " " + strconv.FormatInt(r.Arg, 10)
	}
}

func (u Unit) format(n int64) string {
	if u == Time {
		return time.Duration(n).String()
	}
	return strconv.FormatInt(n, 10)
}

// Parse reads the text of a schedule. It is generous about white space, takes
// line ends for semicolons, and needs no seed; the empty text is a schedule
// without faults. The error wraps [ErrSyntax] and quotes the part at fault.
func Parse(text string) (*Schedule, error) {
	s := &Schedule{}
	parts := strings.FieldsFunc(text, func(c rune) bool { return c == ';' || c == '\n' })
	seeded := false
	for _, part := range parts {
		words := strings.Fields(part)
		if len(words) == 0 {
			continue
		}
		if words[0] == "seed" && len(words) == 2 && !seeded && len(s.Rules) == 0 {
			seed, err := strconv.ParseUint(words[1], 10, 64)
			if err != nil {
				return nil, syntaxError(part, err)
			}
			s.Seed, seeded = seed, true
			continue
		}
		r, err := parseRule(words)
		if err != nil {
			return nil, syntaxError(part, err)
		}
		s.Rules = append(s.Rules, r)
	}
	return s, nil
}

func syntaxError(part string, err error) error {
	return fmt.Errorf("%w: %q: %w", ErrSyntax, strings.TrimSpace(part), err)
}

func parseRule(words []string) (Rule, error) {
	var r Rule
	if len(words) < 4 || len(words) > 5 {
		return r, errors.New("want: direction unit at kind argument")
	}
	var err error
	if r.Dir, err = lookup[Dir](dirs[:], words[0]); err != nil {
		return r, err
	}
	if r.Unit, err = lookup[Unit](units[:], words[1]); err != nil {
		return r, err
	}
	at, lasts, isLasting := strings.Cut(words[2], "+")
	if r.At, err = number(at, r.Unit == Time); err != nil {
		return r, err
	}
	if isLasting {
		if r.For, err = number(lasts, r.Unit == Time); err != nil {
			return r, err
		}
	}
	if r.Kind, err = kindNamed(words[3]); err != nil {
		return r, err
	}
	if len(words) == 5 {
		if r.Arg, err = number(words[4], kinds[r.Kind].arg == argDuration); err != nil {
			return r, err
		}
	}
	return r, r.validate()
}

func lookup[T ~uint8](names []string, name string) (T, error) {
	for i, n := range names {
		if n == name && n != "" {
			return T(i), nil
		}
	}
	return 0, fmt.Errorf("unknown word %q", name)
}

func kindNamed(name string) (Kind, error) {
	for _, k := range Kinds() {
		if kinds[k].name == name {
			return k, nil
		}
	}
	return 0, fmt.Errorf("unknown kind %q", name)
}

func number(text string, isTime bool) (int64, error) {
	if isTime {
		d, err := time.ParseDuration(text)
		return int64(d), err
	}
	return strconv.ParseInt(text, 10, 64)
}

// MarshalText returns String, so that a schedule can be a flag
// ([flag.TextVar]) or a field of a configuration. It returns no error.
func (s *Schedule) MarshalText() ([]byte, error) {
	return []byte(s.String()), nil
}

// UnmarshalText sets the schedule to what [Parse] returns.
func (s *Schedule) UnmarshalText(text []byte) error {
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*s = *parsed
	return nil
}
