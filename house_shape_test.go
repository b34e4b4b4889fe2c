package meterd_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
)

var shapeRules = []rule{
	{"PackageCommentInDocGo", packageCommentInDocGo},
	{"NoForbiddenNames", noForbiddenNames},
	{"FilesAreShort", filesAreShort},
	{"FunctionsAreShort", functionsAreShort},
	{"ExportedIsDocumented", exportedIsDocumented},
	{"DecodersAreFuzzed", decodersAreFuzzed},
}

const (
	// fileLinesMax is where a file certainly holds more than one idea; the aim is 400.
	fileLinesMax = 450
	// functionLinesMax is where a function certainly cannot be read in one look; the aim is functionLinesAim.
	functionLinesMax = 100
	functionLinesAim = 60
)

// packageCommentInDocGo fails for a package whose promise is missing, doubled, or anywhere but in doc.go.
func packageCommentInDocGo(tr *tree) (sentences []string) {
	for _, r := range tr.sorted() {
		documented := false
		for _, s := range r.product {
			switch {
			case s.file.Doc == nil:
			case path.Base(s.path) != "doc.go":
				sentences = append(sentences, s.path+": one package comment a folder, in doc.go: move this one there")
			default:
				documented = true
				if name := s.file.Name.Name; name != "main" && !strings.HasPrefix(s.file.Doc.Text(), "Package "+name+" ") {
					sentences = append(sentences, fmt.Sprintf("%s: begin the package comment with \"Package %s\"", s.path, name))
				}
			}
		}
		if len(r.product) > 0 && !documented {
			sentences = append(sentences, r.folder+" has no package comment: write a doc.go with its promise, "+
				"a picture of the data's way, and its invariants")
		}
	}
	return sentences
}

var forbiddenNames = []string{"util", "utils", "common", "helper", "helpers", "types", "misc", "base"}

// noForbiddenNames fails for names that say nothing about what is inside.
func noForbiddenNames(tr *tree) (sentences []string) {
	isForbidden := func(name string) bool {
		return slices.ContainsFunc(
			strings.FieldsFunc(name, func(c rune) bool { return c == '_' || c == '-' }),
			func(part string) bool {
				return slices.Contains(forbiddenNames, strings.ToLower(part))
			},
		)
	}
	for name := range tr.files {
		for part := range strings.SplitSeq(name, "/") {
			if isForbidden(strings.TrimSuffix(part, path.Ext(part))) {
				sentences = append(sentences, name+": name it by the noun that it is about, not "+part)
			}
		}
	}
	for _, r := range tr.sorted() {
		for _, s := range slices.Concat(r.product, r.tests) {
			if isForbidden(s.file.Name.Name) {
				sentences = append(sentences, fmt.Sprintf("%s: name the package by the noun that it is about, not %s",
					s.path, s.file.Name.Name))
			}
		}
	}
	slices.Sort(sentences)
	return sentences
}

// filesAreShort fails for a written product file that is too long.
func filesAreShort(tr *tree) (sentences []string) {
	for _, r := range tr.sorted() {
		for _, s := range r.product {
			lines := strings.Count(tr.files[s.path], "\n")
			if lines > fileLinesMax && !ast.IsGenerated(s.file) {
				sentences = append(sentences, fmt.Sprintf("%s has %d lines, and %d are the most: one file, one idea; "+
					"split it by its nouns", s.path, lines, fileLinesMax))
			}
		}
	}
	return sentences
}

// functionsAreShort fails for a written product function that is too long, and then says how many miss the aim.
func functionsAreShort(tr *tree) (sentences []string) {
	overAim := 0
	for _, r := range tr.sorted() {
		for _, f := range r.functions() {
			lines := tr.lines(f)
			if lines > functionLinesAim {
				overAim++
			}
			if lines > functionLinesMax {
				sentences = append(sentences, fmt.Sprintf("%s: %s has %d lines, and %d are the most: name its steps",
					tr.at(f), f.Name.Name, lines, functionLinesMax))
			}
		}
	}
	for i := range sentences {
		sentences[i] += fmt.Sprintf(" (%d functions of the tree are over the aim of %d)", overAim, functionLinesAim)
	}
	return sentences
}

