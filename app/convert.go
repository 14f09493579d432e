package app

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/transport"
)

// convert makes a value of type t from what a file, a flag or, as text, an
// environment variable says. Nothing is guessed: 1.5 is no whole number, and a
// password is text.
func convert(t reflect.Type, v any) (any, error) {
	if t == reflect.TypeFor[map[string]Secret]() {
		return toUsers(v)
	}
	if t == reflect.TypeFor[map[string]string]() {
		return toTexts(v)
	}
	if t == reflect.TypeFor[[]Secret]() {
		return toSecrets(v)
	}
	if t == reflect.TypeFor[broker.Rules]() {
		return fromJSON[broker.Rules](v, "a list of rules such as {user: ann, send: [/queue/calc]}")
	}
	if t == reflect.TypeFor[map[string]ServiceConfig]() {
		return fromJSON[map[string]ServiceConfig](v, "services by name, such as {Math: {workers: 4}}")
	}
	if v != nil && reflect.TypeOf(v) == t {
		return v, nil
	}
	switch reflect.Zero(t).Interface().(type) {
	case time.Duration:
		return toDuration(v)
	case slog.Level:
		return toLevel(v)
	case int:
		return toInt(v)
	case bool:
		return toBool(v)
	case transport.Profile:
		s, err := toString(v)
		if err != nil {
			return nil, err
		}
		return transport.Profile(s.(string)), nil
	case TLSVersion:
		return TLSVersion(fmt.Sprint(v)), nil // YAML takes 1.2 for a number
	case string:
		return toString(v)
	case []string:
		return toList(v)
	}
	return nil, fmt.Errorf("app: no conversion to %s", t)
}

func expected(what string, v any) error {
	if v == nil {
		return fmt.Errorf("expected %s, got nothing", what)
	}
	return fmt.Errorf("expected %s, got %v", what, v)
}

func toDuration(v any) (any, error) {
	if text, ok := v.(string); ok {
		if d, err := time.ParseDuration(text); err == nil {
			return d, nil
		}
	}
	return nil, expected(`a duration such as 500ms, 15s or 2m`, v)
}

func toLevel(v any) (any, error) {
	var level slog.Level
	if text, ok := v.(string); ok && level.UnmarshalText([]byte(text)) == nil {
		return level, nil
	}
	return nil, expected("debug, info, warn or error", v)
}

func toInt(v any) (any, error) {
	switch n := v.(type) {
	case int:
		return n, nil
	case string:
		if i, err := strconv.Atoi(n); err == nil {
			return i, nil
		}
	}
	return nil, expected("a whole number", v)
}

func toBool(v any) (any, error) {
	switch v {
	case true, "true":
		return true, nil
	case false, "false":
		return false, nil
	}
	return nil, expected("true or false", v)
}

func toString(v any) (any, error) {
	if s, ok := v.(string); ok {
		return s, nil
	}
	return nil, expected("text", v)
}

// toList takes a list of texts, or one text with commas.
func toList(v any) (any, error) {
	switch list := v.(type) {
	case string:
		var all []string
		for s := range strings.SplitSeq(list, ",") {
			if s = strings.TrimSpace(s); s != "" {
				all = append(all, s)
			}
		}
		return all, nil
	case []any:
		all := make([]string, len(list))
		for i, e := range list {
			s, ok := e.(string)
			if !ok {
				return nil, expected("a list of texts", v)
			}
			all[i] = s
		}
		return all, nil
	}
	return nil, expected("a list of texts", v)
}

// toSecrets takes a list of texts. Its errors show no values.
func toSecrets(v any) (any, error) {
	texts, ok := v.([]string)
	if !ok {
		list, err := toList(v)
		if err != nil {
			return nil, errors.New("expected a list of texts")
		}
		texts, _ = list.([]string)
	}
	all := make([]Secret, len(texts))
	for i, s := range texts {
		all[i] = Secret(s)
	}
	return all, nil
}

// toUsers takes passwords by name, or a text NAME:PASSWORD,NAME:PASSWORD. Its
// errors show no values. Its result is of the type that maps have in a file, so
// that users of several sources are merged.
func toUsers(v any) (any, error) {
	users := map[string]any{}
	switch given := v.(type) {
	case map[string]any:
		for name, password := range given {
			text, ok := password.(string)
			if !ok {
				return nil, fmt.Errorf("the password of %q must be text; put it in quotes", name)
			}
			users[name] = text
		}
	case map[string]Secret:
		for name, password := range given {
			users[name] = string(password)
		}
	case string:
		for pair := range strings.SplitSeq(given, ",") {
			name, password, ok := strings.Cut(strings.TrimSpace(pair), ":")
			if !ok || name == "" {
				return nil, errors.New("expected NAME:PASSWORD,NAME:PASSWORD")
			}
			users[name] = password
		}
	default:
		return nil, errors.New("expected passwords by the names of users")
	}
	return users, nil
}

// toTexts takes texts by name, or a text NAME:TEXT,NAME:TEXT. Its result is of the
// type that maps have in a file, so that those of several sources are merged.
func toTexts(v any) (any, error) {
	texts := map[string]any{}
	switch given := v.(type) {
	case map[string]any:
		for name, value := range given {
			text, ok := value.(string)
			if !ok {
				return nil, fmt.Errorf("%s: %w", name, expected("text; put it in quotes", value))
			}
			texts[name] = text
		}
	case map[string]string:
		for name, text := range given {
			texts[name] = text
		}
	case string:
		for pair := range strings.SplitSeq(given, ",") {
			name, text, ok := strings.Cut(strings.TrimSpace(pair), ":")
			if !ok || name == "" {
				return nil, fmt.Errorf("expected NAME:TEXT,NAME:TEXT, got %q", given)
			}
			texts[name] = text
		}
	default:
		return nil, expected("texts by name", v)
	}
	return texts, nil
}
