package bench

import (
	"errors"
	"os"
	"runtime/debug"
	"testing"
	"time"
)

func TestUsageOfProc(t *testing.T) {
	var u usage
	stat := "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 0 0 0 250 150 0 0 20 0 9 0 100 1000 200\n"
	if err := u.parseStat([]byte(stat)); err != nil || u.cpuSeconds != 4 {
		t.Errorf("%v s, %v", u.cpuSeconds, err)
	}
	status := "Name:\tmeterd\nVmHWM:\t    300 kB\nVmRSS:\t    200 kB\nRssAnon:\t    150 kB\nRssFile:\t 50 kB\n"
	if err := u.parseStatus(
		[]byte(status),
	); err != nil || u.rssBytes != 200<<10 || u.hwmBytes != 300<<10 ||
		u.anonBytes != 150<<10 {
		t.Errorf("%+v, %v", u, err)
	}
	if err := u.parseIO(
		[]byte("wchar: 5\nwrite_bytes: 4096\ncancelled_write_bytes: 1\n"),
	); err != nil ||
		u.writeBytes != 4096 {
		t.Errorf("%d bytes, %v", u.writeBytes, err)
	}
	for _, broken := range []string{"", "1 (x) S 1", "1 (x) S 1 2 3 4 5 6 7 8 9 10 x y"} {
		if err := u.parseStat([]byte(broken)); err == nil {
			t.Errorf("%q is taken", broken)
		}
	}
	if err := u.parseStatus([]byte("VmRSS:\n")); !errors.Is(err, errProc) {
		t.Errorf("%v", err)
	}
}

func TestUsageOfThisProcess(t *testing.T) {
	u, err := readUsage(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if u.rssBytes < 1<<20 || u.hwmBytes < u.rssBytes || u.anonBytes == 0 || u.anonBytes > u.rssBytes {
		t.Errorf("%+v", u)
	}
	if _, _, err := readMachineCPU(); err != nil {
		t.Error(err)
	}
	if m, err := readMachine(
		t.TempDir(),
	); err != nil || m.CPU == "" || m.Cores == 0 || m.Kernel == "" || m.MemoryBytes == 0 ||
		m.Filesystem == "" {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestMachineCPU(t *testing.T) {
	busy, stolen, err := parseMachineCPU([]byte("cpu  100 20 30 1000 50 5 6 700 0 0\ncpu0 1 1 1\n"))
	if err != nil || busy != 1.61 || stolen != 7 {
		t.Errorf("%v s busy, %v s stolen, %v", busy, stolen, err)
	}
	if _, _, err := parseMachineCPU([]byte("cpu 1 2 3\n")); err == nil {
		t.Error("a short line is taken")
	}
}

func TestMountOf(t *testing.T) {
	const info = "27 1 254:0 / / rw - ext4 /dev/vda rw\n30 27 0:27 / /tmp rw shared:1 - tmpfs tmpfs rw\n31 27 0:28 / /data rw - xfs /dev/old rw\n32 31 0:29 / /data rw - btrfs /dev/new rw\nbroken\n"
	for path, want := range map[string][2]string{
		"/":         {"ext4", "/dev/vda"},
		"/home/x":   {"ext4", "/dev/vda"},
		"/tmp":      {"tmpfs", "tmpfs"},
		"/tmp/x":    {"tmpfs", "tmpfs"},
		"/tmpx":     {"ext4", "/dev/vda"},
		"/data/a/b": {"btrfs", "/dev/new"},
	} {
		filesystem, device := mountOf([]byte(info), path)
		if filesystem != want[0] || device != want[1] {
			t.Errorf("%s: %s %s, want %v", path, filesystem, device, want)
		}
	}
}

func TestCommit(t *testing.T) {
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "abc"}
	changed := debug.BuildSetting{Key: "vcs.modified", Value: "true"}
	if got := builtFrom([]debug.BuildSetting{changed, revision}); got != "abc+" {
		t.Errorf("%q", got)
	}
	if got := builtFrom([]debug.BuildSetting{revision, {Key: "vcs.modified", Value: "false"}}); got != "abc" {
		t.Errorf("%q", got)
	}
	if got := builtFrom([]debug.BuildSetting{changed}); got != "" {
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
