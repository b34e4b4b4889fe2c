package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// programs is where meterd and mqtt-gateway lie once build has built them.
var programs string

func TestMain(m *testing.M) { os.Exit(withPrograms(m)) }

func withPrograms(m *testing.M) int {
	dir, err := os.MkdirTemp("", "mqtt-gateway-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	programs = dir
	return m.Run()
}

// build builds both binaries, for the first test that asks.
var build = sync.OnceValue(func() error {
	cmd := exec.CommandContext(
		context.Background(),
		"go",
		"build",
		"-o",
		programs+string(filepath.Separator),
		"../meterd",
		".",
	)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build meterd and the gateway: %w\n%s", err, out)
	}
	return nil
})
