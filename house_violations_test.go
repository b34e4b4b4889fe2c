package meterd_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// lawful is a small house without a fault. What looks like a violation in it and is none keeps the rules from being too
// strict.
var lawful = map[string]string{
	"go.mod":          "module " + module + "\n",
	"README.md":       "See [the page](ARCHITECTURE.md#one), [counters](counters), [there](https://example.org/x), [here](#here). R1 to R20.\n",
	"ARCHITECTURE.md": "# one\n",
	".ci/run":         "make check\n",
	"doc.go":          "// Package meterd is the root.\npackage meterd\n",
	"event/doc.go":    "// Package event is the vocabulary.\npackage event\n",
	"event/base64.go": `package event

import ("errors"; "regexp"; "strconv"; "os"; "syscall")

// ErrBad is a sentinel.
var ErrBad = errors.New("bad")

var (
	pattern = regexp.MustCompile("a")
	table   = [2]string{"a", "b"}
	circle  = ring{}
)

type ring struct{ next *ring }

// These are numbers.
const (
	A = 1
	B = 2
)

// ParseA reads b; it cites R20.
func ParseA(b []byte) (int, error) {
	table := map[string]int{}
	table["a"] = 1
	row := &circle.next
	_ = row
	if errors.Is(ErrBad, os.ErrNotExist) || pattern.Match(b) {
		panic("BUG: " + string(b))
	}
	_ = syscall.EINVAL
	return strconv.Atoi(string(b))
}

type hidden struct{}

func (hidden) Exported() {}
`,
	"event/event_test.go":   "package event\n\nimport \"testing\"\n\nfunc FuzzParseA(f *testing.F) {}\n",
	"counters/doc.go":       "// Package counters counts.\npackage counters\n",
	"counters/memory.go":    "package counters\n\nimport _ \"unsafe\"\n",
	"counters/slab_mmap.go": "package counters\n\nimport \"golang.org/x/sys/unix\"\n\nvar release = unix.Munmap\n",
	"shard/doc.go":          "// Package shard is the engine.\npackage shard\n\nimport _ \"" + module + "/shard/record\"\n",
	"shard/record/doc.go":   "// Package record encodes.\npackage record\n",
	"cmd/meterd/doc.go":     "// Meterd meters.\npackage main\n",
	"cmd/meterd/main.go": `package main

import ("flag"; "os"; "` + module + `/shard")

func main() { flag.Parse(); _ = shard.X; os.Exit(0) }
`,
}

// violation is a change of the lawful house that one rule must object to, in a sentence that contains says.
type violation struct {
	rule  string
	files map[string]string
	says  string
}

func goFile(folder, body string) map[string]string {
	name := folder[strings.LastIndex(folder, "/")+1:]
	return map[string]string{folder + "/x.go": "package " + name + "\n\n" + body}
}

var violations = slices.Concat(arrowViolations, doorViolations, shapeViolations, stateViolations, textViolations)

var arrowViolations = []violation{
	{"ImportsPointDown", goFile("event", `import _ "`+module+`/license"`), "event may import nothing of ours"},
	{"ImportsPointDown", goFile("counters", `import _ "`+module+`/event"`), "counters may import nothing of ours"},
	{"ImportsPointDown", goFile("ingest", `import _ "`+module+`/console"`), "ingest imports console"},
	{"ImportsPointDown", goFile("console", `import _ "`+module+`/ingest"`), "console imports ingest"},
	{"ImportsPointDown", goFile("license", `import _ "`+module+`/shard/record"`), "license imports shard/record"},
	{"ImportsPointDown", goFile("shard", `import _ "`+module+`/console"`), "shard imports console"},
	{"ImportsPointDown", goFile("bench", `import _ "`+module+`/shard"`), "bench may import event, client"},
	{"ImportsPointDown", goFile("event", `import _ "`+module+`"`), "event imports the root"},
	{"TopLevelFoldersAreKnown", map[string]string{"pkg/a.txt": ""}, "pkg/ is no room"},
	{"TopLevelFoldersAreKnown", map[string]string{"bin/meterd": "x"}, "bin/ is no room"},
	{"RootHoldsNoCode", map[string]string{"meterd.go": "package meterd\n"}, "meterd.go lies in the root"},
}

