package main_test

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestMosquittoAdapter: what docs/integrations/mosquitto.md has the plug-in mosquitto-go-auth ask, without the plug-in.
func TestMosquittoAdapter(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it starts the real binary")
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not on this machine")
	}
	d := newDaemon(t)
	d.withProduct("p1", `{"messages_per_day":2}`)
	cmd := exec.Command(python, filepath.Join("..", "..", "docs", "integrations", "mosquitto_auth.py"), "0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Env = append(os.Environ(), "DEVICE_PASSWORD=secret", "METERD_URL=http://"+d.run.address, "METERD_PRODUCER=m1",
		"METERD_TOKEN_FILE="+filepath.Join(d.data, "admin.token"), "PYTHONDONTWRITEBYTECODE=1")
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	said, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	port := strings.TrimSpace(strings.TrimPrefix(said, "listening on "))
	user := func(password string) string {
		return fmt.Sprintf(`/user {"username":"p1","clientid":"d1","password":%q}`, password)
	}
	acl := func(acc int) string {
		return fmt.Sprintf(`/acl {"username":"p1","clientid":"d1","topic":"t","acc":%d}`, acc)
	}
	const read, write, subscribe = 1, 2, 4
	for _, step := range []struct {
		ask  string
		want int
	}{
		{acl(write), 403}, // It must connect first.
		{user("wrong"), 403},
		{user("secret"), 200},
		{`/superuser {"username":"p1"}`, 403},
		{acl(subscribe), 200},
		{acl(write), 200},
		{acl(read), 200},
		{acl(write), 403},
		{acl(read), 403},
	} {
		path, body, _ := strings.Cut(step.ask, " ")
		resp, err := http.Post("http://127.0.0.1:"+port+path, asJSON, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if _ = resp.Body.Close(); resp.StatusCode != step.want {
			t.Errorf("%s: %s, want %d", step.ask, resp.Status, step.want)
		}
	}
	if m := d.device("p1", "d1").Messages; m.Up != 1 || m.Down != 1 || m.Denied != 2 {
		t.Errorf("%d up, %d down, %d denied, want 1, 1 and 2", m.Up, m.Down, m.Denied)
	}
}
