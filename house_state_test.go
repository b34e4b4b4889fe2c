package meterd_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

var stateRules = []rule{
	{"NoInit", noInit},
	{"NoMutableGlobals", noMutableGlobals},
	{"PanicsAreBugs", panicsAreBugs},
	{"PaddingIsListed", paddingIsListed},
	{"TestsDoNotSleep", testsDoNotSleep},
}

// noInit fails for code that runs before main: nobody calls it, and no test can leave it out.
func noInit(tr *tree) (sentences []string) {
	for _, r := range tr.sorted() {
		for _, f := range r.functions() {
			if f.Recv == nil && f.Name.Name == "init" {
				sentences = append(sentences, tr.at(f)+": no init: make a value where it is used, or call a function from main")
			}
		}
	}
	return sentences
}

// noMutableGlobals fails for package variables that change or are made to. Tables, sentinels and patterns are never
// assigned and pass. A change made through a method with a pointer receiver is not seen, except by the types of sync,
// sync/atomic and metrics, and by channels, which exist to be changed.
func noMutableGlobals(tr *tree) (sentences []string) {
	const advice = "no mutable globals: make it a field of what owns it"
	for _, r := range tr.sorted() {
		for _, s := range r.product {
			if ast.IsGenerated(s.file) {
				continue
			}
			for n, name := range r.writes(s) {
				sentences = append(
					sentences,
					fmt.Sprintf("%s: %s is a package variable and is changed here; %s", tr.at(n), name, advice),
				)
			}
			for _, d := range s.file.Decls {
				if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
					for _, name := range r.changeable(g) {
						sentences = append(
							sentences,
							fmt.Sprintf("%s: %s is a package variable of a type that is there to be changed; %s",
								tr.at(name), name.Name, advice),
						)
					}
				}
			}
		}
	}
	slices.Sort(sentences)
	return sentences
}

// writes returns the places of s where a package variable is assigned, counted, cleared, or its address handed on.
func (r *room) writes(s *source) map[ast.Node]string {
	found := map[ast.Node]string{}
	mark := func(n ast.Node, e ast.Expr) {
		if name := r.globalUnder(e); name != "" {
			found[n] = name
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, left := range n.Lhs {
				mark(n, left)
			}
		case *ast.IncDecStmt:
			mark(n, n.X)
		case *ast.RangeStmt:
			if n.Tok == token.ASSIGN {
				mark(n, n.Key)
				mark(n, n.Value)
			}
		case *ast.UnaryExpr:
			if _, whole := ast.Unparen(n.X).(*ast.Ident); whole && n.Op == token.AND {
				mark(n, n.X)
			}
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.Ident); ok && len(n.Args) > 0 {
				_, builtin := r.info.Uses[f].(*types.Builtin)
				if builtin && (f.Name == "delete" || f.Name == "clear" || f.Name == "copy") {
					mark(n, n.Args[0])
				}
			}
		}
		return true
	})
	return found
}

// globalUnder returns the package variable that e is, or is a part of: ours, or another package's.
func (r *room) globalUnder(e ast.Expr) string {
	for {
		switch x := e.(type) {
		case *ast.ParenExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.SliceExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.SelectorExpr:
			if from := r.importOf(x); from != "" {
				return from + "." + x.Sel.Name
			}
			e = x.X
		case *ast.Ident:
			if v, ok := r.info.Uses[x].(*types.Var); ok && isGlobal(v) {
				return x.Name
			}
			return ""
		default:
			return ""
		}
	}
}

// changeable returns the variables of g whose type says that they change.
func (r *room) changeable(g *ast.GenDecl) (names []*ast.Ident) {
	for _, spec := range g.Specs {
		v := spec.(*ast.ValueSpec)
		for i, name := range v.Names {
			says := v.Type
			if says == nil && i < len(v.Values) {
				says = madeOf(v.Values[i])
			}
			if name.Name != "_" && r.saysChange(says, map[*ast.StructType]bool{}) {
				names = append(names, name)
			}
		}
	}
	return names
}

// madeOf returns the part of a value that tells its type: T of T{…}, &T{…}, new(T) and make(T), f of f(…).
func madeOf(e ast.Expr) ast.Expr {
	switch e := ast.Unparen(e).(type) {
	case *ast.UnaryExpr:
		return madeOf(e.X)
	case *ast.CompositeLit:
		return e.Type
	case *ast.CallExpr:
		if f, ok := e.Fun.(*ast.Ident); ok && (f.Name == "new" || f.Name == "make") && len(e.Args) > 0 {
			return e.Args[0]
		}
		if _, literal := e.Fun.(*ast.FuncLit); !literal {
			return e.Fun
		}
	}
	return nil
}