var doorViolations = []violation{
	{
		"OutsideIsTouchedThroughDoors",
		goFile("shard", `import "net"; var x net.Addr`),
		`net goes through the door "the network"`,
	},
	{"OutsideIsTouchedThroughDoors", goFile("shard", `import _ "net/http/pprof"`), "net/http/pprof"},
	{"OutsideIsTouchedThroughDoors", goFile("event", `import _ "github.com/valyala/fasthttp"`), "fasthttp"},
	{
		"OutsideIsTouchedThroughDoors",
		goFile("client", `import "net"; func f() { net.ListenPacket("udp", "") }`),
		`net.ListenPacket goes through the door "listening"`,
	},
	{
		"OutsideIsTouchedThroughDoors",
		goFile("cmd/meterd", `import x "net"; func f() { x.Listen("tcp", "") }`),
		"net.Listen ",
	},
	{
		"OutsideIsTouchedThroughDoors",
		goFile("bench", `import "github.com/valyala/fasthttp"; var s fasthttp.Server`),
		"fasthttp.Server",
	},
	{
		"OutsideIsTouchedThroughDoors",
		goFile("console", `import "net/http"; func f() { http.Get("") }`),
		`http.Get goes through the door "connecting"`,
	},
	{
		"OutsideIsTouchedThroughDoors",
		goFile("ingest", `import "net"; func f() { net.DialTimeout("", "", 0) }`),
		"net.DialTimeout",
	},
	{
		"OutsideIsTouchedThroughDoors",
		goFile("shard", `import "os"; var open = os.Open`),
		`os.Open goes through the door "the disk"`,
	},
	{
		"OutsideIsTouchedThroughDoors",
		goFile("license", `import "os"; func f() { os.WriteFile("", nil, 0) }`),
		"os.WriteFile",
	},
	{"OutsideIsTouchedThroughDoors", goFile("ingest", `import "os"; func f() { os.CreateTemp("", "") }`), "os.CreateTemp"},
	{
		"OutsideIsTouchedThroughDoors",
		goFile("console", `import "syscall"; func f() { syscall.Openat(0, "", 0, 0) }`),
		"syscall.Openat",
	},
	{
		"OutsideIsTouchedThroughDoors",
		goFile("counters", `import "golang.org/x/sys/unix"; func f() { unix.Fsync(1) }`),
		"unix.Fsync",
	},
	{
		"OutsideIsTouchedThroughDoors",
		goFile("counters", `import "golang.org/x/sys/unix"; func f() { unix.Mmap(-1, 0, 1, 0, 0) }`),
		"mapped memory",
	},
	{"OutsideIsTouchedThroughDoors", goFile("retention", `import "os"; func f() { os.Exit(1) }`), "os.Exit"},
	{"OutsideIsTouchedThroughDoors", goFile("retention", `import "os"; var home = os.Getenv("HOME")`), "os.Getenv"},
	{
		"OutsideIsTouchedThroughDoors",
		goFile("retention", `import "os"; var home, _ = os.LookupEnv("HOME")`),
		"os.LookupEnv",
	},
	{"OutsideIsTouchedThroughDoors", goFile("bench", `import "os"; var name = os.Args[0]`), "os.Args"},
	{"OutsideIsTouchedThroughDoors", goFile("bench", `import _ "flag"`), "flag goes through"},
	{"OutsideIsTouchedThroughDoors", goFile("client", `import _ "github.com/spf13/pflag"`), "pflag"},
	{"OutsideIsTouchedThroughDoors", goFile("shard", `import _ "os/signal"`), "os/signal"},
	{"OutsideIsTouchedThroughDoors", goFile("shard", `import "log"; func f() { log.Fatal() }`), "log goes through"},
	{
		"OutsideIsTouchedThroughDoors",
		goFile("shard", `import "fmt"; func f() { fmt.Println() }`),
		`fmt.Println goes through the door "standard output"`,
	},
	{"OutsideIsTouchedThroughDoors", goFile("shard", `import _ "os/exec"`), "other processes"},
	{"OutsideIsTouchedThroughDoors", goFile("shard", `import _ "github.com/dgraph-io/badger/v4"`), "Badger"},
	{"OutsideIsTouchedThroughDoors", goFile("ingest", `import _ "github.com/mochi-mqtt/server/v2"`), `door "MQTT"`},
	{
		"OutsideIsTouchedThroughDoors",
		goFile("shard", `import "github.com/VictoriaMetrics/metrics"; func f() { metrics.NewSet() }`),
		`metrics.NewSet goes through the door "metrics"`,
	},
	{"OutsideIsTouchedThroughDoors", goFile("retention", `import _ "github.com/hanwen/go-fuse/v2/fuse"`), "FUSE"},
	{"OutsideIsTouchedThroughDoors", goFile("event", `import _ "unsafe"`), `unsafe goes through the door "unsafe"`},
	{"NoDotImports", goFile("event", `import . "strings"`), "import strings by its name"},
	{
		"DoorsNameWhoPasses",
		map[string]string{"counters/memory.go": "package counters\n"},
		`counters/memory.go has no need of the door "unsafe"`,
	},
}

