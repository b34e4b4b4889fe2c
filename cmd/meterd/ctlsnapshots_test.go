package main_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCtlDownloads writes the files of a snapshot, and refuses one that is not as it was sealed.
func TestCtlDownloads(t *testing.T) {
	t.Parallel()
	sum := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return hex.EncodeToString(sum[:])
	}
	const sums = "the sums"
	f := newFakeAPI(t, func(w http.ResponseWriter, r *http.Request) {
		_, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/snapshots/"), "/")
		switch {
		case name == "SHA256SUMS":
			fmt.Fprint(w, sums)
		case name != "":
			fmt.Fprint(w, name+r.URL.Query().Get("columns"))
		default:
			bad := sum("products.csv")
			if strings.HasSuffix(r.URL.Path, "s2") {
				bad = sum("something else")
			}
			fmt.Fprintf(w, `{"id":"s1","sha256":%q,"files":[{"name":"devices.csv","bytes":11,"sha256":%q},`+
				`{"name":"devices.parquet","bytes":15,"sha256":%q},{"name":"products.csv","bytes":12,"sha256":%q}]}`,
				sum(sums), sum("devices.csv"), sum("devices.parquet"), bad)
		}
	})
	dir := t.TempDir()
	files := func() (text string) {
		entries, err := filepath.Glob(filepath.Join(dir, "*", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range entries {
			content, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			text += strings.TrimPrefix(name, dir) + "=" + string(content) + " "
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
		return text
	}
	for _, c := range []struct {
		command, files, says string
		code                 int
	}{
		{
			"s1", "/s1/SHA256SUMS=the sums /s1/devices.csv=devices.csv /s1/devices.parquet=devices.parquet " +
				"/s1/products.csv=products.csv ", "", 0,
		},
		{"s1 --file devices.parquet", "/s1/devices.parquet=devices.parquet ", "", 0},
		{
			"s1 --columns focus", "/s1/devices.csv=devices.csvfocus /s1/products.csv=products.csvfocus ", "", 0,
		},
		{
			"s2", "/s2/devices.csv=devices.csv /s2/devices.parquet=devices.parquet /s2/products.csv.part=products.csv ",
			"products.csv has the checksum", 1,
		},
		{"s1 --file ../x", "", "no such file", 2},
	} {
		args := append(strings.Fields("snapshots download "+c.command), "--to", dir)
		r := ctl(t, f.env(), args...)
		if got := files(); r.code != c.code || got != c.files || !strings.Contains(r.stderr, c.says) {
			t.Errorf("%s: exit %d, files %q, want %q\n%s", c.command, r.code, got, c.files, r.stderr)
		}
	}
}
