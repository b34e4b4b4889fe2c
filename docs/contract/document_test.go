package contract

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/meterd/meterd/event"
)

func newChecker(t *testing.T) *Checker {
	t.Helper()
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The document is OpenAPI 3.1, and what it refers to is there.
func TestDocument(t *testing.T) {
	c := newChecker(t)
	if err := c.Document.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// operations calls fn for every call of the document.
func (c *Checker) operations(fn func(name string, o *openapi3.Operation)) {
	for path, item := range c.Document.Paths.Map() {
		for method, o := range item.Operations() {
			fn(method+" "+path, o)
		}
	}
}

// roles is how a call says which roles it takes.
var roles = regexp.MustCompile(
	`^Roles: (admin|billing|gateway|viewer)(, (billing|gateway|viewer))*(, not bound to an account)?\.`,
)

// Each call says who may make it and what it may be answered, and has an id and a tag of its own.
func TestCalls(t *testing.T) {
	c := newChecker(t)
	tags, ids := map[string]bool{}, map[string]bool{}
	for _, tag := range c.Document.Tags {
		tags[tag.Name] = true
	}
	c.operations(func(name string, o *openapi3.Operation) {
		isPublic := o.Security != nil && len(*o.Security) == 0
		if isPublic == roles.MatchString(o.Description) {
			t.Errorf("%s must begin with its roles, if and only if it needs a token: %s", name, o.Description)
		}
		if len(o.Tags) != 1 || !tags[o.Tags[0]] || o.Summary == "" || ids[o.OperationID] || o.OperationID == "" {
			t.Errorf("%s: tags %v, id %q, summary %q", name, o.Tags, o.OperationID, o.Summary)
		}
		ids[o.OperationID] = true
		if o.Responses.Default() != nil {
			t.Errorf("%s answers something else", name)
		}
		if o.Responses.Status(503) == nil && name != "GET /livez" {
			t.Errorf("%s never answers 503, which each does while the daemon starts", name)
		}
		if !isPublic && (o.Responses.Status(401) == nil || o.Responses.Status(403) == nil) {
			t.Errorf("%s never refuses a token", name)
		}
	})
}

// Each body has an example, and all examples are what they are examples of.
func TestExamples(t *testing.T) {
	c := newChecker(t)
	look := func(name string, content openapi3.Content) {
		for kind, media := range content {
			values := exampleValues(media)
			if len(values) == 0 && isJSON(kind) && !hasExample(media.Schema, 3) {
				t.Errorf("%s: %s has no example", name, kind)
			}
			if strings.HasPrefix(kind, "text/") && len(values) == 0 {
				t.Errorf("%s: %s has no example", name, kind)
			}
			for _, value := range values {
				c.compare(t, name+" "+kind, kind, media.Schema, value)
			}
		}
	}
	c.operations(func(name string, o *openapi3.Operation) {
		if o.RequestBody != nil {
			look(name, o.RequestBody.Value.Content)
		}
		for status, r := range o.Responses.Map() {
			look(name+" "+status, r.Value.Content)
		}
	})
	for name, schema := range c.Document.Components.Schemas {
		for _, value := range schema.Value.Examples {
			c.compare(t, name, "json", &openapi3.SchemaRef{Ref: "#/components/schemas/" + name}, value)
		}
	}
}

func isJSON(kind string) bool { return strings.HasSuffix(kind, "json") }

func exampleValues(media *openapi3.MediaType) (values []any) {
	if media.Example != nil {
		values = append(values, media.Example)
	}
	for _, e := range media.Examples {
		values = append(values, e.Value.Value)
	}
	return values
}

// hasExample reports whether a schema has an example, or what it consists of has.
func hasExample(ref *openapi3.SchemaRef, deep int) bool {
	s := ref.Value
	if len(s.Examples) > 0 || s.Example != nil {
		return true
	}
	if deep == 0 {
		return false
	}
	parts := slices.Clone(s.AnyOf)
	if s.Items != nil {
		parts = append(parts, s.Items)
	}
	for _, p := range s.Properties {
		parts = append(parts, p)
	}
	return slices.ContainsFunc(parts, func(p *openapi3.SchemaRef) bool { return hasExample(p, deep-1) })
}

func (c *Checker) compare(t *testing.T, name, kind string, schema *openapi3.SchemaRef, value any) {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.checkContent(schema, kind, text); err != nil {
		t.Errorf("an example of %s: %v", name, err)
	}
}

// Each code of a problem has an example with its status and title, and there is no example of another one; each answer
// has examples of its own status.
func TestCodes(t *testing.T) {
	c := newChecker(t)
	known := map[string][]event.Code{}
	for code := event.Code(0); int(code) < event.Codes; code++ {
		if code != event.Accepted && (code == event.InternalError || code.String() != event.InternalError.String()) {
			known[code.String()] = append(known[code.String()], code)
		}
	}
	for name, e := range c.Document.Components.Examples {
		value, _ := e.Value.Value.(map[string]any)
		is := func(code event.Code) bool {
			return value["code"] == name && value["title"] == code.Title() && value["status"] == float64(code.Status())
		}
		if !slices.ContainsFunc(known[name], is) {
			t.Errorf("the example %s is not a problem of the daemon: %v", name, value)
		}
		delete(known, name)
	}
	for name := range known {
		t.Errorf("the code %s has no example", name)
	}
	used := map[string]bool{}
	look := func(name string, r *openapi3.Response) {
		media := r.Content["application/problem+json"]
		if media == nil {
			return
		}
		for key, e := range media.Examples {
			used[key] = true
			value, _ := e.Value.Value.(map[string]any)
			if status, _ := value["status"].(float64); !strings.HasSuffix(name, " "+strconv.Itoa(int(status))) {
				t.Errorf("%s has the example %s, which is another status", name, key)
			}
		}
	}
	c.operations(func(name string, o *openapi3.Operation) {
		for status, r := range o.Responses.Map() {
			if r.Ref != "#/components/responses/PromError" {
				look(name+" "+status, r.Value)
			}
		}
	})
	look("any 405", c.Document.Components.Responses["MethodNotAllowed"].Value)
	for name := range c.Document.Components.Examples {
		if !used[name] {
			t.Errorf("no call answers with %s", name)
		}
	}
}
