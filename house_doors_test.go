package meterd_test

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strings"
)

var doorRules = []rule{
	{"OutsideIsTouchedThroughDoors", doorsAreKept},
	{"NoDotImports", noDotImports},
	{"DoorsNameWhoPasses", doorsNameWhoPasses},
}

// door is a way to the outside. What goes through it is named by imports and by selectors; who may pass, by folders and
// files.
type door struct {
	name    string
	keepers []string            // folders, with what is below them, and files
	imports []string            // import paths; one that ends in /... stands for those below it too
	uses    map[string][]string // names by import path; a * stands for any letters, a ! before a name lets it pass
	advice  string
}

var doors = []door{
	{
		name:    "the network",
		keepers: []string{"ingest", "console", "cmd", "client", "bench"},
		imports: []string{
			"net", "net/http/...", "net/rpc/...", "net/smtp", "crypto/tls", "github.com/valyala/fasthttp/...",
			"github.com/fasthttp/...", "github.com/gorilla/websocket",
		},
		advice: "take what came through the door as an argument",
	},
	{
		name:    "listening",
		keepers: []string{"ingest", "console", "cmd/mqtt-gateway"},
		uses: map[string][]string{
			"net":                         {"Listen*", "FileListener"},
			"net/http":                    {"Server", "Serve", "ServeTLS", "ListenAndServe*"},
			"github.com/valyala/fasthttp": {"Server", "Serve", "ServeConn", "ServeTLS*", "ListenAndServe*"},
			"crypto/tls":                  {"Listen", "NewListener"},
		},
		advice: "only ingest and console listen for meterd: give them the address",
	},
	{
		name:    "connecting",
		keepers: []string{"client", "bench"},
		uses: map[string][]string{
			"net":                         {"Dial*", "Resolver", "Lookup*"},
			"net/http":                    {"Client", "Transport", "Default*", "Get", "Head", "Post", "PostForm"},
			"github.com/valyala/fasthttp": {"*Client", "Dial*", "TCPDialer", "Do*", "Get*", "Post*"},
			"crypto/tls":                  {"Dial*", "Client"},
		},
		advice: "talk to meterd through the package client",
	},
	{
		name: "the disk",
		// cmd: the token file; client: its spool; ingest/socket.go: connections are descriptors, too
		keepers: []string{"retention", "cmd", "client", "bench", "ingest/socket.go"},
		imports: []string{"io/ioutil"},
		uses: map[string][]string{
			// All of os but what touches no file, and what other doors keep.
			"os": {
				"*",
				"!Err*",
				"!Is*",
				"!Signal",
				"!Interrupt",
				"!Kill",
				"!Getpid",
				"!Getpagesize",
				"!Hostname",
				"!PathError",
				"!SyscallError",
				"!NewSyscallError",
				"!Args",
				"!*env*",
				"!Environ",
				"!*Env*",
				"!Exit",
				"!Std*",
				"!*Process*",
				"!ProcAttr",
			},
			"syscall":                     fileCalls,
			"golang.org/x/sys/unix":       fileCalls,
			"path/filepath":               {"Walk*", "Glob", "EvalSymlinks", "Abs"},
			"crypto/tls":                  {"LoadX509KeyPair"},
			"net/http":                    {"Dir", "ServeFile"},
			"github.com/valyala/fasthttp": {"ServeFile*", "SaveMultipartFile"},
		},
		advice: "files are retention's: ask it",
	},
	{
		name:    "mapped memory",
		keepers: []string{"counters/slab_mmap.go", "retention"}, // The device table lies outside the Go heap.
		uses: map[string][]string{
			"syscall":               {"Mmap", "Munmap", "Madvise", "Syscall*", "RawSyscall*"},
			"golang.org/x/sys/unix": {"Mmap*", "Munmap*", "Mremap", "Madvise", "Syscall*", "RawSyscall*"},
		},
		advice: "map memory where the device table does",
	},
	{
		name: "flags, environment, signals and exit",
		keepers: []string{
			"cmd",
			"bench/powercut",
		}, // bench/powercut: its file system is a child process started from the test's binary
		imports: []string{"flag", "github.com/spf13/...", "os/signal", "log"},
		uses: map[string][]string{
			"os":                    {"Args", "*env*", "Environ", "*Env*", "Exit"},
			"syscall":               {"Exit", "Kill", "*env", "Environ"},
			"golang.org/x/sys/unix": {"Exit", "Kill", "*env", "Environ"},
		},
		advice: "take it as an option, return an error, and log with log/slog: only cmd sees the process around it",
	},
	{
		name:    "standard output",
		keepers: []string{"cmd", "bench"},
		uses: map[string][]string{
			"fmt": {"Print*"},
			"os":  {"Std*"},
		},
		advice: "log with log/slog, or take an io.Writer",
	},
	{
		name:    "other processes",
		keepers: []string{"cmd", "bench"}, // bench: the real binary
		imports: []string{"os/exec"},
		uses: map[string][]string{
			"os":      {"*Process*", "ProcAttr"},
			"syscall": {"Exec", "ForkExec", "StartProcess"},
		},
		advice: "no room but these starts anything",
	},
	{
		name:    "Badger",
		keepers: []string{"retention"},
		imports: []string{"github.com/dgraph-io/..."},
		advice:  "retention is the only room that knows Badger: ask it",
	},
	{
		name:    "metrics",
		keepers: []string{"metric"},
		imports: []string{
			"github.com/prometheus/client_golang/...",
			module + "/metric/metrictest",
		}, // its linter is for tests
		uses: map[string][]string{
			"github.com/VictoriaMetrics/metrics": {"New*", "GetOrCreate*", "Register*", "Write*", "Expose*", "Init*"},
		},
		advice: "register it in a metric.Set, which demands a type and a sentence of help",
	},
	{
		name:    "MQTT",
		keepers: []string{"cmd/mqtt-gateway"},
		imports: []string{"github.com/mochi-mqtt/..."},
		advice:  "meterd speaks no MQTT, its reference gateway does",
	},
	{
		name:    "FUSE",
		keepers: []string{"bench"},
		imports: []string{"github.com/hanwen/go-fuse/..."},
		advice:  "only the simulated power cut needs a file system of its own",
	},
	{
		name:    "unsafe",
		keepers: []string{"counters/memory.go"}, // It lays the slots over the mapping.
		imports: []string{"unsafe", "C"},
		advice:  "write it without, or argue in house_doors_test.go why this file cannot",
	},
}

