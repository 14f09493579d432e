package openrpc

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// resolve puts what references refer to in their place. Those between schemas
// stay, for schemas may contain themselves.
func (d *Document) resolve() error {
	c := d.Components
	if c == nil {
		c = new(Components)
	}
	done := map[*ExamplePairing]bool{} // many methods may share one
	for _, m := range d.Methods {
		if m == nil {
			return invalid("a method is null")
		}
		if err := c.resolveMethod(m, done); err != nil {
			return err
		}
	}
	return nil
}

func (c *Components) resolveMethod(m *Method, done map[*ExamplePairing]bool) error {
	for i := range m.Params {
		if err := follow(&m.Params[i], "contentDescriptors", c.ContentDescriptors); err != nil {
			return err
		}
	}
	if err := followOptional(&m.Result, "contentDescriptors", c.ContentDescriptors); err != nil {
		return err
	}
	for i := range m.Errors {
		if err := follow(&m.Errors[i], "errors", c.Errors); err != nil {
			return err
		}
	}
	for i := range m.Tags {
		tag := &m.Tags[i]
		if err := follow(&tag, "tags", c.Tags); err != nil {
			return err
		}
		m.Tags[i] = *tag
	}
	for i := range m.Examples {
		if err := c.resolveExample(&m.Examples[i], done); err != nil {
			return err
		}
	}
	return nil
}

func (c *Components) resolveExample(e **ExamplePairing, done map[*ExamplePairing]bool) error {
	if err := follow(e, "examplePairings", c.ExamplePairings); err != nil {
		return err
	}
	if done[*e] {
		return nil
	}
	done[*e] = true
	for i := range (*e).Params {
		if err := follow(&(*e).Params[i], "examples", c.Examples); err != nil {
			return err
		}
	}
	return followOptional(&(*e).Result, "examples", c.Examples)
}

// A referrer may be a reference.
type referrer interface{ ref() string }

func (t *Tag) ref() string               { return t.Ref }
func (c *ContentDescriptor) ref() string { return c.Ref }
func (e *Error) ref() string             { return e.Ref }
func (e *ExamplePairing) ref() string    { return e.Ref }
func (e *Example) ref() string           { return e.Ref }

func followOptional[T any, P interface {
	*T
	referrer
}](at *P, kind string, among map[string]P) error {
	if *at == nil {
		return nil
	}
	return follow(at, kind, among)
}

// follow replaces a reference by what it refers to.
func follow[T any, P interface {
	*T
	referrer
}](at *P, kind string, among map[string]P) error {
	if *at == nil {
		return invalid("null in the place of one of %s", kind)
	}
	ref := (*at).ref()
	if ref == "" {
		return nil
	}
	name, ok := strings.CutPrefix(ref, "#/components/"+kind+"/")
	if !ok {
		return invalid("the reference %.100q does not lead to its own components/%s", ref, kind)
	}
	target := among[jsontext.Pointer("/"+name).LastToken()]
	if target == nil || target.ref() != "" {
		return invalid("the reference %.100q leads nowhere", ref)
	}
	*at = target
	return nil
}
