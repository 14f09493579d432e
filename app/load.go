package app

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/structs"
	"github.com/knadh/koanf/v2"
)

// EnvPrefix begins the names of the environment variables that [Load] reads.
const EnvPrefix = "POLYPORT_"

// Sources are where [Load] looks for settings. The zero value has only the
// defaults.
type Sources struct {
	// File is a YAML file. Empty means none.
	File string
	// Environ has the form of [os.Environ].
	Environ []string
	// Flags are values by their setting's key, such as "queue.depth": of the
	// field's type in [Config], or text.
	Flags map[string]any
}

// Load returns the defaults, overlaid by the file, that by the environment,
// and that by the flags. A list is replaced as a whole; users of all sources
// are let in. A key of the file or the flags that is no setting is an error
// that names it; unknown environment variables are passed over, because
// Kubernetes makes some of that prefix for a service called polyport. All
// errors are of type [*ConfigError].
func Load(from Sources) (Config, error) {
	l := loader{k: koanf.New("."), known: map[string]setting{}}
	for _, s := range settings() {
		l.known[s.key] = s
	}
	defaults := Config{}.WithDefaults()
	defaults.Listen = nil // it depends on the others
	if err := l.k.Load(structs.Provider(defaults, "koanf"), nil); err != nil {
		return Config{}, &ConfigError{Err: err}
	}
	for _, load := range []func(Sources) error{l.file, l.environ, l.flags} {
		if err := load(from); err != nil {
			return Config{}, err
		}
	}
	var c Config
	if err := l.k.Unmarshal("", &c); err != nil {
		return Config{}, &ConfigError{Err: err}
	}
	if len(c.Services) == 0 {
		c.Services = nil
	}
	if len(c.Broker.Access) == 0 {
		c.Broker.Access = nil
	}
	if err := c.Validate(); err != nil {
		return Config{}, err
	}
	return c.WithDefaults(), nil
}

type loader struct {
	k     *koanf.Koanf
	known map[string]setting
}

// values is a provider of settings that are in memory, by their nested keys.
type values map[string]any

func (v values) Read() (map[string]any, error) { return v, nil }

func (v values) ReadBytes() ([]byte, error) { return nil, errors.New("app: values have no bytes") }

func (l *loader) file(from Sources) error {
	if from.File == "" {
		return nil
	}
	k := koanf.New(".")
	if err := k.Load(file.Provider(from.File), yaml.Parser()); err != nil {
		return &ConfigError{Source: from.File, Err: err}
	}
	tree := k.Raw()
	if err := l.check(tree, ""); err != nil {
		err.Source = from.File
		return err
	}
	return l.k.Load(values(tree), nil)
}

// check converts the leaves of tree to their types, in place.
func (l *loader) check(tree map[string]any, prefix string) *ConfigError {
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		key := prefix + name
		if s, ok := l.known[key]; ok {
			v, err := convert(s.typ, tree[name])
			if err != nil {
				return &ConfigError{Key: key, Err: err}
			}
			tree[name] = v
			continue
		}
		section := l.namesIn(key + ".")
		sub, isMap := tree[name].(map[string]any)
		switch {
		case len(section) == 0:
			return l.unknown(key)
		case tree[name] == nil: // a heading with nothing below it
			delete(tree, name)
		case !isMap:
			return &ConfigError{Key: key, Err: fmt.Errorf("expected settings below it: %s", strings.Join(section, ", "))}
		default:
			if err := l.check(sub, key+"."); err != nil {
				return err
			}
		}
	}
	return nil
}

// unknown is the error for a key that is no setting. It names those near it.
func (l *loader) unknown(key string) *ConfigError {
	prefix := key[:strings.LastIndexByte(key, '.')+1]
	return &ConfigError{Err: fmt.Errorf("unknown key %q; known are %s%s", key, prefix, strings.Join(l.namesIn(prefix), ", "+prefix))}
}

// namesIn returns what may follow prefix in a key, up to the next dot.
func (l *loader) namesIn(prefix string) []string {
	names := map[string]bool{}
	for key := range l.known {
		if rest, ok := strings.CutPrefix(key, prefix); ok {
			name, _, _ := strings.Cut(rest, ".")
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func (l *loader) environ(from Sources) error {
	byName := map[string]setting{}
	for key, s := range l.known {
		byName[EnvName(key)] = s
	}
	var failed error
	provider := env.Provider(".", env.Opt{
		Prefix:      EnvPrefix,
		EnvironFunc: func() []string { return from.Environ },
		TransformFunc: func(name, text string) (string, any) {
			s, ok := byName[name]
			if !ok {
				return "", nil
			}
			v, err := convert(s.typ, text)
			if err != nil && failed == nil {
				failed = &ConfigError{Source: name, Err: err}
			}
			return s.key, v
		},
	})
	if err := l.k.Load(provider, nil); err != nil {
		return &ConfigError{Source: "environment", Err: err}
	}
	return failed
}

// EnvName returns the environment variable of a setting: POLYPORT_QUEUE_DEPTH
// for "queue.depth".
func EnvName(key string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

func (l *loader) flags(from Sources) error {
	for _, key := range slices.Sorted(maps.Keys(from.Flags)) {
		s, ok := l.known[key]
		if !ok {
			return l.unknown(key)
		}
		v, err := convert(s.typ, from.Flags[key])
		if err != nil {
			return &ConfigError{Key: key, Err: err}
		}
		if err := l.k.Set(key, v); err != nil {
			return &ConfigError{Key: key, Err: err}
		}
	}
	return nil
}
