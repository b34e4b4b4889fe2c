package powercut

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// fsName is the name and type of the mounts in /proc/self/mounts.
const fsName = "powercut"

// Available says why FUSE cannot be used here, nil if it can. It mounts nothing; a sandbox may still refuse Mount.
func Available() error {
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("FUSE cannot be used: %w", err)
	}
	_ = f.Close() // Nothing was done with it.
	if os.Geteuid() == 0 {
		return nil
	}
	if _, err := exec.LookPath("fusermount3"); err != nil {
		return fmt.Errorf("FUSE cannot be used without root: install fuse3: %w", err)
	}
	return nil
}

// unmount takes a mount away if nothing is open on it.
func unmount(mountpoint string) error {
	err := unix.Unmount(mountpoint, unix.UMOUNT_NOFOLLOW)
	if errors.Is(err, syscall.EPERM) {
		return fusermount("-u", mountpoint)
	}
	return err
}

// detach takes a mount of ours away at once; what is open on it lives on without a name. No mount is no error.
func detach(mountpoint string) error {
	mounted, err := ours(mountpoint)
	if err != nil || !mounted {
		return err
	}
	return detachAny(mountpoint)
}

// ours says whether the topmost mount on mountpoint is one of this package's: another one must not be taken away.
func ours(mountpoint string) (bool, error) {
	table, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return false, fmt.Errorf("read the mounts: %w", err)
	}
	escaped := strings.NewReplacer(`\`, `\134`, " ", `\040`, "\t", `\011`, "\n", `\012`).Replace(mountpoint)
	found := false
	for line := range strings.Lines(string(table)) {
		// fstab(5): source, mountpoint, type, …
		if fields := strings.Fields(line); len(fields) > 2 && fields[1] == escaped {
			found = fields[2] == "fuse."+fsName
		}
	}
	return found, nil
}

func detachAny(mountpoint string) error {
	err := unix.Unmount(mountpoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	switch {
	case errors.Is(err, syscall.EPERM):
		return fusermount("-u", "-z", mountpoint)
	case errors.Is(err, syscall.EINVAL): // Somebody else was quicker.
		return nil
	}
	return err
}

func fusermount(args ...string) error {
	out, err := exec.Command("fusermount3", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("fusermount3: %w: %s", err, out)
	}
	return nil
}

// unthrottle lifts the kernel's distrust of FUSE: by default its dirty mapped pages may take 1 % of what others may,
// and writers beyond are slowed down, which no disk does. Only root may; without it all works, slower.
func unthrottle(mountpoint string) {
	var st unix.Stat_t
	if unix.Stat(mountpoint, &st) != nil {
		return
	}
	dir := filepath.Join("/sys/class/bdi", fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)))
	_ = os.WriteFile(filepath.Join(dir, "strict_limit"), []byte("0"), 0)
	_ = os.WriteFile(filepath.Join(dir, "max_ratio"), []byte("100"), 0)
}

// tail keeps the last bytes written to it.
type tail struct {
	mu   sync.Mutex
	data []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, p...)
	if over := len(t.data) - complaintBytesMax; over > 0 {
		t.data = t.data[:copy(t.data, t.data[over:])]
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.data) == 0 {
		return "nothing"
	}
	return string(t.data)
}
