package bench

import (
	"os"
	"testing"
	"time"

	"github.com/prometheus/procfs"
)

func TestUsageOfThisProcess(t *testing.T) {
	u, err := readUsage(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if u.rssBytes < 1<<20 || u.hwmBytes < u.rssBytes || u.anonBytes == 0 || u.fileBytes == 0 ||
		u.anonBytes+u.fileBytes > u.rssBytes {
		t.Errorf("%+v", u)
	}
	if _, err := readUsage(1 << 30); err == nil {
		t.Error("a process that is not there has used something")
	}
	if busy, _, err := readMachineCPU(); err != nil || busy == 0 {
		t.Errorf("%v s busy, %v", busy, err)
	}
	m, err := readMachine(t.TempDir())
	if err != nil || m.CPU == "" || m.Cores == 0 || m.Kernel == "" || m.MemoryBytes == 0 || m.Filesystem == "" {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestMountOf(t *testing.T) {
	mount := func(point, filesystem, device string) *procfs.MountInfo {
		return &procfs.MountInfo{MountPoint: point, FSType: filesystem, Source: device}
	}
	mounts := []*procfs.MountInfo{
		mount("/", "ext4", "/dev/vda"),
		mount("/tmp", "tmpfs", "tmpfs"),
		mount("/data", "xfs", "/dev/old"),
		mount("/data", "btrfs", "/dev/new"),
	}
	for path, want := range map[string][2]string{
		"/":         {"ext4", "/dev/vda"},
		"/home/x":   {"ext4", "/dev/vda"},
		"/tmp":      {"tmpfs", "tmpfs"},
		"/tmp/x":    {"tmpfs", "tmpfs"},
		"/tmpx":     {"ext4", "/dev/vda"},
		"/data/a/b": {"btrfs", "/dev/new"},
	} {
		filesystem, device := mountOf(mounts, path)
		if filesystem != want[0] || device != want[1] {
			t.Errorf("%s: %s %s, want %v", path, filesystem, device, want)
		}
	}
}

func TestCommitOfWhatIsNoProgram(t *testing.T) {
	if got := commitOf("process_test.go"); got != commitUnknown {
		t.Errorf("%q", got)
	}
}

// TestZoneOfMorning: wherever the clock stands, the product's day has eighteen hours to go, and the zone is one that
// the contract knows.
func TestZoneOfMorning(t *testing.T) {
	for hour := range 24 {
		now := time.Date(2026, 11, 23, hour, 59, 0, 0, time.UTC)
		name := zoneOfMorning(now)
		offset, err := time.Parse("-07:00", name)
		if err != nil {
			t.Fatal(err)
		}
		if local := now.In(offset.Location()); local.Hour() != dayLeftHour {
			t.Errorf("%d UTC is %d in %s", hour, local.Hour(), name)
		}
	}
}
