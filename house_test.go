package meterd_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/meterd/meterd"

// rule is one law of the house. check returns a sentence for every violation: where it is, and what to do about it.
type rule struct {
	name  string
	check func(*tree) []string
}

// rules is the whole law; house_violations_test.go proves of each one that it catches what it is there for.
var rules = slices.Concat(arrowRules, doorRules, shapeRules, stateRules, textRules)

// TestHouse holds every rule against the repository.
func TestHouse(t *testing.T) {
	tr := repository(t)
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			for _, sentence := range r.check(tr) {
				t.Error(sentence)
			}
		})
	}
}

// tree is what rules look at: the files of the repository, and what the Go ones among them say.
type tree struct {
	files map[string]string // content by slash-separated path from the root
	fset  *token.FileSet
	rooms map[string]*room // by folder, "." for the root
	fault []string         // files that cannot be parsed
}

// room is one folder of Go files.
type room struct {
	folder  string
	product []*source
	tests   []*source
	imports []string    // of the product files, sorted
	info    *types.Info // of the product files
}

// source is one Go file.
type source struct {
	path string
	file *ast.File
}

// newTree parses and checks the Go files among files.
func newTree(files map[string]string) *tree {
	tr := &tree{files: files, fset: token.NewFileSet(), rooms: map[string]*room{}}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if path.Ext(name) != ".go" || strings.Contains("/"+name, "/testdata/") {
			continue
		}
		file, err := parser.ParseFile(tr.fset, name, files[name], parser.ParseComments)
		if err != nil {
			tr.fault = append(tr.fault, err.Error())
			continue
		}
		r := tr.rooms[path.Dir(name)]
		if r == nil {
			r = &room{folder: path.Dir(name)}
			tr.rooms[r.folder] = r
		}
		if strings.HasSuffix(name, "_test.go") {
			r.tests = append(r.tests, &source{name, file})
		} else {
			r.product = append(r.product, &source{name, file})
		}
	}
	for _, r := range tr.rooms {
		r.resolve(tr.fset)
	}
	return tr
}

// resolve finds out what each identifier of the product files means. What is imported stays unknown, which is enough to
// tell a package's variable from a local one of the same name, and fast.
func (r *room) resolve(fset *token.FileSet) {
	r.info = &types.Info{Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
	packages := map[string][]*ast.File{} // Normally one; a file that is not built may belong to another.
	for _, s := range r.product {
		packages[s.file.Name.Name] = append(packages[s.file.Name.Name], s.file)
		for _, spec := range s.file.Imports {
			r.imports = append(r.imports, importPath(spec))
		}
	}
	slices.Sort(r.imports)
	r.imports = slices.Compact(r.imports)
	config := types.Config{Importer: noImporter{}, FakeImportC: true, Error: func(error) {}}
	for name, files := range packages {
		_, _ = config.Check(name, fset, files, r.info) // Errors are the compiler's to tell.
	}
}

// isGlobal reports whether o is declared at the top of a package.
func isGlobal(o types.Object) bool { return o.Pkg() != nil && o.Parent() == o.Pkg().Scope() }

type noImporter struct{}

func (noImporter) Import(string) (*types.Package, error) { return nil, fs.ErrNotExist }

func importPath(spec *ast.ImportSpec) string { return strings.Trim(spec.Path.Value, "`\"") }

// top returns the top-level folder that r belongs to, "" for the root.
func (r *room) top() string {
	if r.folder == "." {
		return ""
	}
	first, _, _ := strings.Cut(r.folder, "/")
	return first
}

// importOf returns the path of the package that e's left side names, "" if it names none.
func (r *room) importOf(e *ast.SelectorExpr) string {
	ident, ok := e.X.(*ast.Ident)
	if !ok {
		return ""
	}
	if name, ok := r.info.Uses[ident].(*types.PkgName); ok {
		return name.Imported().Path()
	}
	return ""
}

// sorted returns the rooms in the order of their folders, so that failures have one order.
func (tr *tree) sorted() []*room {
	list := make([]*room, 0, len(tr.rooms))
	for _, folder := range slices.Sorted(maps.Keys(tr.rooms)) {
		list = append(list, tr.rooms[folder])
	}
	return list
}

// at returns where n is, as an editor understands it.
func (tr *tree) at(n ast.Node) string {
	p := tr.fset.Position(n.Pos())
	p.Column = 0
	return p.String()
}

// lines returns how many lines n covers.
func (tr *tree) lines(n ast.Node) int {
	return tr.fset.Position(n.End()).Line - tr.fset.Position(n.Pos()).Line + 1
}

// repository reads the tree that this test stands in, and adds the imports that the go command sees.
func repository(t *testing.T) *tree {
	t.Helper()
	files := map[string]string{}
	for _, name := range repositoryPaths(t) {
		content, err := os.ReadFile(filepath.FromSlash(name))
		if os.IsNotExist(err) {
			continue // Removed, but not yet from git's index.
		}
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(content)
	}
	tr := newTree(files)
	for _, fault := range tr.fault {
		t.Errorf("%s: no rule can look at a file that is no Go", fault)
	}
	out, err := exec.Command("go", "list", "-e", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		folder := strings.TrimPrefix(strings.TrimPrefix(fields[0], module), "/")
		if r := tr.rooms[path.Clean(folder)]; r != nil {
			r.imports = append(r.imports, fields[1:]...)
			slices.Sort(r.imports)
			r.imports = slices.Compact(r.imports)
		}
	}
	return tr
}

// repositoryPaths lists what is tracked, or would be: without git, everything that is not hidden and not built.
func repositoryPaths(t *testing.T) []string {
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
		if d.IsDir() && (name == "bin" || name == "data" || name == ".git") {
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
