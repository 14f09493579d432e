package rpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/rpc"
)

// calculator has methods of all forms that Register takes, and of some that
// it passes over.
type calculator struct {
	memory int
}

func (c *calculator) Add(_ context.Context, terms []int) (int, error) {
	for _, t := range terms {
		c.memory += t
	}
	return c.memory, nil
}

func (c *calculator) Set(_ context.Context, p struct {
	Value int `json:"value"`
},
) error {
	if p.Value < 0 {
		return rpc.Errorf(7, "%d is below zero", p.Value)
	}
	c.memory = p.Value
	return nil
}

func (c *calculator) Get(context.Context) (int, error) { return c.memory, nil }

func (c *calculator) Clear(context.Context) error {
	c.memory = 0
	return nil
}

func (c *calculator) Raw(_ context.Context, p json.RawMessage) (json.RawMessage, error) {
	return p, nil
}

func (c *calculator) BadRaw(context.Context) (json.RawMessage, error) {
	return json.RawMessage(`{`), nil
}

func (c *calculator) Nothing(context.Context) (any, error) { return nil, nil }

func (c *calculator) Typed(_ context.Context, p *point) (*point, error) { return p, nil }

func (c *calculator) Crash(context.Context) error { panic("as expected") }

func (c *calculator) NoContext(int) (int, error)                             { return 0, nil }
func (c *calculator) NoError(context.Context) int                            { return 0 }
func (c *calculator) NoResults(context.Context)                              {}
func (c *calculator) ManyParams(context.Context, int, int) error             { return nil }
func (c *calculator) ManyResults(context.Context) (int, int, error)          { return 0, 0, nil }
func (c *calculator) ErrorFirst(context.Context) (error, int)                { return nil, 0 } //nolint:revive,staticcheck // the wrong order is the point
func (c *calculator) Variadic(context.Context, ...int) error                 { return nil }
func (c *calculator) String() string                                         { return "" }
func (c *calculator) unexported(_ context.Context, terms []int) (int, error) { return len(terms), nil }
func (c *calculator) OwnError(context.Context) (int, *rpc.Error)             { return 0, nil }
func (c *calculator) LateContext(_ []int, _ context.Context) (int, error)    { return 0, nil } //nolint:revive // as ErrorFirst

var _ = (*calculator).unexported

func TestRegister(t *testing.T) {
	mux := rpc.NewMux(nil)
	if err := mux.Register("Calc", new(calculator)); err != nil {
		t.Fatalf("Register() = %v, want nil", err)
	}
	want := []string{
		"Calc.Add", "Calc.BadRaw", "Calc.Clear", "Calc.Crash", "Calc.Get", "Calc.Nothing", "Calc.Raw", "Calc.Set", "Calc.Typed",
	}
	if diff := cmp.Diff(want, mux.Methods()); diff != "" {
		t.Errorf("Methods() (-want +got):\n%s", diff)
	}
	c := serve(t, memURL, mux, nil).client(nil)
	for _, tt := range []struct {
		method, params, want string
		code                 rpc.Code
	}{
		{"Calc.Add", `[1,2,3]`, `6`, 0},
		{"Calc.Add", `[4]`, `10`, 0}, // the same object
		{"Calc.Add", `{"terms":[4]}`, ``, rpc.CodeInvalidParams},
		{"Calc.Set", `{"value":5}`, `null`, 0},
		{"Calc.Get", ``, `5`, 0},
		{"Calc.Get", `[]`, `5`, 0},
		{"Calc.Get", `[1]`, ``, rpc.CodeInvalidParams},
		{"Calc.Set", `[6]`, `null`, 0},
		{"Calc.Set", `[-1]`, ``, 7},
		{"Calc.Set", `[]`, ``, rpc.CodeInvalidParams},
		{"Calc.Get", ``, `6`, 0},
		{"Calc.Clear", ``, `null`, 0},
		{"Calc.Get", `{}`, `0`, 0},
		{"Calc.Raw", `{"a": 1}`, `{"a": 1}`, 0},
		{"Calc.Raw", ``, `null`, 0},
		{"Calc.BadRaw", ``, ``, rpc.CodeInternal},
		{"Calc.Nothing", ``, `null`, 0},
		{"Calc.Typed", `[1,2]`, `{"x":1,"y":2}`, 0},
		{"Calc.Typed", `[1]`, ``, rpc.CodeInvalidParams},
		{"Calc.Crash", ``, ``, rpc.CodeInternal},
		{"Calc.NoError", ``, ``, rpc.CodeMethodNotFound},
		{"Get", ``, ``, rpc.CodeMethodNotFound},
		{"calc.get", ``, ``, rpc.CodeMethodNotFound},
	} {
		var params any
		if tt.params != "" {
			params = json.RawMessage(tt.params)
		}
		got, err := rpc.Call[json.RawMessage](t.Context(), c, tt.method, params)
		switch {
		case tt.code != 0:
			isCode(t, tt.method, err, tt.code)
		case err != nil || string(got) != tt.want:
			t.Errorf("%s(%s) = %s, %v, want %s, nil", tt.method, tt.params, got, err, tt.want)
		}
	}
}

