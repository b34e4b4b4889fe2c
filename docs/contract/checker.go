package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/meterd/meterd/docs"
)

// Checker compares requests and answers with the document.
type Checker struct {
	Document   *openapi3.T // nobody changes it
	router     routers.Router
	components any // of the document, for references

	mu      sync.Mutex
	schemas map[*openapi3.SchemaRef]*jsonschema.Schema
}

// New reads the document.
func New() (*Checker, error) {
	text, err := docs.OpenAPI()
	if err != nil {
		return nil, err
	}
	var root map[string]any
	if err := json.Unmarshal(text, &root); err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	closeObjects(root)
	if text, err = json.Marshal(root); err != nil {
		return nil, fmt.Errorf("write the document: %w", err)
	}
	c := &Checker{components: root["components"], schemas: map[*openapi3.SchemaRef]*jsonschema.Schema{}}
	if c.Document, err = openapi3.NewLoader().LoadFromData(text); err != nil {
		return nil, fmt.Errorf("load the document: %w", err)
	}
	if c.router, err = gorillamux.NewRouter(c.Document); err != nil {
		return nil, fmt.Errorf("read the document's paths: %w", err)
	}
	return c, nil
}

// closeObjects has objects take no members but those that they name, unless they say otherwise.
func closeObjects(node any) {
	switch node := node.(type) {
	case []any:
		for _, n := range node {
			closeObjects(n)
		}
	case map[string]any:
		for _, n := range node {
			closeObjects(n)
		}
		_, isObject := node["properties"].(map[string]any)
		if _, says := node["additionalProperties"]; isObject && !says {
			node["additionalProperties"] = false
		}
	}
}

// Exchange is a request with its answer. Nil bodies are not looked at.
type Exchange struct {
	Request *http.Request // its body is not read
	Sent    []byte        // its body
	Status  int
	Header  http.Header
	Body    []byte
}

// Check returns how an exchange is not as the document says.
func (c *Checker) Check(x *Exchange) error {
	route, path, err := c.router.FindRoute(plain(x.Request))
	switch {
	case x.Request.Method == http.MethodOptions:
		return nil
	case errors.Is(err, routers.ErrMethodNotAllowed):
		err = c.checkRefusal(x, http.StatusMethodNotAllowed, "MethodNotAllowed")
	case errors.Is(err, routers.ErrPathNotFound):
		err = c.checkRefusal(x, http.StatusNotFound, "NotFound")
	case err == nil:
		err = c.checkCall(x, &openapi3filter.RequestValidationInput{
			Request: x.Request, PathParams: path, Route: route,
			Options: &openapi3filter.Options{
				ExcludeRequestBody: true, SkipSettingDefaults: true,
				AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
			},
		})
	}
	if err != nil {
		return fmt.Errorf("%s %s, answered %d %.300q: %w", x.Request.Method, x.Request.URL, x.Status, x.Body, err)
	}
	return nil
}

// plain is the request to find a call for: the document says nothing of HEAD, which is as GET.
func plain(r *http.Request) *http.Request {
	if r.Method != http.MethodHead {
		return r
	}
	get := r.Clone(r.Context())
	get.Method = http.MethodGet
	return get
}

// checkRefusal looks at an answer of a path, or a method, that there is not.
func (c *Checker) checkRefusal(x *Exchange, status int, response string) error {
	if x.Status != status && x.Status != http.StatusServiceUnavailable {
		return fmt.Errorf("there is no such call: want status %d", status)
	}
	return c.checkBody(c.Document.Components.Responses[response].Value.Content, x)
}

func (c *Checker) checkCall(x *Exchange, in *openapi3filter.RequestValidationInput) error {
	operation := in.Route.Operation
	if x.Status < http.StatusBadRequest {
		if err := openapi3filter.ValidateRequest(x.Request.Context(), in); err != nil {
			return fmt.Errorf("the request: %w", err)
		}
		if err := c.checkSent(operation, x); err != nil {
			return fmt.Errorf("the request's body: %w", err)
		}
	}
	if x.Status == http.StatusNotModified {
		return nil // Without a body.
	}
	err := openapi3filter.ValidateResponse(x.Request.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: x.Status, Header: x.Header,
		Options: &openapi3filter.Options{ExcludeResponseBody: true, IncludeResponseStatus: true},
	})
	if err != nil {
		return fmt.Errorf("the answer: %w", err)
	}
	response := operation.Responses.Status(x.Status)
	if response == nil { // HEAD, whose status kin-openapi does not look at.
		return fmt.Errorf("the answer: status %d is not in the document", x.Status)
	}
	return c.checkBody(response.Value.Content, x)
}

