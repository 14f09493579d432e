package app

import "log/slog"

// A Secret is text that must not be shown. Every way of printing, logging or
// encoding it gives "***"; a conversion to string gives the text.
type Secret string

const hidden = "***"

// String returns "***".
func (Secret) String() string { return hidden }

// GoString returns "***", for the verb %#v.
func (Secret) GoString() string { return hidden }

// LogValue returns "***".
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText returns "***", for encoders of JSON, YAML and the like.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