// value has its methods on the value.
type value struct{ n int }

func (v value) Get(context.Context) (int, error) { return v.n, nil }

func TestRegisterForms(t *testing.T) {
	mux := rpc.NewMux(nil)
	for _, tt := range []struct {
		namespace string
		service   any
		want      string
	}{
		{"", value{1}, "Get"},
		{"Value", value{2}, "Value.Get"},
		{"a.b", &value{3}, "a.b.Get"},
		{"Interface", interface {
			Get(ctx context.Context) (int, error)
		}(value{4}), "Interface.Get"},
		{"Embedded", struct{ *value }{&value{5}}, "Embedded.Get"},
	} {
		if err := mux.Register(tt.namespace, tt.service); err != nil {
			t.Errorf("Register(%q, %T) = %v, want nil", tt.namespace, tt.service, err)
		}
		if !slices.Contains(mux.Methods(), tt.want) {
			t.Errorf("Register(%q, %T) added no %s; there are %v", tt.namespace, tt.service, tt.want, mux.Methods())
		}
	}
	c := serve(t, memURL, mux, nil).client(nil)
	for i, method := range []string{"Get", "Value.Get", "a.b.Get", "Interface.Get", "Embedded.Get"} {
		if got, err := rpc.Call[int](t.Context(), c, method, nil); err != nil || got != i+1 {
			t.Errorf("%s = %v, %v, want %d, nil", method, got, err, i+1)
		}
	}
}

func TestRegisterNothing(t *testing.T) {
	for _, service := range []any{struct{}{}, 5, "x", new(int), calculator{}, errors.New("x"), nil} {
		mux := rpc.NewMux(nil)
		var err error
		if v := panics(func() { err = mux.Register("S", service) }); v != nil {
			t.Errorf("Register(%T) panics with %v, want an error", service, v)
			continue
		}
		if err == nil || !strings.HasPrefix(err.Error(), "rpc: ") {
			t.Errorf("Register(%T) = %v, want an error", service, err)
		}
		if got := mux.Methods(); len(got) != 0 {
			t.Errorf("Register(%T) added %v, want nothing", service, got)
		}
	}
}

// panics returns what f panics with.
func panics(f func()) (v any) {
	defer func() { v = recover() }()
	f()
	return nil
}

func TestRegistrationPanics(t *testing.T) {
	ok := func(context.Context, struct{}) (any, error) { return nil, nil }
	for _, tt := range []struct {
		name string
		f    func(m *rpc.Mux)
		want string
	}{
		{"empty name", func(m *rpc.Mux) { rpc.Handle(m, "", ok) }, "empty or reserved"},
		{"reserved name", func(m *rpc.Mux) { rpc.Handle(m, "rpc.discover", ok) }, `"rpc.discover"`},
		{"reserved name space", func(m *rpc.Mux) { _ = m.Register("rpc", value{}) }, "reserved"},
		{"name taken", func(m *rpc.Mux) { rpc.Handle(m, "a", ok); rpc.Handle(m, "a", ok) }, "a is registered twice"},
		{"name taken by a service", func(m *rpc.Mux) { rpc.Handle(m, "V.Get", ok); _ = m.Register("V", value{}) }, "V.Get is registered twice"},
		{"params chan", func(m *rpc.Mux) {
			rpc.Handle(m, "a", func(context.Context, chan int) (any, error) { return nil, nil })
		}, "chan int"},
		{"params func", func(m *rpc.Mux) {
			rpc.Handle(m, "a", func(context.Context, func()) (any, error) { return nil, nil })
		}, "func()"},
		{"params of an interface with methods", func(m *rpc.Mux) {
			rpc.Handle(m, "a", func(context.Context, error) (any, error) { return nil, nil })
		}, "error"},
		{"params complex", func(m *rpc.Mux) {
			rpc.Handle(m, "a", func(context.Context, complex128) (any, error) { return nil, nil })
		}, "complex128"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := panics(func() { tt.f(rpc.NewMux(nil)) })
			if text, _ := v.(string); !strings.HasPrefix(text, "rpc: ") || !strings.Contains(text, tt.want) {
				t.Errorf("panic(%v), want one that says %q", v, tt.want)
			}
		})
	}
}

// TestHandleWhileServing: methods may be added to a Mux in use.
func TestHandleWhileServing(t *testing.T) {
	mux := rpc.NewMux(nil)
	c := serve(t, memURL, mux, nil).client(nil)
	isCode(t, "before", c.Call(t.Context(), "late", nil, nil), rpc.CodeMethodNotFound)
	rpc.Handle(mux, "late", func(context.Context, struct{}) (int, error) { return 5, nil })
	if got, err := rpc.Call[int](t.Context(), c, "late", nil); err != nil || got != 5 {
		t.Errorf("after = %v, %v, want 5, nil", got, err)
	}
}