// checkBody looks at media type and body of an answer.
func (c *Checker) checkBody(content openapi3.Content, x *Exchange) error {
	switch {
	case len(content) == 0 && len(x.Body) == 0:
		return nil
	case len(content) == 0:
		return errors.New("the answer has a body")
	}
	kind := x.Header.Get("Content-Type")
	media := content.Get(kind)
	if media == nil {
		return fmt.Errorf("the answer is %q", kind)
	}
	if x.Request.Method == http.MethodHead || x.Body == nil || x.Status == http.StatusPartialContent {
		return nil
	}
	if err := c.checkContent(media.Schema, kind, x.Body); err != nil {
		return fmt.Errorf("the answer's body: %w", err)
	}
	return nil
}

// checkSent looks at the body of a request. Whatever a client calls the JSON of an administrative call, it is read as
// JSON.
func (c *Checker) checkSent(operation *openapi3.Operation, x *Exchange) error {
	if operation.RequestBody == nil {
		return nil
	}
	body := operation.RequestBody.Value
	if len(x.Sent) == 0 {
		if body.Required && x.Sent != nil {
			return errors.New("is needed")
		}
		return nil
	}
	kind := x.Request.Header.Get("Content-Type")
	if only := slices.Collect(maps.Keys(body.Content)); len(only) == 1 {
		kind = only[0]
	}
	media := body.Content.Get(kind)
	switch {
	case media == nil:
		return fmt.Errorf("is %q", kind)
	case x.Request.Header.Get("Content-Encoding") != "":
		return nil // Other tests look at how it is compressed.
	case x.Request.Header.Get("Ce-Specversion") != "" && !strings.Contains(kind, "cloudevents"):
		return nil // The data of a CloudEvent in binary mode.
	case bytes.Contains(x.Body, []byte(`"invalid_event"`)), bytes.Contains(x.Body, []byte(`"payload_too_large"`)):
		return nil // Events of the batch were denied because they are not as the document says.
	}
	return c.checkContent(media.Schema, kind, x.Sent)
}

// checkContent compares a body with a schema, line by line if that is what it consists of. Other than JSON has none.
func (c *Checker) checkContent(schema *openapi3.SchemaRef, kind string, body []byte) error {
	kind, _, _ = strings.Cut(kind, ";")
	switch {
	case kind == "application/x-ndjson":
		lines := 0
		for line := range bytes.Lines(body) {
			if len(bytes.TrimSpace(line)) == 0 {
				continue
			}
			if lines++; lines > linesMax {
				return nil
			}
			if err := c.checkJSON(schema, line); err != nil {
				return fmt.Errorf("line %d: %w", lines, err)
			}
		}
		return nil
	case strings.HasSuffix(kind, "json"):
		return c.checkJSON(schema, body)
	}
	return nil
}

func (c *Checker) checkJSON(schema *openapi3.SchemaRef, body []byte) error {
	compiled, err := c.compiled(schema)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("read JSON: %w", err)
	}
	if err := compiled.Validate(value); err != nil {
		return fmt.Errorf("%.300s: %w", body, err)
	}
	return nil
}

// compiled returns what a schema was compiled to.
func (c *Checker) compiled(schema *openapi3.SchemaRef) (*jsonschema.Schema, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.schemas[schema]; s != nil {
		return s, nil
	}
	text, err := json.Marshal(schema)
	if err != nil {
		return nil, fmt.Errorf("write a schema: %w", err)
	}
	var root map[string]any
	if err := json.Unmarshal(text, &root); err != nil {
		return nil, fmt.Errorf("read a schema: %w", err)
	}
	root["components"] = c.components // Its references begin there.
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	const name = "https://meterd.test/schema"
	if err := compiler.AddResource(name, root); err != nil {
		return nil, fmt.Errorf("add a schema: %w", err)
	}
	s, err := compiler.Compile(name)
	if err != nil {
		return nil, fmt.Errorf("compile a schema: %w", err)
	}
	c.schemas[schema] = s
	return s, nil
}
