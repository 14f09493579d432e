package app_test

import (
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/polyport/polyport/app"
)

// TestCallsAreLoggedAtDebug, and at no other level, without params that nobody asked
// to see.
func TestCallsAreLoggedAtDebug(t *testing.T) {
	for _, tt := range []struct {
		level slog.Level
		want  int
	}{{slog.LevelDebug, 2}, {slog.LevelInfo, 0}} {
		t.Run(tt.level.String(), func(t *testing.T) {
			r := start(t, app.Config{Log: app.LogConfig{Level: tt.level}})
			c := dial(t, r.url(), nil)
			if err := c.Call(t.Context(), "Echo", json.RawMessage(`{"password":"hush"}`), nil); err != nil {
				t.Fatal(err)
			}
			if err := c.Call(t.Context(), "Fail", []any{7, "seven"}, nil); err == nil {
				t.Error("Fail = nil, want an error")
			}
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			records := r.log.records(t, "call served")
			if len(records) != tt.want {
				t.Fatalf("%d records of calls, want %d:\n%s", len(records), tt.want, r.log)
			}
			for i, want := range []map[string]any{
				{"level": "DEBUG", "method": "Echo", "outcome": "answered", "code": nil, "params": nil},
				{"level": "INFO", "method": "Fail", "outcome": "answered", "code": 7.0, "err": "seven (7)", "params": nil},
			}[:tt.want] {
				for k, v := range want {
					if records[i][k] != v {
						t.Errorf("record %d has %s %v, want %v", i, k, records[i][k], v)
					}
				}
			}
		})
	}
}
