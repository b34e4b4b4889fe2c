package web

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// compressedMax bounds what a browser fetches before the first page is there.
const compressedMax = 100 << 10

func newPages(t *testing.T) *Pages {
	t.Helper()
	pages, err := New(func(ctx *fasthttp.RequestCtx) {
		ctx.SetStatusCode(fasthttp.StatusNotFound)
		ctx.SetBodyString("the API's answer")
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

func ask(pages *Pages, method, uri string, headers ...string) *fasthttp.Response {
	var ctx fasthttp.RequestCtx
	ctx.Request.Header.SetMethod(method)
	ctx.Request.SetRequestURI(uri)
	for i := 0; i < len(headers); i += 2 {
		ctx.Request.Header.Set(headers[i], headers[i+1])
	}
	pages.Handle(&ctx)
	return &ctx.Response
}

func TestPagesAreTheSameFileAndNothingElseIsTaken(t *testing.T) {
	pages := newPages(t)
	for _, uri := range []string{
		"/", "/sign-in", "/licenses", "/billing", "/operations", "/products/p1", "/products/A.b_c:d-1/devices/d1",
		"/?a=b", "/products/p1?denied=1",
	} {
		r := ask(pages, "GET", uri)
		if r.StatusCode() != 200 || !bytes.Contains(r.Body(), []byte("/app.js")) {
			t.Errorf("%s: %d", uri, r.StatusCode())
		}
	}
	for _, uri := range []string{
		"/v1/products", "/v1/whoami", "/metrics", "/docs", "/docs/page.css", "/openapi.json", "/livez", "/readyz",
		"/prometheus/api/v1/query", "/products", "/products/", "/products/p1/", "/products/p1/devices", "/index.html",
		"/products/p1/devices/", "/products/p1/devices/d1/", "/products/p1/devices/d1/logs", "/products/p1/lots",
		"/products/%3Cb%3E", "/products/p1/devices/a%2Fb", "/licenses/", "/assets/", "/assets/app.js", "/assets/0/app.js",
		"/products/" + strings.Repeat("p", 65), "/favicon.ico", "/assets/../web.go",
	} {
		r := ask(pages, "GET", uri)
		if r.StatusCode() != 404 || string(r.Body()) != "the API's answer" {
			t.Errorf("%s: %d: the console has taken what is the API's", uri, r.StatusCode())
		}
	}
}

func TestHeaders(t *testing.T) {
	pages := newPages(t)
	uris := []string{"/", "/products/p1"}
	for uri := range pages.assets {
		uris = append(uris, uri)
	}
	for _, uri := range uris {
		header := &ask(pages, "GET", uri).Header
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin", "Content-Security-Policy": policy, "Vary": "Accept-Encoding",
		} {
			if got := string(header.Peek(name)); got != want {
				t.Errorf("%s: %s: %q, want %q", uri, name, got, want)
			}
		}
		caching := string(header.Peek("Cache-Control"))
		if isAsset := strings.HasPrefix(uri, assetsAt); isAsset != strings.Contains(caching, "immutable") {
			t.Errorf("%s: Cache-Control %q", uri, caching)
		}
	}
	for _, word := range []string{"unsafe", "*", "http:", "https:", "data:", "blob:"} {
		if strings.Contains(policy, word) {
			t.Errorf("the policy has %s", word)
		}
	}
	for _, directive := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"} {
		if !strings.Contains(policy, directive) {
			t.Errorf("the policy lacks %s", directive)
		}
	}
}

func TestAssetsAreCompressedAndAskedForOnce(t *testing.T) {
	pages := newPages(t)
	total := 0
	for uri, f := range pages.assets {
		r := ask(pages, "GET", uri, "Accept-Encoding", "br, gzip;q=0.8")
		total += len(r.Body())
		if f.gzipped != nil {
			if got := string(r.Header.ContentEncoding()); got != "gzip" {
				t.Errorf("%s: Content-Encoding %q", uri, got)
			}
			reader, err := gzip.NewReader(bytes.NewReader(r.Body()))
			if err != nil {
				t.Fatal(err)
			}
			if content, err := io.ReadAll(reader); err != nil || !bytes.Equal(content, f.content) {
				t.Errorf("%s: %v: the compressed content is another one", uri, err)
			}
		}
		plain := ask(pages, "GET", uri)
		if len(plain.Header.ContentEncoding()) != 0 || !bytes.Equal(plain.Body(), f.content) {
			t.Errorf("%s: plain it is another one", uri)
		}
		again := ask(pages, "GET", uri, "If-None-Match", string(plain.Header.Peek("ETag")))
		if again.StatusCode() != 304 || len(again.Body()) != 0 {
			t.Errorf("%s: %d with its ETag", uri, again.StatusCode())
		}
		if other := ask(pages, "GET", uri, "If-None-Match", `W/"0"`); other.StatusCode() != 200 {
			t.Errorf("%s: %d with another ETag", uri, other.StatusCode())
		}
	}
	if total > compressedMax {
		t.Errorf("%d bytes, compressed, are more than %d", total, compressedMax)
	}
}

func TestOnlyGetAndHead(t *testing.T) {
	pages := newPages(t)
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		r := ask(pages, method, "/licenses")
		if r.StatusCode() != 405 || string(r.Header.Peek("Allow")) != "GET, HEAD" ||
			!bytes.Contains(r.Body(), []byte(`"method_not_allowed"`)) {
			t.Errorf("%s: %d %s", method, r.StatusCode(), r.Body())
		}
	}
	if r := ask(pages, "HEAD", "/licenses"); r.StatusCode() != 200 {
		t.Errorf("HEAD: %d", r.StatusCode())
	}
}

var (
	reference   = regexp.MustCompile(`(?:src|href)="([^"]*)"`)
	inlineParts = regexp.MustCompile(`<style|style=|\son[a-z]+=|<script[^>]*>[^<]`)
)

// The page asks for what is there, and for nothing of another host; no script and no style stands in it.
func TestIndexAsksForWhatIsThere(t *testing.T) {
	pages := newPages(t)
	found := 0
	for _, m := range reference.FindAllStringSubmatch(string(pages.index.content), -1) {
		if m[1] == "/docs" {
			continue // The API's page, for those without scripts.
		}
		if pages.assets[m[1]] == nil {
			t.Errorf("the page asks for %s, which is not there", m[1])
		}
		found++
	}
	if found != 3 {
		t.Errorf("%d references", found)
	}
	if part := inlineParts.Find(pages.index.content); part != nil {
		t.Errorf("the page holds %s, which its policy forbids", part)
	}
}

// A text becomes a text: the sources know no way to make HTML or code of it.
func TestSourcesMakeNoHTMLOfTexts(t *testing.T) {
	files := 0
	err := filepath.WalkDir("src", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for _, word := range []string{
			"dangerouslySetInnerHTML", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
			"new Function", "javascript:", "localStorage.setItem('meterd.token", "http://", "https://",
		} {
			if path.Ext(name) != ".svg" && bytes.Contains(content, []byte(word)) {
				t.Errorf("%s: %s", name, word)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 40 {
		t.Errorf("only %d files were looked at", files)
	}
}