var fileCalls = []string{
	"Open*",
	"Creat",
	"Close",
	"Read*",
	"Write*",
	"Pread*",
	"Pwrite*",
	"Preadv*",
	"Mkdir*",
	"Rmdir",
	"Rename*",
	"Unlink*",
	"Link*",
	"Symlink*",
	"Truncate",
	"Ftruncate",
	"Fallocate",
	"Fsync",
	"Fdatasync",
	"Sync*",
	"Flock",
	"Stat*",
	"Fstat*",
	"Lstat",
	"Chmod",
	"Chown",
	"Access",
	"Mount",
}

// doorsAreKept fails for whatever goes through a door and is not one of its keepers.
func doorsAreKept(tr *tree) (sentences []string) {
	for _, r := range tr.sorted() {
		for _, s := range r.product {
			for i := range doors {
				d := &doors[i]
				if d.lets(s.path) {
					continue
				}
				for n, what := range d.passes(r, s) {
					sentences = append(sentences, fmt.Sprintf("%s: %s goes through the door %q, which is open to %s only: %s",
						tr.at(n), what, d.name, strings.Join(d.keepers, ", "), d.advice))
				}
			}
		}
	}
	slices.Sort(sentences)
	return sentences
}

func (d *door) lets(file string) bool {
	for _, keeper := range d.keepers {
		if file == keeper || strings.HasPrefix(file, keeper+"/") {
			return true
		}
	}
	return false
}

// doorsNameWhoPasses fails for a file that a door is kept open for although it does not, or no longer, pass.
func doorsNameWhoPasses(tr *tree) (sentences []string) {
	for i := range doors {
		d := &doors[i]
		for _, keeper := range d.keepers {
			r := tr.rooms[path.Dir(keeper)]
			if path.Ext(keeper) != ".go" || r == nil {
				continue
			}
			used := slices.ContainsFunc(r.product, func(s *source) bool { return s.path == keeper && len(d.passes(r, s)) > 0 })
			if !used {
				sentences = append(
					sentences,
					fmt.Sprintf("%s has no need of the door %q: take it out of house_doors_test.go", keeper, d.name),
				)
			}
		}
	}
	return sentences
}

// passes returns what of s goes through d.
func (d *door) passes(r *room, s *source) map[ast.Node]string {
	found := map[ast.Node]string{}
	for _, spec := range s.file.Imports {
		if d.isImport(importPath(spec)) {
			found[spec] = importPath(spec)
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		if e, ok := n.(*ast.SelectorExpr); ok {
			if from := r.importOf(e); from != "" && matches(d.uses[from], e.Sel.Name) {
				found[e] = path.Base(from) + "." + e.Sel.Name
			}
		}
		return true
	})
	return found
}

func (d *door) isImport(imported string) bool {
	for _, p := range d.imports {
		tree, below := strings.CutSuffix(p, "/...")
		if imported == tree || below && strings.HasPrefix(imported, tree+"/") {
			return true
		}
	}
	return false
}

// matches reports whether a pattern matches name and no pattern with a ! does.
func matches(patterns []string, name string) bool {
	found := false
	for _, p := range patterns {
		plain, not := strings.CutPrefix(p, "!")
		if ok, _ := path.Match(plain, name); !ok {
			continue
		}
		if not {
			return false
		}
		found = true
	}
	return found
}

// noDotImports fails for an import that hides which package a name belongs to: no door could be kept.
func noDotImports(tr *tree) (sentences []string) {
	for _, r := range tr.sorted() {
		for _, s := range r.product {
			for _, spec := range s.file.Imports {
				if spec.Name != nil && spec.Name.Name == "." {
					sentences = append(sentences, fmt.Sprintf("%s: import %s by its name: a dot hides what is used of it",
						tr.at(spec), importPath(spec)))
				}
			}
		}
	}
	return sentences
}
