package powercut

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestMain(m *testing.M) {
	switch {
	case IsServer():
		os.Exit(Main())
	case os.Getenv(holderEnvironment) != "":
		os.Exit(holderMain(os.Getenv(holderEnvironment)))
	}
	flag.Parse()
	if !testing.Short() && flag.Lookup("rapid.checks").Value.String() == "100" {
		must(flag.Set("rapid.checks", "1000")) // A check takes a millisecond; some faults need several hundred.
	}
	os.Exit(m.Run())
}

// needFUSE skips a test where FUSE does not exist; the model tests run everywhere.
func needFUSE(tb testing.TB) {
	tb.Helper()
	if err := Available(); err != nil {
		tb.Skip(err)
	}
}

// tree returns the files under dir with their contents; directories end in a slash and have none.
func tree(tb testing.TB, dir string) map[string]string {
	tb.Helper()
	found := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if e.IsDir() {
			found[name+"/"] = ""
			return nil
		}
		data, err := os.ReadFile(path)
		found[name] = string(data)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return found
}

// must panics, for steps whose failure is the test's own mistake; the test reports the panic with its stack.
func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("step of the test: %v", err))
	}
}
