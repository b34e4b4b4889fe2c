package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// digits are what differs from run to run: days, sizes, how many.
var digits = regexp.MustCompile(`[0-9]+`)

// TestReadmeBilling types what README.md says in "Billing's first ten minutes", beside a daemon that has a snapshot
// already, as the demo has: the snapshot that is made is the one that is proved, and it is said what README.md says.
func TestReadmeBilling(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, function, _ := strings.Cut(string(readme), "\nask() ")
	function, _, _ = strings.Cut(function, "\n")
	_, chapter, _ := strings.Cut(string(readme), "\n## Billing's first ten minutes\n")
	chapter, _, _ = strings.Cut(chapter, "\n## ")
	blocks := strings.Split(chapter, "```\n")
	if function == "" || len(blocks) != 9 {
		t.Fatalf("README.md has %d blocks there", len(blocks)/2)
	}
	d := newDaemon(t)
	d.withProduct("demo", `{}`)
	d.credit("demo", "PO-1", 1000)
	d.topup("demo", "PO-2", 100)
	d.must("POST", "/v1/snapshots", `{}`, nil)

	dir := t.TempDir()
	for _, err := range []error{
		os.Mkdir(filepath.Join(dir, "bin"), 0o700),
		os.Symlink(program, filepath.Join(dir, "bin", "meterd")),
		os.Symlink(d.data, filepath.Join(dir, "data")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	typed := "ask() " + function + "\n" + blocks[1] + blocks[5]
	cmd := exec.CommandContext(t.Context(), "bash", "-eu", "-c",
		strings.ReplaceAll(typed, "http://127.0.0.1:8480", "http://"+d.run.address))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "METERD_URL=http://"+d.run.address, "TMPDIR="+t.TempDir())
	out, err := cmd.CombinedOutput()
	said := digits.ReplaceAllString(string(out), "0")
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	for line := range strings.SplitSeq(blocks[3]+blocks[7], "\n") {
		if line == "…" {
			continue
		}
		_, rest, isThere := strings.Cut(said, digits.ReplaceAllString(line, "0"))
		if !isThere {
			t.Fatalf("README.md says %q next; typed as written it says\n%s", line, out)
		}
		said = rest
	}
	if _, err := os.Stat(filepath.Join(dir, "s00000002", "devices.parquet")); err != nil {
		t.Errorf("the snapshot that was made was not brought: %v", err)
	}
}
