package main_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDemo: --demo makes its account, product and licences once, and the line that it prints works when pasted.
func TestDemo(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, "--demo")
	for range 2 {
		await(t, "the demo is told", func() bool { return strings.Contains(d.run.stdout.String(), "and what it did") })
		want(t, d.run.stdout.String(), d.run.address, filepath.Join(d.data, "admin.token"))
		p := d.product("demo")
		if p.Licenses.Total < 1000 || p.Topups.OTA.Total != 100 {
			t.Errorf("the demo: %+v %+v", p.Licenses, p.Topups)
		}
		out := d.paste(t)
		want(t, out, `{"accepted":2,"denied":[]}`)
		d.restart()
	}
	if p := d.product("demo"); p.Licenses.Used != 1 {
		t.Errorf("the pasted line was sent twice for one device, and used %d licences", p.Licenses.Used)
	}
}

// paste runs the first line of curl that the demo printed.
func (d *daemon) paste(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	said := d.run.stdout.String()
	from := strings.Index(said, "curl ")
	to := strings.Index(said[from:], "'\n")
	for to >= 0 && !strings.Contains(said[from:from+to], " -d ") {
		to += 2 + strings.Index(said[from+to+2:], "'\n")
	}
	out, err := exec.Command("bash", "-c", said[from:from+to+1]).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}
