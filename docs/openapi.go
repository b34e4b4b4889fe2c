package docs

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"

	"go.yaml.in/yaml/v3"
)

//go:embed openapi.yaml
var openAPI []byte

// OpenAPI returns the document as JSON, its members in the order in which they are written. The caller owns it.
func OpenAPI() ([]byte, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(openAPI, &root); err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	var b bytes.Buffer
	if err := appendNode(&b, &root); err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	return b.Bytes(), nil
}

// appendNode writes a node as JSON.
func appendNode(b *bytes.Buffer, n *yaml.Node) error {
	switch n.Kind {
	case yaml.DocumentNode:
		return appendNode(b, n.Content[0])
	case yaml.AliasNode:
		return appendNode(b, n.Alias)
	case yaml.MappingNode:
		return appendAll(b, n, "{,}", func(i int) error {
			if i%2 == 0 {
				return appendValue(b, n.Content[i].Value) // Also 200 is a name.
			}
			return appendNode(b, n.Content[i])
		})
	case yaml.SequenceNode:
		return appendAll(b, n, "[,]", func(i int) error { return appendNode(b, n.Content[i]) })
	}
	var value any
	if err := n.Decode(&value); err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	return appendValue(b, value)
}

// appendAll writes what a node holds between two brackets. In a mapping every second one is the value of a name.
func appendAll(b *bytes.Buffer, n *yaml.Node, marks string, one func(i int) error) error {
	b.WriteByte(marks[0])
	for i := range n.Content {
		switch {
		case i == 0:
		case n.Kind == yaml.MappingNode && i%2 == 1:
			b.WriteByte(':')
		default:
			b.WriteByte(marks[1])
		}
		if err := one(i); err != nil {
			return err
		}
	}
	b.WriteByte(marks[2])
	return nil
}

func appendValue(b *bytes.Buffer, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("write %v as JSON: %w", value, err)
	}
	b.Write(text)
	return nil
}
