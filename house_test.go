package meterd_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// These are the rules that no linter knows; .golangci.yml has the others.

// ruleNumberMax is the number of the last rule in RULES.md. Numbers are never given twice.
const ruleNumberMax = 20

var (
	// notWritten is what nobody here has written: as others published it, which a test of its package has checksums of, or
	// made of sources, which make web-check makes again, or pictures that make screenshots takes again.
	notWritten = []string{
		"docs/redoc/", "console/web/dist/", "console/web/package-lock.json", "docs/console-overview.png",
		"docs/console-device.png",
	}
	forbiddenNames = []string{"util", "utils", "common", "helper", "helpers", "types", "misc", "base"}
	unfinished     = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
	outside        = regexp.MustCompile(`\bsha` + `red/|\.libr` + `ary\b`)
	citation       = regexp.MustCompile(`\bR([0-9]+)\b`)
	link           = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	decoderName    = regexp.MustCompile(`^([Dd]ecode|[Uu]nmarshal|[Pp]arse|[Ll]oad)([A-Z0-9]|$)`)
)

// TestTexts looks at every file: it is text, nothing in it is unfinished, and what it points to is here.
func TestTexts(t *testing.T) {
	names := repository(t)
	for _, name := range names {
		content, err := os.ReadFile(filepath.FromSlash(name))
		if os.IsNotExist(err) {
			continue // Removed, but not yet from git's index.
		}
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(notWritten, func(place string) bool { return strings.HasPrefix(name, place) }) {
			continue
		}
		for part := range strings.SplitSeq(name, "/") {
			if saysNothing(strings.TrimSuffix(part, path.Ext(part))) {
				t.Errorf("%s: name it by the noun that it is about, not %s", name, part)
			}
		}
		if !utf8.Valid(content) || slices.Contains(content, 0) {
			t.Errorf("%s is binary: keep what makes it, or its text (hex, base64), and ignore what is built", name)
			continue
		}
		number := 0
		for line := range strings.Lines(string(content)) {
			number++
			if word := unfinished.FindString(line); word != "" {
				t.Errorf("%s:%d: do what the %s says, or open an issue and take it out", name, number, word)
			}
			if word := outside.FindString(line); word != "" {
				t.Errorf("%s:%d: %q is not in this repository: say it here, or leave it out", name, number, word)
			}
			for _, target := range deadLinks(names, name, line) {
				t.Errorf("%s:%d: the link to %s leads nowhere: correct it, or write the file", name, number, target)
			}
			for _, cited := range unknownRules(name, line) {
				t.Errorf("%s:%d: there is no rule %s: they are R1 to R%d", name, number, cited, ruleNumberMax)
			}
		}
	}
}

// saysNothing reports whether a word of name could stand before anything.
func saysNothing(name string) bool {
	for word := range strings.SplitSeq(strings.ReplaceAll(name, "-", "_"), "_") {
		if slices.Contains(forbiddenNames, strings.ToLower(word)) {
			return true
		}
	}
	return false
}

// deadLinks returns what a line of Markdown links to and is not in the repository.
func deadLinks(names []string, name, line string) (dead []string) {
	if path.Ext(name) != ".md" {
		return nil
	}
	for _, m := range link.FindAllStringSubmatch(line, -1) {
		target, _, _ := strings.Cut(m[1], "#")
		if target == "" || strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
			continue
		}
		at := path.Join(path.Dir(name), target)
		isThere := func(n string) bool { return n == at || at == "." || strings.HasPrefix(n, at+"/") }
		if !slices.ContainsFunc(names, isThere) {
			dead = append(dead, target)
		}
	}
	return dead
}

// unknownRules returns what a line cites as rules and is none. In Go only comments cite; test data cites nothing.
func unknownRules(name, line string) (unknown []string) {
	switch _, comment, isComment := strings.Cut(line, "//"); {
	case path.Ext(name) == ".sum" || strings.Contains("/"+name, "/testdata/"):
		return nil
	case path.Ext(name) == ".go" && !isComment:
		return nil
	case path.Ext(name) == ".go":
		line = comment
	}
	for _, m := range citation.FindAllStringSubmatch(line, -1) {
		if n, err := strconv.Atoi(m[1]); err != nil || n < 1 || n > ruleNumberMax {
			unknown = append(unknown, m[0])
		}
	}
	return unknown
}

// folder is what TestPackages looks for in one folder of Go files.
type folder struct {
	hasCode, hasDoc, hasFuzz bool
	decoders                 []string
}

// TestPackages looks at every package: its promise is in doc.go, its name says something, and what decodes is fuzzed.
func TestPackages(t *testing.T) {
	folders := map[string]*folder{}
	for _, name := range repository(t) {
		if path.Ext(name) != ".go" || strings.Contains("/"+name, "/testdata/") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		f := folders[path.Dir(name)]
		if f == nil {
			f = &folder{}
			folders[path.Dir(name)] = f
		}
		if saysNothing(file.Name.Name) {
			t.Errorf("%s: name the package by the noun that it is about, not %s", name, file.Name.Name)
		}
		f.look(t, name, file)
	}
	for name, f := range folders {
		if f.hasCode && !f.hasDoc {
			t.Errorf("%s has no package comment: write a doc.go with its promise, a picture of the data's way, "+
				"and its invariants", name)
		}
		if len(f.decoders) > 0 && !f.hasFuzz {
			t.Errorf("%s decodes bytes (%s) and has no fuzz target: write func Fuzz… beside it (no panic, no over-read, "+
				"round trip)", name, strings.Join(f.decoders, ", "))
		}
	}
}

func (f *folder) look(t *testing.T, name string, file *ast.File) {
	t.Helper()
	isTest := strings.HasSuffix(name, "_test.go")
	for _, d := range file.Decls {
		fn, ok := d.(*ast.FuncDecl)
		switch {
		case !ok || ast.IsGenerated(file):
		case isTest:
			f.hasFuzz = f.hasFuzz || fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Fuzz")
		case decoderName.MatchString(fn.Name.Name) && takesBytes(fn):
			f.decoders = append(f.decoders, fn.Name.Name)
		}
	}
	if isTest {
		return
	}
	f.hasCode = true
	switch {
	case path.Dir(name) == "." && path.Base(name) != "doc.go":
		t.Errorf("%s lies in the root, which holds no code: move it into a room", name)
	case file.Doc == nil:
	case path.Base(name) != "doc.go":
		t.Errorf("%s: one package comment a folder, in doc.go: move this one there", name)
	default:
		f.hasDoc = true
	}
}

func takesBytes(f *ast.FuncDecl) bool {
	return slices.ContainsFunc(f.Type.Params.List, func(p *ast.Field) bool {
		a, ok := p.Type.(*ast.ArrayType)
		if !ok || a.Len != nil {
			return false
		}
		element, ok := a.Elt.(*ast.Ident)
		return ok && element.Name == "byte"
	})
}

// repository lists what is tracked, or would be: without git, everything that is not hidden and not built.
func repository(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err == nil && len(out) > 0 {
		return strings.FieldsFunc(string(out), func(c rune) bool { return c == 0 })
	}
	var names []string
	err = filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (name == "bin" || name == "data" || name == ".git" || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		if d.Type().IsRegular() {
			names = append(names, filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
