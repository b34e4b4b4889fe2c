package meterd_test

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

var textRules = []rule{
	{"NothingUnfinished", nothingUnfinished},
	{"NothingFromOutside", nothingFromOutside},
	{"CitedRulesExist", citedRulesExist},
	{"LinksResolve", linksResolve},
	{"NoReplaceInGoMod", noReplaceInGoMod},
	{"OnlyText", onlyText},
}

// ruleNumberMax is the number of the last rule. Numbers are never given twice.
const ruleNumberMax = 20

var (
	unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
	outside    = regexp.MustCompile(`\bsha` + `red/|\.libr` + `ary\b`)
	citation   = regexp.MustCompile(`\bR([0-9]+)\b`)
	link       = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	replace    = regexp.MustCompile(`(?m)^\s*(replace|exclude)\b`)
)

// textLines calls yield for each line of each text file, in the order of the files' names.
func (tr *tree) textLines(yield func(name string, number int, line string)) {
	names := make([]string, 0, len(tr.files))
	for name, content := range tr.files {
		if isPlain(content) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		number := 0
		for line := range strings.Lines(tr.files[name]) {
			number++
			yield(name, number, line)
		}
	}
}

func isPlain(content string) bool {
	return utf8.ValidString(content) && !strings.Contains(content, "\x00")
}

// nothingUnfinished fails for a note that says that work is left: it is done, or it is an issue.
func nothingUnfinished(tr *tree) (sentences []string) {
	tr.textLines(func(name string, number int, line string) {
		if word := unfinished.FindString(line); word != "" {
			sentences = append(
				sentences,
				fmt.Sprintf("%s:%d: do what the %s says, or open an issue and take it out", name, number, word),
			)
		}
	})
	return sentences
}

// nothingFromOutside fails for a path that a reader of this repository does not have.
func nothingFromOutside(tr *tree) (sentences []string) {
	tr.textLines(func(name string, number int, line string) {
		if word := outside.FindString(line); word != "" {
			sentences = append(
				sentences,
				fmt.Sprintf("%s:%d: %q is not in this repository: say it here, or leave it out", name, number, word),
			)
		}
	})
	return sentences
}

// citedRulesExist fails for a rule number that there is not. In Go only comments cite; test data cites nothing.
func citedRulesExist(tr *tree) (sentences []string) {
	judge := func(where, text string) {
		for _, m := range citation.FindAllStringSubmatch(text, -1) {
			if n, err := strconv.Atoi(m[1]); err != nil || n < 1 || n > ruleNumberMax {
				sentences = append(
					sentences,
					fmt.Sprintf("%s: there is no rule %s: they are R1 to R%d", where, m[0], ruleNumberMax),
				)
			}
		}
	}
	for _, r := range tr.sorted() {
		for _, s := range slices.Concat(r.product, r.tests) {
			for _, group := range s.file.Comments {
				for _, comment := range group.List {
					judge(tr.at(comment), comment.Text)
				}
			}
		}
	}
	tr.textLines(func(name string, number int, line string) {
		if path.Ext(name) != ".go" && path.Ext(name) != ".sum" && !strings.Contains("/"+name, "/testdata/") {
			judge(fmt.Sprintf("%s:%d", name, number), line)
		}
	})
	return sentences
}

// linksResolve fails for a link in Markdown to a file or folder that is not in the repository.
func linksResolve(tr *tree) (sentences []string) {
	tr.textLines(func(name string, number int, line string) {
		if path.Ext(name) != ".md" {
			return
		}
		for _, m := range link.FindAllStringSubmatch(line, -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if target == "" || strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			if !tr.has(path.Join(path.Dir(name), target)) {
				sentences = append(sentences, fmt.Sprintf("%s:%d: the link to %s leads nowhere: correct it, or write the file",
					name, number, target))
			}
		}
	})
	return sentences
}

// has reports whether name is a file, or a folder with files.
func (tr *tree) has(name string) bool {
	if _, ok := tr.files[name]; ok || name == "." {
		return true
	}
	for file := range tr.files {
		if strings.HasPrefix(file, name+"/") {
			return true
		}
	}
	return false
}

// noReplaceInGoMod fails for a go.mod that builds something else than what it names.
func noReplaceInGoMod(tr *tree) (sentences []string) {
	if word := replace.FindString(tr.files["go.mod"]); word != "" {
		sentences = append(
			sentences,
			fmt.Sprintf("go.mod: no %s: whoever imports the module would not have it; require what is meant",
				strings.TrimSpace(word)),
		)
	}
	return sentences
}

// onlyText fails for a file that no diff can show.
func onlyText(tr *tree) (sentences []string) {
	for name, content := range tr.files {
		if !isPlain(content) {
			sentences = append(
				sentences,
				name+" is binary: keep what makes it, or its text (hex, base64), and ignore what is built",
			)
		}
	}
	slices.Sort(sentences)
	return sentences
}