var shapeViolations = []violation{
	{"PackageCommentInDocGo", map[string]string{"license/a.go": "package license\n"}, "license has no package comment"},
	{
		"PackageCommentInDocGo",
		map[string]string{"event/a.go": "// Package event again.\npackage event\n"},
		"event/a.go: one package comment",
	},
	{
		"PackageCommentInDocGo",
		map[string]string{"event/doc.go": "// Vocabulary.\npackage event\n"},
		`begin the package comment with "Package event"`,
	},
	{"NoForbiddenNames", map[string]string{"event/utils/a.txt": ""}, "not utils"},
	{"NoForbiddenNames", map[string]string{"event/helpers_test.go": "package event\n"}, "not helpers_test.go"},
	{"NoForbiddenNames", map[string]string{"event/test_util.go": "package event\n"}, "not test_util.go"},
	{"NoForbiddenNames", map[string]string{"event/types.go": "package event\n"}, "not types.go"},
	{"NoForbiddenNames", map[string]string{"event/a.go": "package common\n"}, "name the package"},
	{"FilesAreShort", goFile("event", strings.Repeat("\n", fileLinesMax)), "has 452 lines"},
	{
		"FunctionsAreShort",
		goFile("event", "func long() {"+strings.Repeat("\n", functionLinesMax)+"}"),
		"long has 101 lines",
	},
	{
		"FunctionsAreShort",
		goFile("event", "func long() {"+strings.Repeat("\n", functionLinesMax)+"}"),
		"(1 functions of the tree",
	},
	{"ExportedIsDocumented", goFile("event", "func F() {}"), "F is exported"},
	{
		"ExportedIsDocumented",
		goFile("event", "// T is.\ntype T[K any] struct{}\n\nfunc (t *T[K]) M() {}"),
		"M is exported",
	},
	{"ExportedIsDocumented", goFile("event", "type T int"), "T is exported"},
	{"ExportedIsDocumented", goFile("event", "const C = 1"), "C is exported"},
	{"ExportedIsDocumented", goFile("event", "var (\n\t// V is.\n\tV = 1\n\tW = 2\n)"), "W is exported"},
	{
		"DecodersAreFuzzed",
		goFile("counters", "func (s *shard) LoadImage(n int, b []byte) error { return nil }"),
		"counters decodes bytes (LoadImage)",
	},
	{"DecodersAreFuzzed", goFile("license", "func decode(b []byte) {}\nfunc parseKey(b []byte) {}"), "(decode, parseKey)"},
}

var stateViolations = []violation{
	{"NoInit", goFile("event", "func init() {}"), "event/x.go:3: no init"},
	{"NoMutableGlobals", goFile("event", "var n int\nfunc f() { n = 1 }"), "n is a package variable and is changed"},
	{"NoMutableGlobals", goFile("event", "var n int\nfunc f() { n++ }"), "n is a package variable and is changed"},
	{"NoMutableGlobals", goFile("event", "var m = map[int]int{}\nfunc f() { m[1] = 1 }"), "m is"},
	{"NoMutableGlobals", goFile("event", "var m = map[int]int{}\nfunc f() { delete(m, 1) }"), "m is"},
	{"NoMutableGlobals", goFile("event", "var o struct{ a []int }\nfunc f() { (o.a)[0] |= 1 }"), "o is"},
	{"NoMutableGlobals", goFile("event", "var p = new(int)\nfunc f() { *p = 1 }"), "p is"},
	{"NoMutableGlobals", goFile("event", "var n int\nfunc f() *int { return &n }"), "n is"},
	{"NoMutableGlobals", goFile("event", "var n int\nfunc f() { for n = range 3 {} }"), "n is"},
	{"NoMutableGlobals", goFile("event", "var n int\nvar f = func() { n = 1 }"), "n is"},
	{
		"NoMutableGlobals",
		goFile("event", "import \"net/http\"\nfunc f() { http.DefaultClient = nil }"),
		"net/http.DefaultClient is",
	},
	{"NoMutableGlobals", goFile("event", "import \"sync\"\nvar mu sync.Mutex"), "mu is a package variable of a type"},
	{"NoMutableGlobals", goFile("event", "import \"sync\"\nvar p = &sync.Pool{}"), "p is a package variable of a type"},
	{
		"NoMutableGlobals",
		goFile("event", "import \"sync/atomic\"\nvar n [4]atomic.Int64"),
		"n is a package variable of a type",
	},
	{
		"NoMutableGlobals",
		goFile("event", "import \"sync\"\ntype s struct{ mu sync.Mutex }\nvar one s"),
		"one is a package variable of a type",
	},
	{
		"NoMutableGlobals",
		goFile("event", "import \"github.com/VictoriaMetrics/metrics\"\nvar c = metrics.NewCounter(\"c\")"),
		"c is",
	},
	{"NoMutableGlobals", goFile("event", "var c = make(chan int)"), "c is"},
	{"PanicsAreBugs", goFile("event", "func f(err error) { panic(err) }"), "event/x.go:3: panic only"},
	{"PanicsAreBugs", goFile("event", `import "fmt"; func f() { panic(fmt.Sprintf("bad %d", 1)) }`), "panic only"},
	{"PaddingIsListed", goFile("event", "type t struct { n int; _ [56]byte }"), "padding is kept in few files"},
	{
		"TestsDoNotSleep",
		map[string]string{"event/a_test.go": "package event\nimport \"time\"\nfunc f() { time.Sleep(1) }\n"},
		"event/a_test.go:3: no sleeps in tests",
	},
}

