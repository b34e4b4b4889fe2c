// The tests of this folder drive the real binary from outside: over HTTP, by its flags, by signals, and by what they do
// to its data directory. They know what the contract promises and nothing of the code.
package main_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"testing"

	"github.com/meterd/meterd/bench/powercut"
)

// program is the binary under test. TestMain builds it once.
var program string

func TestMain(m *testing.M) {
	if powercut.IsServer() {
		os.Exit(powercut.Main())
	}
	flag.Parse()
	// A worker that fuzzes is killed when it is done, and would leave the binary behind; without tests, nobody needs it.
	if testFlag("test.fuzzworker") == "true" || testFlag("test.run") == "^$" {
		os.Exit(m.Run())
	}
	// Most of these tests wait, for a midnight, a retention or a process, and need no processor for it.
	if testFlag("test.parallel") == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		_ = flag.Set("test.parallel", "8") // It is a number.
	}
	os.Exit(buildAndRun(m))
}

// testFlag returns the value of one of go test's flags.
func testFlag(name string) string { return flag.Lookup(name).Value.String() }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "meterd-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "meterd")
	build := exec.CommandContext(context.Background(), "go", "build", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the daemon: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// needsBinary leaves a test out of `go test -race -short`: the binary is built without the race detector.
func needsBinary(t testing.TB) {
	t.Helper()
	info, _ := debug.ReadBuildInfo() // It is there in modules.
	if testing.Short() && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("the race detector does not see into the binary")
	}
}

// seed returns what a test draws its chances from, and prints it; METERD_TEST_SEED repeats a run.
func seed(t *testing.T) uint64 {
	t.Helper()
	n := rand.Uint64()
	if given := os.Getenv("METERD_TEST_SEED"); given != "" {
		var err error
		if n, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatalf("METERD_TEST_SEED: %v", err)
		}
	}
	t.Logf("seed %d: METERD_TEST_SEED=%d go test -run '^%s$' ./cmd/meterd", n, n, t.Name())
	return n
}
