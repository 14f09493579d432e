package openrpc

import (
	"encoding/json"

	"github.com/google/jsonschema-go/jsonschema"
)

// Version is the version of the specification that documents made here follow.
const Version = "1.4.1"

// A Document describes a service.
type Document struct {
	// OpenRPC is the version of the specification.
	OpenRPC string `json:"openrpc"`
	// Info is about the service as a whole.
	Info Info `json:"info"`
	// Servers say where the service is.
	Servers []Server `json:"servers,omitempty"`
	// Methods are what it offers. Their names are unique.
	Methods []*Method `json:"methods"`
	// Components are what other parts refer to; may be nil.
	Components *Components `json:"components,omitempty"`
	// ExternalDocs says where there is more; may be nil.
	ExternalDocs *ExternalDocs `json:"externalDocs,omitempty"`
}

// Info is about a service as a whole.
type Info struct {
	// Title is the name of the service, Version that of its interface. Both have
	// to be there.
	Title   string `json:"title"`
	Version string `json:"version"`
	// Description is for people, in Markdown.
	Description string `json:"description,omitempty"`
	// TermsOfService is a URL.
	TermsOfService string `json:"termsOfService,omitempty"`
	// Contact says whom to ask, License what is allowed; both may be nil.
	Contact *Contact `json:"contact,omitempty"`
	License *License `json:"license,omitempty"`
}

// Contact says whom to ask.
type Contact struct {
	// Name is a person's or an organization's; all may be empty.
	Name  string `json:"name,omitempty"`
	URL   string `json:"url,omitempty"`
	Email string `json:"email,omitempty"`
}

// License says under which terms a service can be used.
type License struct {
	// Name is that of the license, URL where its text is; both may be empty.
	Name string `json:"name,omitempty"`
	URL  string `json:"url,omitempty"`
}

// A Server is a place where a service is.
type Server struct {
	// Name tells it from others.
	Name string `json:"name,omitempty"`
	// URL is where it is. It has to be there.
	URL string `json:"url"`
	// Summary and Description are for people.
	Summary     string `json:"summary,omitempty"`
	Description string `json:"description,omitempty"`
}

// ExternalDocs says where there is more to read.
type ExternalDocs struct {
	// Description is for people.
	Description string `json:"description,omitempty"`
	// URL is where it is. It has to be there.
	URL string `json:"url"`
}

// A ParamStructure says how a method takes its params.
type ParamStructure string

// The structures. An empty one means Either.
const (
	ByName     ParamStructure = "by-name"
	ByPosition ParamStructure = "by-position"
	Either     ParamStructure = "either"
)

// A Method describes a method.
type Method struct {
	// Name is what a request calls it by.
	Name string `json:"name"`
	// Summary is one sentence for people, Description as many as are needed, in
	// Markdown.
	Summary     string `json:"summary,omitempty"`
	Description string `json:"description,omitempty"`
	// Tags sort methods into groups.
	Tags []Tag `json:"tags,omitempty"`
	// Deprecated says that it should not be used any more.
	Deprecated bool `json:"deprecated,omitzero"`
	// ParamStructure says how Params are given.
	ParamStructure ParamStructure `json:"paramStructure,omitempty"`
	// Params are in the order of positions, those that may be left out last. Their
	// names are unique.
	Params []*ContentDescriptor `json:"params"`
	// ParamsSchema describes the params as a whole where Params cannot; nil if
	// they can. It is an extension; see the package's documentation.
	ParamsSchema *jsonschema.Schema `json:"x-params,omitempty"`
	// Result is nil if the method is for notifications only.
	Result *ContentDescriptor `json:"result,omitempty"`
	// Errors are those that the service adds to those of JSON-RPC. Their codes are
	// unique.
	Errors []*Error `json:"errors,omitempty"`
	// Examples are calls with what comes of them.
	Examples []*ExamplePairing `json:"examples,omitempty"`
	// ExternalDocs says where there is more; may be nil.
	ExternalDocs *ExternalDocs `json:"externalDocs,omitempty"`
}

// A Tag is the name of a group of methods.
type Tag struct {
	// Ref is a reference in place of all else, until [Decode] has followed it.
	Ref string `json:"$ref,omitempty"`
	// Name has to be there.
	Name        string `json:"name,omitempty"`
	Description string `json:"description,omitempty"`
}

// A ContentDescriptor describes a parameter or a result.
type ContentDescriptor struct {
	// Ref is a reference in place of all else, until [Decode] has followed it.
	Ref string `json:"$ref,omitempty"`
	// Name is the name of a parameter, or one for people.
	Name string `json:"name,omitempty"`
	// Summary and Description are for people.
	Summary     string `json:"summary,omitempty"`
	Description string `json:"description,omitempty"`
	// Required says that a parameter cannot be left out.
	Required bool `json:"required,omitzero"`
	// Schema describes its values. It has to be there.
	Schema *jsonschema.Schema `json:"schema,omitempty"`
	// Deprecated says that it should not be used any more.
	Deprecated bool `json:"deprecated,omitzero"`
}

// An Error is an error object that a method may answer with.
type Error struct {
	// Ref is a reference in place of all else, until [Decode] has followed it.
	Ref string `json:"$ref,omitempty"`
	// Code and Message are as in the answer.
	Code    int64  `json:"code"`
	Message string `json:"message"`
	// Data is a JSON value, or nil.
	Data json.RawMessage `json:"data,omitzero"`
}

// An ExamplePairing is a call with what comes of it.
type ExamplePairing struct {
	// Ref is a reference in place of all else, until [Decode] has followed it.
	Ref string `json:"$ref,omitempty"`
	// Name tells it from others. It has to be there.
	Name        string `json:"name,omitempty"`
	Description string `json:"description,omitempty"`
	// Params are the values given; see [ExamplePairing.Call].
	Params []*Example `json:"params"`
	// Result is nil for a notification.
	Result *Example `json:"result,omitempty"`
}

// An Example is a value.
type Example struct {
	// Ref is a reference in place of all else, until [Decode] has followed it.
	Ref string `json:"$ref,omitempty"`
	// Name is the name of the parameter, or one for people.
	Name        string `json:"name,omitempty"`
	Summary     string `json:"summary,omitempty"`
	Description string `json:"description,omitempty"`
	// Value is a JSON value. It has to be there.
	Value json.RawMessage `json:"value,omitzero"`
}

// Components are parts of a document that others refer to, by name.
type Components struct {
	Schemas            map[string]*jsonschema.Schema `json:"schemas,omitempty"`
	ContentDescriptors map[string]*ContentDescriptor `json:"contentDescriptors,omitempty"`
	Errors             map[string]*Error             `json:"errors,omitempty"`
	Examples           map[string]*Example           `json:"examples,omitempty"`
	ExamplePairings    map[string]*ExamplePairing    `json:"examplePairings,omitempty"`
	Tags               map[string]*Tag               `json:"tags,omitempty"`
}

// Method returns the method called name, or nil.
func (d *Document) Method(name string) *Method {
	for _, m := range d.Methods {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// Schemas returns the schemas that others refer to. It may be nil.
func (d *Document) Schemas() map[string]*jsonschema.Schema {
	if d.Components == nil {
		return nil
	}
	return d.Components.Schemas
}
