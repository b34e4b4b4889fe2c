package powercut

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// holderEnvironment makes the test binary a process that mounts, writes and waits to be killed.
const holderEnvironment = "METERD_POWERCUT_HOLDER"

func holderMain(dir string) int {
	f, err := Mount(filepath.Join(dir, "lower"), filepath.Join(dir, "mount"), Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	put(f.Mountpoint()+"/new", "data")
	fmt.Println(f.PID())
	select {}
}

// TestKilledTestLeavesNoMount: when the test process dies, the file system takes its mount away and ends, as a cut.
func TestKilledTestLeavesNoMount(t *testing.T) {
	needFUSE(t)
	dir := t.TempDir()
	must(os.Mkdir(dir+"/lower", 0o755))
	must(os.Mkdir(dir+"/mount", 0o755))
	put(dir+"/lower/old", "old")
	self, err := os.Executable()
	must(err)
	cmd := exec.Command(self, "-test.run=^$")
	cmd.Env = append(os.Environ(), holderEnvironment+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(err)
	must(cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	must(err)
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	must(err)
	server, err := unix.PidfdOpen(pid, 0)
	must(err)
	defer unix.Close(server)
	must(cmd.Process.Kill())
	_ = cmd.Wait() // It was killed.
	n := 0
	for err = unix.EINTR; err == unix.EINTR; {
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(server), Events: unix.POLLIN}}, int(endWithin.Milliseconds()))
	}
	must(err)
	if n != 1 {
		t.Fatalf("the file system process outlived the test by %v", endWithin)
	}
	if mounted, err := ours(dir + "/mount"); err != nil || mounted {
		t.Errorf("still mounted: %v, %v", mounted, err)
	}
	if got, want := tree(t, dir+"/lower"), map[string]string{"old": "old"}; !maps.Equal(got, want) {
		t.Errorf("lower directory has %q, want %q", got, want)
	}
}

// TestMountRefuses names what is wrong, and leaves foreign mounts alone.
func TestMountRefuses(t *testing.T) {
	needFUSE(t)
	dir := t.TempDir()
	must(os.Mkdir(dir+"/mount", 0o755))
	for _, c := range []struct{ lower, mountpoint, want string }{
		{dir + "/missing", dir + "/mount", "open lower directory"},
		{dir, dir + "/mount", "must not hold one another"},
		{dir + "/mount", dir + "/mount", "must not hold one another"},
	} {
		f, err := Mount(c.lower, c.mountpoint, Options{})
		if err == nil {
			_ = f.Cut()
			t.Errorf("Mount(%q, %q) worked", c.lower, c.mountpoint)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("Mount(%q, %q): %v, want %q", c.lower, c.mountpoint, err, c.want)
		}
	}
	if mounted, err := ours("/proc"); mounted || err != nil {
		t.Errorf("/proc counts as ours: %v, %v", mounted, err)
	}
}
