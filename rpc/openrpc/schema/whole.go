package schema

import (
	"maps"
	"slices"

	"github.com/google/jsonschema-go/jsonschema"
)

// Whole reports whether a schema is there, and all those inside it: one that
// was decoded has nil where the text has null.
func Whole(s *jsonschema.Schema) bool {
	if s == nil {
		return false
	}
	for _, one := range [...]*jsonschema.Schema{
		s.Items, s.AdditionalItems, s.Contains, s.UnevaluatedItems, s.AdditionalProperties, s.PropertyNames, s.UnevaluatedProperties,
		s.Not, s.If, s.Then, s.Else, s.ContentSchema,
	} {
		if one != nil && !Whole(one) {
			return false
		}
	}
	hole := func(s *jsonschema.Schema) bool { return !Whole(s) }
	for _, list := range [...][]*jsonschema.Schema{s.PrefixItems, s.ItemsArray, s.AllOf, s.AnyOf, s.OneOf} {
		if slices.ContainsFunc(list, hole) {
			return false
		}
	}
	for _, byName := range [...]map[string]*jsonschema.Schema{
		s.Defs, s.Definitions, s.DependencySchemas, s.Properties, s.PatternProperties, s.DependentSchemas,
	} {
		for one := range maps.Values(byName) {
			if hole(one) {
				return false
			}
		}
	}
	return true
}