// functions returns the functions and methods of the written product files.
func (r *room) functions() (list []*ast.FuncDecl) {
	for _, s := range r.product {
		if ast.IsGenerated(s.file) {
			continue
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				list = append(list, f)
			}
		}
	}
	return list
}

// exportedIsDocumented fails for an exported identifier without a comment. Commands export nothing.
func exportedIsDocumented(tr *tree) (sentences []string) {
	missing := func(n ast.Node, name string) {
		sentences = append(sentences, fmt.Sprintf("%s: %s is exported: say in a comment what it takes and returns, "+
			"who owns what, and when it fails, or do not export it", tr.at(n), name))
	}
	for _, r := range tr.sorted() {
		for _, s := range r.product {
			if s.file.Name.Name == "main" || ast.IsGenerated(s.file) {
				continue
			}
			for _, d := range s.file.Decls {
				switch d := d.(type) {
				case *ast.FuncDecl:
					if d.Doc == nil && d.Name.IsExported() && receiverIsExported(d) {
						missing(d, d.Name.Name)
					}
				case *ast.GenDecl:
					for _, name := range undocumented(d) {
						missing(name, name.Name)
					}
				}
			}
		}
	}
	return sentences
}

func receiverIsExported(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	exported := true
	ast.Inspect(f.Recv.List[0].Type, func(n ast.Node) bool {
		if ident, ok := n.(*ast.Ident); ok {
			exported = ident.IsExported()
			return false
		}
		_, parameters := n.(*ast.IndexExpr)
		return exported && !parameters || n == f.Recv.List[0].Type
	})
	return exported
}

// undocumented returns the exported names of d that neither have a comment nor stand in a group that has one.
func undocumented(d *ast.GenDecl) (names []*ast.Ident) {
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if d.Doc == nil && spec.Doc == nil && spec.Comment == nil && spec.Name.IsExported() {
				names = append(names, spec.Name)
			}
		case *ast.ValueSpec:
			if d.Doc != nil || spec.Doc != nil || spec.Comment != nil {
				continue
			}
			for _, name := range spec.Names {
				if name.IsExported() {
					names = append(names, name)
				}
			}
		}
	}
	return names
}

var decoderName = regexp.MustCompile(`^([Dd]ecode|[Uu]nmarshal|[Pp]arse|[Ll]oad)([A-Z0-9]|$)`)

// decodersAreFuzzed fails for a package that reads bytes from outside and has no fuzz target.
func decodersAreFuzzed(tr *tree) (sentences []string) {
	for _, r := range tr.sorted() {
		if r.hasFuzz() {
			continue
		}
		var names []string
		for _, f := range r.functions() {
			if decoderName.MatchString(f.Name.Name) && takesBytes(f) {
				names = append(names, f.Name.Name)
			}
		}
		if len(names) > 0 {
			sentences = append(
				sentences,
				fmt.Sprintf("%s decodes bytes (%s) and has no fuzz target: write func Fuzz… beside it "+
					"(no panic, no over-read, round trip)", r.folder, strings.Join(names, ", ")),
			)
		}
	}
	return sentences
}

func (r *room) hasFuzz() bool {
	for _, s := range r.tests {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Fuzz") {
				return true
			}
		}
	}
	return false
}

func takesBytes(f *ast.FuncDecl) bool {
	for _, p := range f.Type.Params.List {
		if a, ok := p.Type.(*ast.ArrayType); ok && a.Len == nil {
			if element, ok := a.Elt.(*ast.Ident); ok && element.Name == "byte" {
				return true
			}
		}
	}
	return false
}

// isText reports whether e is the string literal that begins with prefix.
func isText(e ast.Expr, prefix string) bool {
	literal, ok := e.(*ast.BasicLit)
	return ok && literal.Kind == token.STRING && strings.HasPrefix(literal.Value[1:], prefix)
}
