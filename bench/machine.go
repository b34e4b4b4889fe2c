package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
)

// Machine is what the figures were taken on.
type Machine struct {
	CPU         string `json:"cpu"`
	Cores       int    `json:"cores"`
	Kernel      string `json:"kernel"`
	MemoryBytes uint64 `json:"memory_bytes"`
	Filesystem  string `json:"filesystem,omitempty"` // of the data directory; empty if that is elsewhere
	Device      string `json:"device,omitempty"`
	Go          string `json:"go"`
	GOMAXPROCS  int    `json:"gomaxprocs"` // of the loader; the daemon has its default
}

// readMachine describes the machine and, if dir is not empty, the file system that dir lies on.
func readMachine(dir string) (Machine, error) {
	m := Machine{Cores: runtime.NumCPU(), Go: runtime.Version(), GOMAXPROCS: runtime.GOMAXPROCS(0)}
	cpu, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return m, fmt.Errorf("describe the machine: %w", err)
	}
	m.CPU = cpuModel(cpu)
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return m, fmt.Errorf("describe the machine: %w", err)
	}
	m.Kernel = string(bytes.TrimSpace(kernel))
	memory, err := os.ReadFile("/proc/meminfo")
	if err == nil {
		err = member(memory, "MemTotal:", 1<<10, &m.MemoryBytes)
	}
	if err != nil || dir == "" {
		return m, err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return m, fmt.Errorf("describe the machine: %w", err)
	}
	m.Filesystem, m.Device = mountOf(mounts, dir)
	return m, nil
}

func cpuModel(cpuinfo []byte) string {
	for line := range bytes.Lines(cpuinfo) {
		if name, value, ok := bytes.Cut(line, []byte{':'}); ok && string(bytes.TrimSpace(name)) == "model name" {
			return string(bytes.TrimSpace(value))
		}
	}
	return runtime.GOARCH
}

// mountOf returns file system and device of the longest mount point above path, by /proc/self/mountinfo. Of two mounts
// on one point the later one hides the earlier.
func mountOf(mountinfo []byte, path string) (filesystem, device string) {
	longest := -1
	for line := range strings.Lines(string(mountinfo)) {
		before, after, ok := strings.Cut(line, " - ")
		mount, what := strings.Fields(before), strings.Fields(after)
		if !ok || len(mount) < 5 || len(what) < 2 {
			continue
		}
		point := mount[4]
		inside := path == point || strings.HasPrefix(path, strings.TrimSuffix(point, "/")+"/")
		if inside && len(point) >= longest {
			longest, filesystem, device = len(point), what[0], what[1]
		}
	}
	return filesystem, device
}

var errMemoryDisk = errors.New("is in memory, where a sync costs nothing: give a directory on a disk")

// realDirectory returns dir with its symbolic links resolved, or an error if it is not on a disk.
func realDirectory(dir string) (string, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("data directory: %w", err)
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", fmt.Errorf("data directory: %w", err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("data directory: %w", err)
	}
	if filesystem, _ := mountOf(mounts, path); filesystem == "tmpfs" || filesystem == "ramfs" {
		return "", fmt.Errorf("data directory: %s %w", path, errMemoryDisk)
	}
	return path, nil
}

// readCommit returns the commit that this binary was built from, with "+" if the tree had changes; what git says of the
// current directory if the build did not note it; "unknown" without either.
func readCommit(ctx context.Context) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		if commit := builtFrom(info.Settings); commit != "" {
			return commit
		}
	}
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty=+", "--abbrev=40").Output()
	if err != nil {
		return "unknown"
	}
	return string(bytes.TrimSpace(out))
}

func builtFrom(settings []debug.BuildSetting) (commit string) {
	changed := ""
	for _, s := range settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = "+"
		}
	}
	if commit == "" {
		return ""
	}
	return commit + changed
}
