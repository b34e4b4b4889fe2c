package docs

import (
	"embed"
	"fmt"
)

//go:embed page.html page.css redoc/redoc.standalone.js
var pages embed.FS

// The files of the page that shows OpenAPI to people. PageName is the page; it asks for the others as /docs/NAME.
const (
	PageName   = "page.html"
	StyleName  = "page.css"
	ScriptName = "redoc.standalone.js" // of the package redoc, as it was published (MIT)
)

// PageFile returns a file of the page by its name.
func PageFile(name string) ([]byte, error) {
	path := name
	if name == ScriptName {
		path = "redoc/" + name
	}
	content, err := pages.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the page %q: %w", name, err)
	}
	return content, nil
}