// saysChange reports whether a type is, or is a struct of ours that has, a channel or something of sync, sync/atomic or
// metrics. Structs that were seen are not looked at again: they may point in circles.
func (r *room) saysChange(says ast.Expr, seen map[*ast.StructType]bool) bool {
	if says == nil {
		return false
	}
	found := false
	ast.Inspect(says, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ChanType:
			found = true
		case *ast.FuncType:
			return false
		case *ast.SelectorExpr:
			switch r.importOf(n) {
			case "sync", "sync/atomic", "github.com/VictoriaMetrics/metrics":
				found = true
			}
		case *ast.Ident:
			if structure := r.structNamed(n); structure != nil && !seen[structure] {
				seen[structure] = true
				found = found || r.saysChange(structure, seen)
			}
		}
		return !found
	})
	return found
}

// structNamed returns the struct type of ours that ident names.
func (r *room) structNamed(ident *ast.Ident) *ast.StructType {
	t, ok := r.info.Uses[ident].(*types.TypeName)
	if !ok || !isGlobal(t) {
		return nil
	}
	for _, s := range r.product {
		for _, d := range s.file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.TYPE {
				continue
			}
			for _, spec := range g.Specs {
				if spec := spec.(*ast.TypeSpec); spec.Name.Name == ident.Name {
					structure, _ := spec.Type.(*ast.StructType)
					return structure
				}
			}
		}
	}
	return nil
}

// panicsAreBugs fails for a panic that may be met without a mistake of ours.
func panicsAreBugs(tr *tree) (sentences []string) {
	for _, r := range tr.sorted() {
		for _, s := range r.product {
			ast.Inspect(s.file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				f, ok := call.Fun.(*ast.Ident)
				if !ok || f.Name != "panic" || len(call.Args) != 1 {
					return true
				}
				if _, builtin := r.info.Uses[f].(*types.Builtin); builtin && !saysBug(call.Args[0]) {
					sentences = append(
						sentences,
						tr.at(call)+`: panic only for what cannot be, with a text that begins with "BUG: "; `+
							"return an error for what can",
					)
				}
				return true
			})
		}
	}
	return sentences
}

// saysBug reports whether e is a text that begins with "BUG: ", or is made from one.
func saysBug(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BinaryExpr:
		return saysBug(e.X)
	case *ast.CallExpr:
		return len(e.Args) > 0 && saysBug(e.Args[0])
	}
	return isText(e, "BUG: ")
}

// padded are the files whose structs are laid out by hand, with the reason.
var padded = map[string]string{}

// paddingIsListed fails for a padded struct in a file that is not known to need one.
func paddingIsListed(tr *tree) (sentences []string) {
	for _, r := range tr.sorted() {
		for _, s := range r.product {
			if padded[s.path] != "" {
				continue
			}
			ast.Inspect(s.file, func(n ast.Node) bool {
				if t, ok := n.(*ast.StructType); ok {
					for _, field := range t.Fields.List {
						_, array := field.Type.(*ast.ArrayType)
						if array && len(field.Names) == 1 && field.Names[0].Name == "_" {
							sentences = append(sentences, tr.at(field)+": padding is kept in few files: take it out, or list "+
								"this one with its reason in house_state_test.go")
						}
					}
				}
				return true
			})
		}
	}
	return sentences
}

// testsDoNotSleep fails for a test that waits by the clock, except inside synctest's bubble, where the clock is its
// own.
func testsDoNotSleep(tr *tree) (sentences []string) {
	for _, r := range tr.sorted() {
		for _, s := range r.tests {
			bubble := slices.ContainsFunc(s.file.Imports, func(spec *ast.ImportSpec) bool {
				return strings.HasSuffix(importPath(spec), "testing/synctest")
			})
			ast.Inspect(s.file, func(n ast.Node) bool {
				e, ok := n.(*ast.SelectorExpr)
				if !ok || e.Sel.Name != "Sleep" || bubble {
					return true
				}
				if from, ok := e.X.(*ast.Ident); ok && from.Name == "time" {
					sentences = append(sentences, tr.at(e)+": no sleeps in tests: wait for what is to happen, or use testing/synctest")
				}
				return true
			})
		}
	}
	return sentences
}