var textViolations = []violation{
	{"NothingUnfinished", goFile("event", "// TO"+"DO: more"), "event/x.go:3: do what the TO" + "DO says"},
	{"NothingUnfinished", map[string]string{"a.md": "FIX" + "ME\n"}, "a.md:1: do what"},
	{"NothingFromOutside", goFile("event", "// see sha"+"red/API.md"), "is not in this repository"},
	{"NothingFromOutside", map[string]string{"Makefile": "x: /work/.libr" + "ary/x\n"}, "Makefile:1: "},
	{"CitedRulesExist", goFile("event", "// R21 is none.\n"), "event/x.go:3: there is no rule R21"},
	{"CitedRulesExist", map[string]string{"event/a_test.go": "package event\n\n// R0 is none.\n"}, "there is no rule R0"},
	{"CitedRulesExist", map[string]string{"README.md": "a\nby R99.\n"}, "README.md:2: there is no rule R99"},
	{"LinksResolve", map[string]string{"README.md": "[x](docs/NONE.md#a)\n"}, "the link to docs/NONE.md leads nowhere"},
	{"LinksResolve", map[string]string{"event/FORMAT.md": "[x](README.md)\n"}, "event/FORMAT.md:1: "},
	{"NoReplaceInGoMod", map[string]string{"go.mod": "module x\n\nreplace a => ../a\n"}, "no replace"},
	{"NoReplaceInGoMod", map[string]string{"go.mod": "module x\n\nexclude (\n\ta v1.0.0\n)\n"}, "no exclude"},
	{"OnlyText", map[string]string{"event/testdata/a": "a\x00b"}, "event/testdata/a is binary"},
	{"OnlyText", map[string]string{"event/testdata/a": "\xff\xfe"}, "event/testdata/a is binary"},
}

// TestLawfulHouse shows that the rules let pass what is right.
func TestLawfulHouse(t *testing.T) {
	tr := newTree(lawful)
	for _, fault := range tr.fault {
		t.Fatal(fault)
	}
	for _, r := range rules {
		for _, sentence := range r.check(tr) {
			t.Errorf("%s objects to a house without fault: %s", r.name, sentence)
		}
	}
}

// TestViolationsAreCaught shows of every rule that it catches what it is there for.
func TestViolationsAreCaught(t *testing.T) {
	proven := map[string]bool{}
	for _, v := range violations {
		proven[v.rule] = true
		files := maps.Clone(lawful)
		maps.Copy(files, v.files)
		tr := newTree(files)
		if len(tr.fault) > 0 {
			t.Fatalf("%s %v: %s", v.rule, v.files, tr.fault[0])
		}
		i := slices.IndexFunc(rules, func(r rule) bool { return r.name == v.rule })
		if i < 0 {
			t.Fatalf("there is no rule %s", v.rule)
		}
		sentences := rules[i].check(tr)
		if !slices.ContainsFunc(sentences, func(s string) bool { return strings.Contains(s, v.says) }) {
			t.Errorf("%s says %q of %v, not %q", v.rule, sentences, v.files, v.says)
		}
	}
	for _, r := range rules {
		if !proven[r.name] {
			t.Errorf("nothing shows that %s catches anything: add a violation", r.name)
		}
	}
}
