package docs_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meterd/meterd/docs"
)

// What is in docs/redoc is what the package published: docs/redoc/fetch.sh has checked it, and nobody has changed it.
func TestRedocIsAsPublished(t *testing.T) {
	sums, err := os.ReadFile("redoc/SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for line := range strings.Lines(string(sums)) {
		want, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		content, err := os.ReadFile(filepath.Join("redoc", name))
		if err != nil {
			t.Fatal(err)
		}
		if got := sha256.Sum256(content); hex.EncodeToString(got[:]) != want {
			t.Errorf("redoc/%s was changed: make redoc takes it again", name)
		}
		files++
	}
	if files != 3 {
		t.Errorf("%d files", files)
	}
}

// The page asks for what is there, and for nothing of another host.
func TestPage(t *testing.T) {
	page, err := docs.PageFile(docs.PageName)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{docs.StyleName, docs.ScriptName} {
		if _, err := docs.PageFile(name); err != nil || !strings.Contains(string(page), `"/docs/`+name+`"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if strings.Contains(string(page), "//") || strings.Contains(string(page), "<style") {
		t.Error("the page is not of this host alone")
	}
	if _, err := docs.PageFile("openapi.yaml"); err == nil {
		t.Error("any file is given")
	}
}
