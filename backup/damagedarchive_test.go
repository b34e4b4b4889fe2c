package backup

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/meterd/meterd/retention/archive"
)

// TestDamagedArchive: a directory of the archive that is damaged is copied as it is, and the manifest names it. One
// that is whole is not named.
func TestDamagedArchive(t *testing.T) {
	b := newBed(t)
	b.s.Archive.SetProducts(func(uint64) uint32 { return 1 })
	now := time.Now().UnixMilli()
	for seq := range uint64(2) {
		must(t, b.s.Archive.Group(seq+1, now, now))
		b.s.Archive.Add(&archive.Row{Device: archive.Known(1, 1), DecidedMs: now, Type: 1})
		b.s.Archive.End(archive.Position{Seq: seq + 1}, now)
		must(t, b.s.Archive.WriteRun())
	}
	if _, m := b.stream(); len(m.Damaged) != 0 {
		t.Fatalf("%q are named", m.Damaged)
	}
	runs, err := filepath.Glob(filepath.Join(b.s.Dir.ArchivePath(), "run-*"))
	if err != nil || len(runs) != 2 {
		t.Fatal(runs, err)
	}
	tables, err := filepath.Glob(filepath.Join(runs[1], "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	raw, err := os.ReadFile(tables[0])
	must(t, err)
	raw[40] ^= 4
	must(t, os.WriteFile(tables[0], raw, 0o600))
	sent, m := b.stream()
	want := []string{"archive/" + filepath.Base(runs[1])}
	if !slices.Equal(m.Damaged, want) {
		t.Fatalf("%q are named, and %q is damaged", m.Damaged, want)
	}
	place := &directory{path: filepath.Join(t.TempDir(), "place")}
	_, err = Receive(t.Context(), bytes.NewReader(sent), place)
	must(t, err)
	again, err := Restore(t.Context(), place, filepath.Join(t.TempDir(), "to"))
	if err != nil || !slices.Equal(again.Damaged, want) {
		t.Fatalf("%v %v", again, err)
	}
	for _, bad := range [][]string{{"../x"}, slices.Repeat(want, len(m.Files)+1)} {
		m.Damaged = bad
		encoded, err := m.encode()
		must(t, err)
		if _, err := decodeManifest(encoded); err == nil {
			t.Errorf("%d names are taken, the first is %q", len(bad), bad[0])
		}
	}
}
