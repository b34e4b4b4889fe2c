package meterd_test

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

var arrowRules = []rule{
	{"ImportsPointDown", importsPointDown},
	{"TopLevelFoldersAreKnown", topLevelFoldersAreKnown},
	{"RootHoldsNoCode", rootHoldsNoCode},
}

// arrows says what each top-level folder may import of ours, beside what is in the folder itself. Its keys are all the
// folders that there are.
var arrows = map[string][]string{
	"cmd": {
		"ingest",
		"console",
		"usage",
		"shard",
		"counters",
		"license",
		"access",
		"retention",
		"event",
		"metric",
		"client",
		"bench",
	},
	"ingest":    {"shard", "counters", "license", "access", "retention", "event", "metric"},
	"console":   {"shard", "counters", "license", "access", "retention", "event", "metric"},
	"usage":     {"shard", "counters", "license", "retention"},
	"shard":     {"counters", "license", "access", "retention", "event", "metric"},
	"counters":  {},
	"license":   {"access", "event"},
	"access":    {"event"},
	"retention": {"event"},
	"client":    {"event"},
	"bench":     {"event", "client"},
	"event":     {},
	"docs":      {}, // Pages for people.
	"metric":    {},
}

// importsPointDown fails for an import of ours that arrows does not name.
func importsPointDown(tr *tree) (sentences []string) {
	for _, r := range tr.sorted() {
		allowed := arrows[r.top()]
		for _, imported := range r.imports {
			folder, ours := strings.CutPrefix(imported, module+"/")
			if !ours {
				if imported == module {
					sentences = append(sentences, r.folder+" imports the root, which holds no code: drop the import")
				}
				continue
			}
			top, _, _ := strings.Cut(folder, "/")
			if top == r.top() || slices.Contains(allowed, top) {
				continue
			}
			sentences = append(sentences, fmt.Sprintf("%s imports %s, but arrows point down only: %s may import %s; "+
				"declare what is needed as an interface in %s, or move it to where both may see it",
				r.folder, folder, r.top(), oneOf(allowed), r.folder))
		}
	}
	return sentences
}

func oneOf(names []string) string {
	if len(names) == 0 {
		return "nothing of ours"
	}
	return strings.Join(names, ", ")
}

// topLevelFoldersAreKnown fails for a folder that the design does not know. Hidden ones are tools' business.
func topLevelFoldersAreKnown(tr *tree) (sentences []string) {
	seen := map[string]bool{}
	for name := range tr.files {
		top, _, inFolder := strings.Cut(name, "/")
		if !inFolder || seen[top] || strings.HasPrefix(top, ".") {
			continue
		}
		seen[top] = true
		if _, known := arrows[top]; !known {
			sentences = append(sentences, fmt.Sprintf("%s/ is no room of the house: put its files into one that there is, "+
				"or give the reason for it in ARCHITECTURE.md and its arrows in house_arrows_test.go", top))
		}
	}
	slices.Sort(sentences)
	return sentences
}

// rootHoldsNoCode fails for product code in the root folder.
func rootHoldsNoCode(tr *tree) (sentences []string) {
	for name := range tr.files {
		if path.Ext(name) == ".go" && !strings.Contains(name, "/") && name != "doc.go" &&
			!strings.HasSuffix(name, "_test.go") {
			sentences = append(sentences, name+" lies in the root, which holds no code: move it into a room")
		}
	}
	slices.Sort(sentences)
	return sentences
}
