package main_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"

	"github.com/parquet-go/parquet-go"
)

// ctlShowsLogs shows the log of the product p1, of which a connect and an up of d1 were accepted, in each way.
func (d *daemon) ctlShowsLogs() {
	t := d.t
	t.Helper()
	lines := func(args ...string) []string {
		t.Helper()
		return strings.Split(strings.TrimSpace(d.ctl(append([]string{"logs", "p1", "-o", "ndjson"}, args...)...)), "\n")
	}
	up, connect := `"type":"up"`, `"type":"connect"`
	if list := lines(); len(list) != 2 || !strings.Contains(list[0], up) || !strings.Contains(list[1], `"device":"d1"`) {
		t.Errorf("newest first: %q", list)
	}
	if list := lines("--order", "asc", "--limit", "1"); len(list) != 1 || !strings.Contains(list[0], connect) {
		t.Errorf("oldest first: %q", list)
	}
	if list := lines("--verdict", "suspended"); len(list) != 1 || list[0] != "" {
		t.Errorf("what was not answered: %q", list)
	}
	// It would go on, but no more are wanted.
	if list := lines("--follow", "--from", "-1h", "--limit", "2"); len(list) != 2 || !strings.Contains(list[0], connect) {
		t.Errorf("what comes: %q", list)
	}
	d.ctlRefused("invalid_argument", "logs", "p1", "--verdict", "nope")
	path := filepath.Join(t.TempDir(), "p1.parquet")
	want(t, d.ctl("logs", "p1", "--parquet", path), path, "bytes")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(whole), int64(len(whole)))
	if err != nil || f.NumRows() != 2 {
		t.Errorf("the file has not two rows: %v", err)
	}
	if out := d.ctl("logs", "p1", "--parquet", "-"); out != string(whole) {
		t.Errorf("the output has %d bytes, the file %d", len(out), len(whole))
	}
	if _, err := os.Stat(path + ".part"); err == nil {
		t.Error("what was not whole is left")
	}
}
