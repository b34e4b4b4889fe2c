package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
)

//go:embed dist
var dist embed.FS

const (
	indexName = "index.html"
	assetsAt  = "/assets/"
	// hashBytes of a SHA-256 name a build: two builds of one machine's cache must differ, nobody attacks them.
	hashBytes = 8
)

// policy lets a page take nothing but what this daemon sends. A text never becomes HTML or script: the browser refuses.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// Pages answers with the console's files. It is safe for concurrent use.
type Pages struct {
	api    fasthttp.RequestHandler
	index  *file
	assets map[string]*file // by their whole path
}

type file struct {
	content, gzipped []byte
	kind             string
	caching          string
	etag             string
}

// New returns Pages; api answers what is none of theirs.
func New(api fasthttp.RequestHandler) (*Pages, error) {
	contents, err := readDist()
	if err != nil {
		return nil, err
	}
	index := contents[indexName]
	delete(contents, indexName)
	// The same names in another build have another address.
	at := assetsAt + hashOf(contents) + "/"
	index = bytes.ReplaceAll(index, []byte(`"`+assetsAt), []byte(`"`+at))
	p := &Pages{api: api, assets: map[string]*file{}}
	if p.index, err = newFile(indexName, index, "no-cache"); err != nil {
		return nil, err
	}
	for name, content := range contents {
		if p.assets[at+name], err = newFile(name, content, "public, max-age=31536000, immutable"); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func readDist() (map[string][]byte, error) {
	entries, err := fs.ReadDir(dist, "dist")
	if err != nil {
		return nil, fmt.Errorf("list the console's files: %w", err)
	}
	contents := map[string][]byte{}
	for _, entry := range entries {
		name := entry.Name()
		if contents[name], err = dist.ReadFile("dist/" + name); err != nil {
			return nil, fmt.Errorf("read the console's file %q: %w", name, err)
		}
	}
	return contents, nil
}

// hashOf returns the same name for the same files only.
func hashOf(contents map[string][]byte) string {
	all := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(contents)) {
		fmt.Fprintf(all, "%s %d\n", name, len(contents[name]))
		all.Write(contents[name])
	}
	return hex.EncodeToString(all.Sum(nil)[:hashBytes])
}

func newFile(name string, content []byte, caching string) (*file, error) {
	sum := sha256.Sum256(content)
	f := &file{
		content: content, caching: caching,
		etag: `W/"` + hex.EncodeToString(sum[:hashBytes]) + `"`, // Weak: both encodings have it.
	}
	switch path.Ext(name) {
	case ".html":
		f.kind = "text/html; charset=utf-8"
	case ".js":
		f.kind = "text/javascript; charset=utf-8"
	case ".css":
		f.kind = "text/css; charset=utf-8"
	case ".svg":
		f.kind = "image/svg+xml"
	case ".txt":
		f.kind = "text/plain; charset=utf-8"
	default:
		return nil, fmt.Errorf("the console's file %q has an ending without a media type: name it in newFile", name)
	}
	var gzipped bytes.Buffer
	w, err := gzip.NewWriterLevel(&gzipped, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("compress the console's file %q: %w", name, err)
	}
	if gzipped.Len() < len(content) {
		f.gzipped = gzipped.Bytes()
	}
	return f, nil
}

// Handle answers one request.
func (p *Pages) Handle(ctx *fasthttp.RequestCtx) {
	f := p.find(string(ctx.Path()))
	switch {
	case f == nil:
		p.api(ctx)
	case !ctx.IsGet() && !ctx.IsHead():
		problem := &event.Problem{Code: event.MethodNotAllowed, Detail: "use GET or HEAD"}
		ctx.Response.Header.Set(fasthttp.HeaderAllow, "GET, HEAD")
		ctx.SetStatusCode(problem.Code.Status())
		ctx.SetContentType("application/problem+json")
		ctx.SetBody(wire.AppendProblem(nil, problem))
	default:
		f.answer(ctx)
	}
}

// find returns the file that answers a path, nil if the path is not the console's.
func (p *Pages) find(path string) *file {
	if f := p.assets[path]; f != nil {
		return f
	}
	if isPage(path) {
		return p.index
	}
	return nil
}

// isPage reports whether a path is that of a page; src/router.tsx has the same.
func isPage(path string) bool {
	switch path {
	case "/", "/licenses", "/billing", "/operations", "/cluster", "/sign-in":
		return true
	}
	product, ok := strings.CutPrefix(path, "/products/")
	if !ok {
		return false
	}
	product, rest, isLonger := strings.Cut(product, "/")
	if !event.ValidName([]byte(product)) {
		return false
	}
	if !isLonger {
		return true
	}
	device, ok := strings.CutPrefix(rest, "devices/")
	return ok && event.ValidName([]byte(device))
}

func (f *file) answer(ctx *fasthttp.RequestCtx) {
	header := &ctx.Response.Header
	header.Set(fasthttp.HeaderContentSecurityPolicy, policy)
	header.Set(fasthttp.HeaderXContentTypeOptions, "nosniff")
	header.Set(fasthttp.HeaderReferrerPolicy, "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set(fasthttp.HeaderCacheControl, f.caching)
	header.Set(fasthttp.HeaderETag, f.etag)
	header.Set(fasthttp.HeaderVary, fasthttp.HeaderAcceptEncoding)
	if strings.Contains(string(ctx.Request.Header.Peek(fasthttp.HeaderIfNoneMatch)), f.etag) {
		ctx.SetStatusCode(fasthttp.StatusNotModified)
		return
	}
	ctx.SetContentType(f.kind)
	if f.gzipped != nil && ctx.Request.Header.HasAcceptEncoding("gzip") {
		header.Set(fasthttp.HeaderContentEncoding, "gzip")
		ctx.Response.SetBodyRaw(f.gzipped)
		return
	}
	ctx.Response.SetBodyRaw(f.content)
}
