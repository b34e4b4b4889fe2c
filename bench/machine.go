package bench

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/prometheus/procfs"
)

// Machine describes where the figures were measured.
type Machine struct {
	CPU         string `json:"cpu"`
	Cores       int    `json:"cores"`
	Kernel      string `json:"kernel"`
	MemoryBytes uint64 `json:"memory_bytes"`
	Filesystem  string `json:"filesystem,omitempty"` // of the data directory; empty if the daemon is remote
	Device      string `json:"device,omitempty"`
	Go          string `json:"go"`
	GOMAXPROCS  int    `json:"gomaxprocs"` // of the loader; the daemon has its default
}

// readMachine describes the machine and, if dir is not empty, the file system that dir lies on.
func readMachine(dir string) (Machine, error) {
	m := Machine{CPU: runtime.GOARCH, Cores: runtime.NumCPU(), Go: runtime.Version(), GOMAXPROCS: runtime.GOMAXPROCS(0)}
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return m, fmt.Errorf("describe the machine: %w", err)
	}
	cpus, err := fs.CPUInfo()
	if err != nil {
		return m, fmt.Errorf("describe the machine: %w", err)
	}
	if len(cpus) > 0 && cpus[0].ModelName != "" {
		m.CPU = cpus[0].ModelName
	}
	memory, err := fs.Meminfo()
	if err != nil {
		return m, fmt.Errorf("describe the machine: %w", err)
	}
	if memory.MemTotalBytes != nil {
		m.MemoryBytes = *memory.MemTotalBytes
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return m, fmt.Errorf("describe the machine: %w", err)
	}
	m.Kernel = string(bytes.TrimSpace(kernel))
	if dir == "" {
		return m, nil
	}
	mounts, err := procfs.GetMounts()
	if err != nil {
		return m, fmt.Errorf("describe the machine: %w", err)
	}
	m.Filesystem, m.Device = mountOf(mounts, dir)
	return m, nil
}

// mountOf returns file system and device of the longest mount point above path. Of two mounts on one point the later
// one hides the earlier.
func mountOf(mounts []*procfs.MountInfo, path string) (filesystem, device string) {
	longest := -1
	for _, m := range mounts {
		point := m.MountPoint
		inside := path == point || strings.HasPrefix(path, strings.TrimSuffix(point, "/")+"/")
		if inside && len(point) >= longest {
			longest, filesystem, device = len(point), m.FSType, m.Source
		}
	}
	return filesystem, device
}

var errMemoryDisk = errors.New("is in memory, where a sync costs nothing: give a directory on a disk")

// realDirectory returns dir with symbolic links resolved, or an error if it is not on a disk.
func realDirectory(dir string) (string, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("data directory: %w", err)
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", fmt.Errorf("data directory: %w", err)
	}
	mounts, err := procfs.GetMounts()
	if err != nil {
		return "", fmt.Errorf("data directory: %w", err)
	}
	if filesystem, _ := mountOf(mounts, path); filesystem == "tmpfs" || filesystem == "ramfs" {
		return "", fmt.Errorf("data directory: %s %w", path, errMemoryDisk)
	}
	return path, nil
}

// readCommit returns the commit that a program was built from; without a program, this one's. If the binary does not
// contain it, it asks git about the current directory.
func readCommit(ctx context.Context, program string) string {
	if program == "" {
		program = "/proc/self/exe"
	}
	if commit := commitOf(program); commit != commitUnknown {
		return commit
	}
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty=+", "--abbrev=40").Output()
	if err != nil {
		return commitUnknown
	}
	return string(bytes.TrimSpace(out))
}

const commitUnknown = "unknown"

// commitOf returns the commit that a program was built from, with "+" if the tree had changes.
func commitOf(program string) string {
	commit, changed := commitUnknown, ""
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return commit
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = "+"
		}
	}
	return commit + changed
}
